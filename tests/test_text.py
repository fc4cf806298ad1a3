import numpy as np
import pytest
import tensorflow as tf

from tfdarts.data import text
from tfdarts.data.sources import DataError

TEXTS = {"train": "a b a\n\nc <unk>\n", "valid": "b d\n", "test": "c\n"}


def folder(path, **changes):
    for part, content in (TEXTS | changes).items():
        (path / f"{part}.txt").write_text(content)
    return path


def test_words_are_numbered_as_they_appear_and_lines_end(tmp_path):
    corpus = text.load(folder(tmp_path))
    assert corpus.words == ("a", "b", "<eos>", "c", "<unk>")
    assert corpus.train.tolist() == [0, 1, 0, 2, 2, 3, 4, 2]
    assert corpus.valid.tolist() == [1, 4, 2] and corpus.test.tolist() == [3, 2]
    assert corpus.sha256 != text.load(folder(tmp_path, test="a\n")).sha256


def test_an_unknown_word_gets_a_number_of_its_own_where_training_has_none(tmp_path):
    corpus = text.load(folder(tmp_path, train="a b\n"))
    assert corpus.words == ("a", "b", "<eos>", "<unk>") and corpus.test.tolist() == [3, 2]
    assert "<unk>" not in text.load(folder(tmp_path, train="a b c d\n")).words


@pytest.mark.parametrize("change", [{"valid": " \n"}, {"train": ""}])
def test_an_empty_file_is_refused(change, tmp_path):
    with pytest.raises(DataError, match=f"{next(iter(change))}.txt is empty"):
        text.load(folder(tmp_path, **change))


def test_missing_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="train.txt, valid.txt and test.txt"):
        text.load(tmp_path)
    with pytest.raises(DataError, match="train.txt .NotADirectoryError"):
        (tmp_path / "file").write_text("a")
        text.load(tmp_path / "file")


