import json

import numpy as np
import pytest
from tfdarts.ops import multipliers

from tests.support import reference
from tfdarts.approximation import load_table
from tfdarts.cli import multipliers as figures
from tfdarts.errors import UserError

CIRCUITS = reference.load("approximate/tables")


def truncated(a, b, low):
    return int(f"{a:08b}"[: 8 - low] + "0" * low, 2) * int(f"{b:08b}"[: 8 - low] + "0" * low, 2)


def broken_array(a, b, rows, columns):
    cells = ((i, j) for i in range(8) for j in range(8) if i >= rows and i + j >= columns)
    return sum(2 ** (i + j) for i, j in cells if f"{a:08b}"[7 - j] == f"{b:08b}"[7 - i] == "1")


def drum(a, b, bits):
    def kept(x):
        digits = f"{x:b}"
        rest = len(digits) - bits
        return x if rest <= 0 else int(digits[: bits - 1] + "1" + "0" * rest, 2)

    return kept(a) * kept(b)


def mitchell(a, b):
    if a == 0 or b == 0:
        return 0

    def log(x):  # the characteristic, and x / 2^k - 1 as the mantissa; exact in binary floating point
        k = len(f"{x:b}") - 1
        return k + x / 2**k - 1

    total = log(a) + log(b)
    return int(2 ** int(total) * (1 + total - int(total)))


@pytest.mark.parametrize(
    "name,function,numbers",
    [
        ("exact", lambda a, b: a * b, ()),
        ("truncated:0", truncated, (0,)),
        ("truncated:3", truncated, (3,)),
        ("broken_array:0,0", broken_array, (0, 0)),
        ("broken_array:2,6", broken_array, (2, 6)),
        ("broken_array:0,9", broken_array, (0, 9)),
        ("drum:3", drum, (3,)),
        ("drum:8", drum, (8,)),
        ("mitchell", mitchell, ()),
    ],
)
def test_families(name, function, numbers):
    table = multipliers.load(name)
    pairs = np.random.default_rng(0).integers(0, 256, size=(3000, 2)).tolist()
    pairs += [(a, b) for a in (0, 1, 128, 255) for b in range(256)]
    assert [table[a, b] for a, b in pairs] == [function(a, b, *numbers) for a, b in pairs]


@pytest.mark.parametrize("name", CIRCUITS)
def test_statistics(name, tmp_path):
    stored = reference.load("approximate/table_stats.json")[name]
    got = multipliers.statistics(CIRCUITS[name])
    for key in got:
        assert got[key] == pytest.approx(stored[key], rel=1e-12, abs=0), key
    error = CIRCUITS[name].astype(np.int64) - multipliers.exact()
    assert multipliers.rank(error) == stored["rank_exact_error"]


@pytest.mark.parametrize("name", ["mul8u_2AC", "mul8u_7C1", "drum:4", "broken_array:2,6"])
def test_factors_are_integers_with_small_sums(name):
    table = CIRCUITS[name] if name in CIRCUITS else multipliers.load(name)
    error = table.astype(np.int64) - multipliers.exact()
    left, right = multipliers.factors(error)
    assert left.dtype == right.dtype == np.int64 and left.shape[1] == multipliers.rank(error)
    np.testing.assert_array_equal(left @ right, error)
    assert (np.abs(left) @ np.abs(right)).max() <= 4 * np.abs(error).max()


def test_factors_of_a_random_matrix():
    draw = np.random.default_rng(0)
    matrix = draw.integers(-3, 4, size=(60, 7)) @ draw.integers(-40, 41, size=(7, 50))
    left, right = multipliers.factors(matrix)
    np.testing.assert_array_equal(left @ right, matrix)
    assert left.shape[1] == 7 and np.abs(right).max() <= np.abs(matrix).max()


def test_a_file_and_its_content_are_the_same_table(tmp_path):
    path = tmp_path / "mine.bin"
    path.write_bytes(CIRCUITS["mul8u_L40"].astype("<u2").tobytes())
    text = multipliers.inline(str(path))
    path.unlink()
    assert multipliers.inline(text) == text and multipliers.title(text) == "mine.bin"
    np.testing.assert_array_equal(multipliers.load(text), CIRCUITS["mul8u_L40"])
    assert multipliers.inline("drum:4") == multipliers.title("drum:4") == "drum:4"
    for damaged in (text[:-8], text[:-8] + "!" * 8, "inline:mine.bin:"):
        with pytest.raises(ValueError, match=r"damaged|holds"):
            multipliers.load(damaged)


@pytest.mark.parametrize(
    "name,reason",
    [
        ("drum", "written drum:K"),
        ("drum:x", "written drum:K"),
        ("exact:1", "written exact,"),
        ("broken_array:3", "written broken_array:H,V"),
        ("truncated:9", "K must be from 0 to 8"),
        ("missing.bin", "No multiplier"),
        ("nul\0.bin", "No multiplier"),
        ("small.bin", "holds 3 bytes; a multiplier table is 131072"),
    ],
)
def test_what_is_no_multiplier_is_refused(name, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.bin").write_bytes(b"abc")
    with pytest.raises(UserError, match=reason):
        load_table(name)


def test_the_map_shows_what_is_too_large_and_too_small():
    table = multipliers.exact()
    table[10, 20] += 100
    table[30, 40] -= 50
    pixels = np.asarray(figures.error_map(table))
    assert pixels.shape == (512, 512, 3)
    assert pixels[20, 40].tolist() == pixels[21, 41].tolist() == [255, 0, 0]
    assert pixels[60, 80].tolist() == [127, 127, 255]
    assert (pixels == 255).all(-1).sum() == 512 * 512 - 8


def test_the_command(tmp_path, command):
    line = json.loads(command("-m", "tfdarts.multipliers", "drum:4", tmp_path / "map.png").stdout)
    assert line["rank_of_error"] == 2 and line["worst_case_error"] == 7425
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert command("-m", "tfdarts.multipliers", "drum:99", code=2).stderr.startswith("error: Multiplier 'drum:99'")
