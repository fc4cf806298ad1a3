"""8-bit multipliers as tables, families of approximate ones, and the exact factors of their errors.

A table is a uint16 array of 256 x 256 products: row the activation's code, column the weight's. As a file: 65,536
little-endian uint16, row after row, as TFApprox (Vaverka et al. 2020, arXiv:2002.09481) ships the circuits of
EvoApproxLib (Mrazek et al. 2017).
"""

import base64
import pathlib
import zlib

import numpy as np

CODES = 256
FILE_BYTES = 2 * CODES * CODES
INLINE = "inline:"
_PRIME = 2**31 - 1


def _codes():
    codes = np.arange(CODES, dtype=np.int64)
    return codes, np.floor(np.log2(np.maximum(codes, 1))).astype(np.int64)  # and the place of the leading one


def exact():
    """`a * b`."""
    a, _ = _codes()
    return np.outer(a, a)


def truncated(low):
    """`(a - a mod 2^K) * (b - b mod 2^K)`: the K low bits of both operands are dropped; K from 0 to 8."""
    a, _ = _codes()
    a = a >> low << low
    return np.outer(a, a)


def broken_array(rows, columns):
    """Broken-array multiplier (Mahdiani et al. 2010, IEEE Transactions on Circuits and Systems I 57(4)).

    An array multiplier adds the partial products `a_j b_i 2^(i + j)`, one row per bit i of b. Cells above the
    horizontal break level H (rows `i < H`) and right of the vertical one V (columns `i + j < V`) are left out. H from
    0 to 8, V from 0 to 16.
    """
    a, _ = _codes()
    total = np.zeros((CODES, CODES), np.int64)
    for i in range(rows, 8):
        for j in range(max(0, columns - i), 8):
            total += np.outer(a >> j & 1, a >> i & 1) << (i + j)
    return total


def drum(bits):
    """DRUM, the dynamic range unbiased multiplier (Hashemi, Bahar, Reda 2015, ICCAD).

    Of an operand of more than K bits, the K bits from the leading one on are kept, the last of them set to one (which
    makes up, on average, for what is dropped); smaller operands stay as they are. K from 2 to 8.
    """
    a, leading = _codes()
    shift = np.maximum(leading - bits + 1, 0)
    a = np.where(shift > 0, (a >> shift | 1) << shift, a)
    return np.outer(a, a)


def mitchell():
    """Logarithmic multiplier (Mitchell 1962, IRE Transactions on Electronic Computers EC-11(4)).

    With `a = 2^k (1 + x)` and `b = 2^l (1 + y)`, log2 of the product is taken as `k + l + x + y`, and the power of two
    as linear between integers: `2^(k+l) (1 + x + y)` if `x + y < 1`, else `2^(k+l+1) (x + y)`; 0 if an operand is 0.
    """
    a, leading = _codes()
    power = 1 << leading
    fraction = a - power
    one = np.outer(power, power)
    rest = np.outer(fraction, power) + np.outer(power, fraction)  # one * (x + y)
    return np.where(np.outer(a, a) == 0, 0, np.where(rest < one, one + rest, 2 * rest))


# name: function, and for each number after the colon its letter and bounds
FAMILIES = {
    "exact": (exact, ()),
    "truncated": (truncated, (("K", 0, 8),)),
    "broken_array": (broken_array, (("H", 0, 8), ("V", 0, 16))),
    "drum": (drum, (("K", 2, 8),)),
    "mitchell": (mitchell, ()),
}


def _form(family):
    letters = ",".join(letter for letter, _, _ in FAMILIES[family][1])
    return family + (":" + letters if letters else "")


NAMES = ", ".join(map(_form, FAMILIES))


def load(name):
    """The table that a name stands for.

    Args:
        name: a family (`exact`, `truncated:K`, `broken_array:H,V`, `drum:K`, `mitchell`), a file `FILE.bin`, or a
            table as `inline` writes it.

    Returns:
        uint16 array of shape `(256, 256)`.

    Raises:
        ValueError: if there is no such family or file, or the file has another size.
    """
    if name.startswith(INLINE):
        return _from_inline(name)
    family, _, numbers = name.partition(":")
    if family in FAMILIES:
        make, bounds = FAMILIES[family]
        given = numbers.split(",") if numbers else []
        if len(given) != len(bounds) or not all(x.isascii() and x.isdigit() for x in given):
            raise ValueError(f"Multiplier {name!r} must be written {_form(family)}, with whole numbers.")
        for x, (letter, low, high) in zip(given, bounds):
            if not low <= int(x) <= high:
                raise ValueError(f"Multiplier {name!r}: {letter} must be from {low} to {high}.")
        return make(*map(int, given)).astype(np.uint16)
    try:
        data = pathlib.Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"No multiplier {name!r} ({reason}); give one of {NAMES}, or a FILE.bin.") from None
    return _from_bytes(data, name)


def _from_bytes(data, name):
    if len(data) != FILE_BYTES:
        raise ValueError(
            f"{name} holds {len(data)} bytes; a multiplier table is {FILE_BYTES}: 65,536 little-endian uint16."
        )
    return np.frombuffer(data, "<u2").reshape(CODES, CODES).astype(np.uint16)