@pytest.mark.parametrize(
    "content,message",
    [
        ("caf\xe9 a\n".encode("latin-1"), "not in UTF-8: it has the byte 0xe9 at place 3"),
        ("a b\n".encode("utf-16-le"), "holds zero bytes"),
        (b"\xff\xfea", "not in UTF-8"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
    ],
)
def test_files_that_are_no_text_are_refused(content, message, tmp_path):
    (folder(tmp_path) / "valid.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"valid.txt .*{message}|valid.txt {message}"):
        text.load(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines_do_not_change_a_text(encoding, end, tmp_path):
    (tmp_path / "plain").mkdir()
    plain = text.load(folder(tmp_path / "plain", valid="b \xe9\u4e2d\n"))
    for part, content in (TEXTS | {"valid": "b \xe9\u4e2d\n"}).items():
        (tmp_path / f"{part}.txt").write_bytes(content.replace("\n", end).encode(encoding))
    other = text.load(tmp_path)
    assert other.words == plain.words and other.sha256 == plain.sha256
    np.testing.assert_array_equal(other.train, plain.train)


@pytest.mark.parametrize("name", ["ptb.{}.txt", "wiki.{}.tokens"])
def test_the_papers_sets_are_read_as_they_are_distributed(name, tmp_path):
    (tmp_path / "plain").mkdir()
    for part, content in TEXTS.items():
        (tmp_path / name.format(part)).write_text(content)
    assert text.load(tmp_path).sha256 == text.load(folder(tmp_path / "plain")).sha256


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_lines_end_at_newlines_alone(sign, tmp_path):
    corpus = text.load(folder(tmp_path, train=f"a{sign}b {sign} c\n{sign}\nd"))
    (tmp_path / "x").write_text(f"a{sign}b {sign} c\n{sign}\nd", newline="")
    with open(tmp_path / "x", encoding="utf-8") as file:  # as the authors' programs read it
        words = [word for line in file for word in [*line.split(), "<eos>"]]
    assert [corpus.words[number] for number in corpus.train] == words == "a b c <eos> <eos> d <eos>".split()


def test_one_long_line_and_two_words(tmp_path):
    corpus = text.load(folder(tmp_path, train="a " * 200_000))
    assert len(corpus.train) == 200_001 and corpus.words == ("a", "<eos>", "<unk>")
    alone = text.load(folder(tmp_path, train="a a a", valid="a", test="a"))
    assert alone.words == ("a", "<eos>") and alone.train.tolist() == [0, 0, 0, 1]


def test_the_embedded_corpus():
    corpus = text.load("topics")
    assert len(corpus.sha256) == 64
    assert 1000 < len(corpus.words) < 10_000
    assert len(corpus.train) > 50_000 and min(len(corpus.valid), len(corpus.test)) > 4_000
    assert corpus.train.max() == len(corpus.words) - 1
    assert np.mean(corpus.test == corpus.words.index("<unk>")) < 0.15


def test_unigram_perplexity():
    assert text.unigram_perplexity(np.arange(8)) == pytest.approx(8)
    assert text.unigram_perplexity(np.array([0, 0, 0, 2])) == pytest.approx(4 / 3**0.75)


def test_columns():
    rows = text.batchify(np.arange(11), 3, "training")
    assert rows.T.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(DataError, match="validation text has 8 words.*--batch_size"):
        text.batchify(np.arange(8), 3, "validation")
    with pytest.raises(DataError, match="at least 3; give a longer text.$"):
        text.batchify(np.arange(8), 3, "validation", None)


@pytest.mark.parametrize("gaussian", [False, True])
def test_segments_cover_the_rows(gaussian):
    for number in range(20):
        parts = text.segments(500, 35, 1, number, gaussian)
        assert parts[0][0] == 0
        for (row, length, drawn), (after, _, _) in zip(parts, parts[1:]):
            assert length == drawn == after - row
        row, length, drawn = parts[-1]
        assert 2 <= length <= drawn and (row + length == 499 or row + length == 498)
    lengths = [drawn for number in range(400) for _, _, drawn in text.segments(500, 35, 1, number, gaussian)]
    assert np.mean(np.array(lengths) < 20) == pytest.approx(0.05, abs=0.02)
    assert set(lengths) == {17, 35} if not gaussian else (min(lengths) >= 5 and max(lengths) <= 55)
    assert text.segments(500, 35, 1, 0, gaussian) != text.segments(500, 35, 2, 0, gaussian)


def test_batches_are_a_function_of_seed_and_step():
    rows = text.batchify(np.arange(200, dtype=np.int32), 2, "training")
    steps = text.steps_per_epoch(rows, 7, 3, True)
    every = list(text.train_batches(rows, 7, 3).take(3 * steps))
    for start in (5, steps + 1):
        later = list(text.train_batches(rows, 7, 3, start).take(4))
        for one, other in zip(every[start:], later):
            for a, b in zip(one, other):
                np.testing.assert_array_equal(a, b)
    begin = [k for k, batch in enumerate(every) if bool(batch[3])]
    assert begin[:2] == [0, steps] and len(begin) >= 3
    for k, (tokens, targets, scale, first) in enumerate(every):
        np.testing.assert_array_equal(targets, tokens + 1)
        if not bool(first):
            np.testing.assert_array_equal(tokens[0], every[k - 1][1][-1])
        if k + 1 not in begin:
            assert float(scale) == pytest.approx(len(tokens) / 7)


def test_validation_batches_follow_the_training_rows():
    rows, valid = (text.batchify(np.arange(n, dtype=np.int32), 2, "any") for n in (100, 60))
    row = 0
    for (tokens, _, _, first), (valid_tokens, valid_targets, *_) in text.search_batches(rows, valid, 6, 0).take(40):
        row = 0 if bool(first) else row
        np.testing.assert_array_equal(valid_tokens, valid[row % 29 :][: min(6, 29 - row % 29)])
        np.testing.assert_array_equal(valid_targets, valid_tokens + 1)
        row += len(tokens)


def test_shapes_are_open_in_time_only():
    rows = text.batchify(np.arange(40, dtype=np.int32), 2, "training")
    (tokens, targets, scale, first), valid = text.search_batches(rows, rows, 5, 0).element_spec
    assert all(spec.shape.as_list() == [None, 2] for spec in (tokens, targets, *valid[:2]))
    assert (scale.shape, scale.dtype, first.dtype) == ((), tf.float32, tf.bool)
