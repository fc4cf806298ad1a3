"""Operation modules: what may sit on the edges of a cell, chosen by `--ops`.

A module has one agreed name, `OPS`: a dictionary from the operation's name to a callable
`(channels, stride, edges, affine)` that builds a Keras layer. README, "Your own operations", has the contract.

A module with options has instead of `OPS` a dictionary `OPTIONS`, from an option's name to its default and its help
text, and a function `make(**options)` whose result has `OPS`, and `options`, if they should be kept in another form
(with a file's content in place of its name, so that a saved model opens anywhere). In this folder options are flags of
the command lines. Either kind may have `SEARCHED`, and `PREPROCESS(channels, halve, affine)`, which builds the layer
that brings an input of a cell to its size and channels. Either kind may have `EXACT_FLOAT32 = True`: wherever it is in
use, TensorFloat-32 is off.
"""
