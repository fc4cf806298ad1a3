"""Which networks go into which format: what the tests check (`tests/test_export_kinds.py`), as a table."""

from tfdarts.export import formats

_INTEGERS = ("litert", "int8")
_ROUNDING = "LiteRT and ONNX lack the rounding of approximate operations"
# Kinds of networks, and of each the columns (format, quantization) that refuse it, with a reason.
KINDS = {
    "conv": {},
    "conv, --network imagenet": {},
    "conv with attention modules": {_INTEGERS: "LiteRT's kernels refuse some combinations of modules in integers"},
    "conv, --ops attention": {},
    "conv, --ops approximate": {column: _ROUNDING for column in formats.columns() if column[0] != "saved_model"},
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


def mark(kind, column):
    """A field of the table: `"yes"`, `"no"`, or `"try"` where it depends on the weights whether a file is kept."""
    if column in KINDS[kind]:
        return "no"
    return "try" if column == _INTEGERS else "yes"


def text():
    """The table for people, with what its marks mean."""
    columns = formats.columns()
    heads = [formats.label(*column) for column in columns]
    lines = ["  ".join([f"{'':<28}", *heads])]
    for kind in KINDS:
        marks = (f"{mark(kind, column):<{len(head)}}" for column, head in zip(columns, heads))
        lines.append("  ".join([f"{kind:<28}", *marks]).rstrip())
    lines += [
        "",
        "try: it is written and runs; how close integers come depends on the weights, so the comparison decides.",
    ]
    reasons = {(kind, reason): None for kind, refused in KINDS.items() for reason in refused.values()}
    return "\n".join([*lines, *(f"no, {kind}: {reason}." for kind, reason in reasons)])