def inline(name):
    """The multiplier's name in a form that needs no file: families as they are, a file with its content.

    Returns:
        `name`, or `inline:<file name>:<the table, zlib and base 64>`.
    """
    if name.startswith(INLINE) or name.partition(":")[0] in FAMILIES:
        return name
    content = base64.b64encode(zlib.compress(load(name).astype("<u2").tobytes(), 9)).decode()
    return f"{INLINE}{pathlib.Path(name).name}:{content}"


def _from_inline(name):
    title, _, content = name.removeprefix(INLINE).rpartition(":")
    try:
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(content, validate=True), FILE_BYTES + 1)
    except (ValueError, zlib.error):
        data = b""
    if not data or not unpack.eof:  # eof: all of it was there, and its checksum is right
        raise ValueError(f"The table of multiplier {title!r} is damaged.")
    return _from_bytes(data, title)


def title(name):
    """A short name for people: of a table with its content, the file's."""
    return name.removeprefix(INLINE).rpartition(":")[0] if name.startswith(INLINE) else name


def statistics(table):
    """Error figures of a table, as EvoApproxLib defines them.

    Returns:
        A dictionary: `mean_abs_error` and `worst_case_error` of the products, `mean_relative_error` over the pairs
        whose product is not 0, `error_probability` (share of wrong products), `mean_error_bias` (signed).
    """
    product = exact()
    error = table.astype(np.int64) - product
    return {
        "mean_abs_error": float(np.abs(error).mean()),
        "worst_case_error": int(np.abs(error).max()),
        "mean_relative_error": float((np.abs(error)[1:, 1:] / product[1:, 1:]).mean()),
        "error_probability": float((error != 0).mean()),
        "mean_error_bias": float(error.mean()),
    }


def rank(matrix):
    """Rank of an integer matrix (modulo a 31-bit prime, so at most the true one, and with near certainty equal)."""
    return len(_pivot_columns(matrix))


def _pivot_columns(matrix):
    rest, pivots = np.unique(matrix, axis=0) % _PRIME, []
    for column in range(matrix.shape[1]):
        row = len(pivots)
        (candidates,) = np.nonzero(rest[row:, column])
        if not len(candidates):
            continue
        rest[[row, row + candidates[0]]] = rest[[row + candidates[0], row]]
        rest[row] = rest[row] * pow(int(rest[row, column]), -1, _PRIME) % _PRIME
        rest[row + 1 :] = (rest[row + 1 :] - rest[row + 1 :, column, None] * rest[row]) % _PRIME
        pivots.append(column)
        if row + 1 == len(rest):
            break
    return pivots


def factors(matrix):
    """Writes an integer matrix of rank r as a product of two integer matrices with r columns and rows.

    The rows of the matrix span a lattice; the right factor is a basis of it, shortened by the algorithm of Lenstra,
    Lenstra and Lovasz (1982), the left one the rows in that basis. Integers, unlike an SVD's factors, make sums of
    products exact in floating point as long as no partial sum leaves the format's integers.

    Args:
        matrix: int64 array, small enough a rank that this takes seconds (about 30).

    Returns:
        `left` of `(rows, r)` and `right` of `(r, columns)`, int64, with `left @ right == matrix`.
    """
    basis = _shortened(_row_basis(matrix))
    columns = _pivot_columns(basis)
    square = basis[:, columns].astype(np.float64)
    left = np.rint(np.linalg.solve(square.T, matrix[:, columns].T.astype(np.float64)).T).astype(np.int64)
    if not np.array_equal(left @ basis, matrix):
        raise ArithmeticError("The factors do not reproduce the matrix.")
    return left, basis


def _row_basis(matrix):
    """A basis of the lattice that the rows span, in echelon form (Hermite), of Python's integers."""
    rows, found = np.unique(matrix, axis=0).astype(object), 0
    for column in range(matrix.shape[1]):
        while np.any(rows[found:, column]):  # Euclid's algorithm on the column
            (candidates,) = np.nonzero(rows[found:, column])
            smallest = found + min(candidates, key=lambda i: abs(rows[found + i, column]))
            rows[[found, smallest]] = rows[[smallest, found]]
            below = rows[found + 1 :]
            below -= (below[:, column] // rows[found, column])[:, None] * rows[found]
            if not np.any(below[:, column]):
                found += 1
                break
            rows = rows[np.any(rows != 0, axis=1)]
        if found == len(rows):
            break
    return rows[:found]


def _shortened(basis):
    """LLL with delta = 0.99; the orthogonalisation in float64 steers, the basis stays in integers."""
    basis, k = basis.copy(), 1
    while k < len(basis):
        orthogonal, lengths = _gram_schmidt(basis[: k + 1])
        for j in range(k - 1, -1, -1):
            share = round(float(basis[k].astype(np.float64) @ orthogonal[j]) / lengths[j])
            basis[k] -= share * basis[j]
        share = float(basis[k].astype(np.float64) @ orthogonal[k - 1]) / lengths[k - 1]
        if lengths[k] >= (0.99 - share**2) * lengths[k - 1]:
            k += 1
        else:
            basis[[k - 1, k]] = basis[[k, k - 1]]
            k = max(k - 1, 1)
    return basis.astype(np.int64)


def _gram_schmidt(basis):
    orthogonal = basis.astype(np.float64)
    lengths = []
    for i, row in enumerate(orthogonal):
        for j in range(i):
            row -= (row @ orthogonal[j]) / lengths[j] * orthogonal[j]
        lengths.append(row @ row)
    return orthogonal, lengths
