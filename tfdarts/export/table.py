"""Which networks go into which format: what the tests check (`tests/test_export_kinds.py`), as a table."""

from tfdarts.export import formats

# Kinds of networks, and of each what is refused: pairs of format and quantization, to a reason.
_ROUNDED = "operations that round to 8 bits in training stay with TensorFlow"
KINDS = {
    "conv": {},
    "conv, --network imagenet": {},
    "conv with attention modules": {("litert", "int8"): "LiteRT cannot prepare some combinations of them in integers"},
    "conv, --ops attention": {},
    "conv, --ops approximate": {column: _ROUNDED for column in formats.columns() if column[0] != "saved_model"},
    "renet, vanilla": {},
    "renet, sigmoid": {},
    "renet, directional": {},
    "renet, lstm": {},
    "renet, gru": {},
    "macro": {},
    "micro": {},
    "nb201": {},
    "recurrent": {},
}


def text():
    """The table for people, with a line on each reason."""
    columns = formats.columns()
    heads = [formats.label(*column) for column in columns]
    lines = ["  ".join([f"{'':<28}", *heads])]
    for kind, refused in KINDS.items():
        marks = ["no" if column in refused else "yes" for column in columns]
        lines.append("  ".join([f"{kind:<28}", *(f"{mark:<{len(head)}}" for mark, head in zip(marks, heads))]).rstrip())
    reasons = {(kind, reason): None for kind, refused in KINDS.items() for reason in refused.values()}
    return "\n".join([*lines, "", *(f"{kind}: {reason}." for kind, reason in reasons)])
