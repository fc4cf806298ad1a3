"""Reads text files in the encodings that people have."""

import codecs

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decoded(data):
    """The text of a file's bytes in UTF-8, or UTF-16 with a byte-order mark; all ends of lines become newlines.

    Raises:
        UnicodeDecodeError: if it is in neither.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
