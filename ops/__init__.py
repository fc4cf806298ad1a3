"""Operation modules: what may sit on the edges of a cell, chosen by `--ops`.

A module has one agreed name, `OPS`: a dictionary from the operation's name to a callable
`(channels, stride, edges, affine)` that builds a Keras layer. README, "Your own operations", has the contract.
"""
