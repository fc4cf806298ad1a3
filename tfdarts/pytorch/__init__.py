"""Weight files of the PyTorch programs: read without running anything in them, and written.

`docs/pytorch.md` says which program writes what. The way of a file: `containers` takes it apart, `machine` carries out
its pickles, `content` finds the weights, `layouts` knows where each one goes, `networks` builds what they fit.
"""
