"""Image folders and archives as people have them: the pixels, the classes and their number are what is meant."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.support.folders import noise, save_folder
from tfdarts.data import arrays, decoding, folders, images
from tfdarts.data.sources import DataError

GRAY = noise(1, (6, 9))[0]
COLOR = noise(1, (6, 9, 3))[0]


def put(path, image, **options):
    """Saves an image, an array or a Pillow image, at a path whose folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    image.save(path, **options)


def two_classes(root, image=GRAY, ending="png"):
    for name in ("cat", "dog"):
        for number in range(6):
            put(root / name / f"{number}.{ending}", np.roll(image, number, 0))
    return root


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
@pytest.mark.parametrize("top", [65535, 4095])
def test_sixteen_bits_are_scaled_to_eight(ending, top, tmp_path):
    values = np.linspace(0, top, 54).reshape(6, 9).astype(np.uint16)
    put(tmp_path / f"x.{ending}", values)
    got = decoding.decode(tmp_path / f"x.{ending}", "x", (6, 9, 1))[..., 0]
    np.testing.assert_array_equal(got, np.rint(values / 257))
    assert decoding.header(tmp_path / f"x.{ending}") == ((9, 6), 1)
    assert abs(got.mean() - top / 257 / 2) < 1  # 127.5, not 254, of the whole range
    colors = decoding.decode(tmp_path / f"x.{ending}", "x", (6, 9, 3))
    np.testing.assert_array_equal(colors, np.repeat(got[..., None], 3, -1))


@pytest.mark.parametrize("pixels,what", [(GRAY.astype(np.int32), "32-bit"), (GRAY.astype(np.float32), "float")])
def test_pixels_of_which_white_is_not_known_are_refused(pixels, what, tmp_path):
    put(tmp_path / "x.tiff", pixels)
    with pytest.raises(DataError, match=f"x.tiff has {what} pixels.*8 or 16 bits"):
        decoding.decode(tmp_path / "x.tiff", tmp_path / "x.tiff", (6, 9, 1))


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_as_a_viewer_shows_them(orientation, ending, tmp_path):
    turns = [None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE"]
    stored = PIL.Image.fromarray(np.repeat(np.repeat(COLOR // 128 * 255, 16, 0), 16, 1))  # survives JPEG nearly
    turn = [*turns, "ROTATE_270"][orientation - 1]  # undoes what makes the image upright
    upright = np.asarray(stored)
    stored = stored.transpose(getattr(PIL.Image.Transpose, turn)) if turn else stored
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    lossless = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}
    put(tmp_path / f"x.{ending}", stored, exif=exif, **lossless.get(ending, {}))
    assert decoding.header(tmp_path / f"x.{ending}") == ((144, 96), 3)
    got = decoding.decode(tmp_path / f"x.{ending}", "x", (96, 144, 3), upright=True)
    np.testing.assert_allclose(got.astype(int), upright, atol=12)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_is_passed_over(tmp_path):
    put(tmp_path / "x.jpg", COLOR, exif=b"Exif\0\0MM\0\x2anonsense")
    assert decoding.header(tmp_path / "x.jpg") == ((9, 6), 3)
    assert decoding.decode(tmp_path / "x.jpg", "x", (6, 9, 3), upright=True).shape == (6, 9, 3)


def test_palettes_transparency_and_other_modes(tmp_path):
    palette = PIL.Image.fromarray(COLOR).quantize(8)
    put(tmp_path / "p.png", palette, transparency=bytes([0, 100] + [255] * 6))
    np.testing.assert_array_equal(decoding.decode(tmp_path / "p.png", "p", (6, 9, 3)), palette.convert("RGB"))
    put(tmp_path / "la.png", np.stack([GRAY, 255 - GRAY], -1))
    np.testing.assert_array_equal(decoding.decode(tmp_path / "la.png", "la", (6, 9, 1))[..., 0], GRAY)
    put(tmp_path / "rgba.webp", noise(1, (6, 9, 4))[0], lossless=True, exact=True)
    assert decoding.header(tmp_path / "rgba.webp")[1] == 4
    np.testing.assert_array_equal(decoding.decode(tmp_path / "rgba.webp", "w", (6, 9, 4)), noise(1, (6, 9, 4))[0])
    put(tmp_path / "cmyk.jpg", PIL.Image.fromarray(COLOR).convert("CMYK"))
    assert decoding.header(tmp_path / "cmyk.jpg")[1] == 3
    put(tmp_path / "bits.png", PIL.Image.fromarray(GRAY > 127))
    np.testing.assert_array_equal(decoding.decode(tmp_path / "bits.png", "b", (6, 9, 1))[..., 0], (GRAY > 127) * 255)


@pytest.mark.parametrize("ending", [ending[1:] for ending in folders.ENDINGS])
def test_every_ending_is_read(ending, tmp_path):
    two_classes(tmp_path, COLOR if ending != "pgm" else GRAY, ending)
    train, _, test = images.load(f"folder:{tmp_path}")
    assert len(train) + len(test) == 12 and train.shape[:2] == (6, 9)


def test_class_folders_without_a_folder_train_hold_out_a_tenth_by_seed(tmp_path):
    two_classes(tmp_path)
    train, validation, test = images.load(f"folder:{tmp_path}", seed=1)
    assert (len(train), len(test), validation, train.names) == (10, 2, None, ("cat", "dog"))
    assert not set(train.indices) & set(test.indices)
    assert list(images.load(f"folder:{tmp_path}", seed=1)[2].indices) == list(test.indices)
    assert any(list(images.load(f"folder:{tmp_path}", seed=s)[2].indices) != list(test.indices) for s in (2, 3))


def test_names_of_the_parts(tmp_path):
    for name in ("Training", "Validation", "Testing"):
        two_classes(tmp_path / name)
    train, validation, test = images.load(f"folder:{tmp_path}")
    assert [len(part) for part in (train, validation, test)] == [12, 12, 12]


def test_what_is_hidden_is_no_class_and_no_image(tmp_path, capsys):
    two_classes(tmp_path)
    two_classes(tmp_path / ".ipynb_checkpoints")
    two_classes(tmp_path / "__MACOSX")
    put(tmp_path / "cat/.ipynb_checkpoints/0-checkpoint.png", GRAY)
    (tmp_path / "cat/._0.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    train, _, test = images.load(f"folder:{tmp_path}")
    assert train.names == ("cat", "dog") and len(train) + len(test) == 12
    assert not capsys.readouterr().err


def test_other_files_are_left_out_with_a_word(tmp_path, capsys):
    two_classes(tmp_path)
    for name in ("a.heic", "b.HEIC", "notes.txt", "README"):
        (tmp_path / "cat" / name).write_text("x")
    train, _, test = images.load(f"folder:{tmp_path}")
    assert len(train) + len(test) == 12
    err = capsys.readouterr().err
    assert err.startswith("warning: files of other kinds") and "2 .heic, 1 .txt, 1 without an ending" in err


def test_folders_within_a_class_folder_belong_to_the_class(tmp_path):
    two_classes(tmp_path / "train")
    put(tmp_path / "train/cat/tabby/young/x.png", 255 - GRAY)
    train, _, test = images.load(f"folder:{tmp_path}")
    paths, labels = train.source.paths, train.source.labels
    assert len(paths) == 13 and len(train) + len(test) == 13
    assert [label for path, label in zip(paths, labels) if "tabby" in path] == [0]


def test_a_class_without_images_and_a_single_class_are_refused(tmp_path):
    two_classes(tmp_path / "train")
    (tmp_path / "train/cow").mkdir()
    with pytest.raises(DataError, match="no images of cow"):
        images.load(f"folder:{tmp_path}")
    two_classes(tmp_path / "alone/train")
    (tmp_path / "alone/train/dog").rename(tmp_path / "alone/train/cat/dog")
    with pytest.raises(DataError, match="one class only, cat"):
        images.load(f"folder:{tmp_path / 'alone'}")


X = noise(30, (4, 4, 3))
Y = np.arange(30) % 3


def saved(path, **parts):
    np.savez(path, **parts)
    return images.load(f"npz:{path}")


@pytest.mark.parametrize(
    "pixels,expected",
    [
        ((X / 255).astype(np.float32), X),
        (X / 255, X),
        (X.astype(np.float32), X),
        (X * 0.99 + 0.3, np.rint(X * 0.99 + 0.3)),
        (X.astype(np.float16), X),
        (X.astype(np.int64), X),
        (X.astype(np.uint16), X),  # 16-bit numbers that hold 8 bits
        (X.astype(np.uint16) * 257, X),
        (X > 127, (X > 127) * 255),
        (X // 128, X // 128),  # whole numbers are as they are
    ],
)
def test_pixels_of_any_kind_of_number(pixels, expected, tmp_path):
    train, _, test = saved(tmp_path / "a.npz", x_train=pixels[:20], y_train=Y[:20], x_test=pixels[20:], y_test=Y[20:])
    got = np.concatenate([part.fetch(np.arange(len(part)))[0] for part in (train, test)])
    np.testing.assert_array_equal(got, expected)


def test_what_white_is_is_seen_from_all_parts_together(tmp_path):
    dark = np.minimum(X.astype(np.float32), 1)
    train, _, test = saved(tmp_path / "a.npz", x_train=X.astype(np.float32), y_train=Y, x_test=dark, y_test=Y)
    np.testing.assert_array_equal(test.fetch(np.arange(30))[0], dark)


@pytest.mark.parametrize(
    "pixels", [X / 127.5 - 1, X.astype(float) * 2, np.where(X > 9, np.nan, 1), X.astype(np.int32) * 257, X.astype(str)]
)
def test_pixels_without_one_meaning_are_refused(pixels, tmp_path):
    with pytest.raises(DataError, match="x_train in .* must hold pixels"):
        saved(tmp_path / "a.npz", x_train=pixels, y_train=Y)


def test_twelve_bits_in_sixteen_are_told(tmp_path, capsys):
    saved(tmp_path / "a.npz", x_train=X.astype(np.uint16) * 16, y_train=Y)
    assert "warning: of 16 bits, x_train" in capsys.readouterr().err


@pytest.mark.parametrize(
    "labels,names",
    [
        (Y, "012"),
        (Y + 1, "123"),  # no empty class 0
        (Y * 4, "048"),
        (Y.astype(np.float32), "012"),
        (Y[:, None], "012"),
        (np.eye(3)[Y], "012"),
        (np.eye(4, dtype=np.uint8)[Y + 1], "123"),
        (np.array(["cat", "dog", "ant"])[Y], ["ant", "cat", "dog"]),
        (np.array([b"cat", b"dog", b"ant"])[Y], ["ant", "cat", "dog"]),
    ],
)
def test_labels_of_any_form(labels, names, tmp_path):
    train, _, test = saved(tmp_path / "a.npz", x_train=X, y_train=labels, x_test=X[:9], y_test=labels[:9])
    assert train.names == test.names == tuple(names)
    order = [1, 2, 0] if "cat" in names else [0, 1, 2]
    np.testing.assert_array_equal(train.fetch(np.arange(30))[1], np.array(order)[Y])


@pytest.mark.parametrize("labels", [Y + 0.5, np.full((30, 3), 1 / 3), Y.astype(complex), np.where(Y, np.nan, 0.0)])
def test_labels_without_one_meaning_are_refused(labels, tmp_path):
    with pytest.raises(DataError, match="one per image"):
        saved(tmp_path / "a.npz", x_train=X, y_train=labels)


def test_labels_of_a_part_are_those_of_the_training_images(tmp_path):
    with pytest.raises(DataError, match="y_test in .* labels that the classes lack: 7"):
        saved(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X, y_test=np.where(Y == 2, 7, Y))


def test_labels_of_known_classes_are_names_or_places():
    def numbers(y, classes):
        return arrays.from_memory((X, y), (X, y), classes).test.labels.tolist()

    assert numbers(np.full(30, 2), ("0", "2", "7")) == [1] * 30  # a part may have one class only
    assert numbers(np.full(30, 2), ("ant", "cat", "dog")) == [2] * 30
    assert numbers(np.full(30, "cat"), ("ant", "cat", "dog")) == [1] * 30
    for stranger in (np.full(30, 3), np.full(30, "cow")):
        with pytest.raises(DataError, match="the classes lack"):
            numbers(stranger, ("ant", "cat", "dog"))


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
@pytest.mark.parametrize("one_hot", [False, True])
def test_data_sets_of_labels_and_of_one_hot_rows(batched, shape, one_hot):
    if len(shape) == 2 and one_hot and not batched:
        pytest.skip("looks like a batch")
    pixels, labels = X[..., 0] if len(shape) == 2 else X, np.eye(3)[Y] if one_hot else Y
    data = tf.data.Dataset.from_tensor_slices((pixels, labels))
    got = arrays.from_memory(data.batch(7) if batched else data).train
    np.testing.assert_array_equal(got.labels, Y)
    np.testing.assert_array_equal(got.images, pixels.reshape(30, 4, 4, -1))


def test_a_search_trains_on_what_a_folder_without_parts_gives(tmp_path, eagerly):
    save_folder(tmp_path, {"": 8}, (8, 8, 1))
    train, _, _ = images.load(f"folder:{tmp_path}")
    halves = images.search_halves(train, None, 0.5, False, 0)
    assert [len(half) for half in halves] == [7, 7]


def test_a_class_whose_images_are_all_held_out_is_refused(tmp_path):
    two_classes(tmp_path)
    put(tmp_path / "rare/x.png", GRAY)
    found = []
    for seed in range(40):
        try:
            train, _, _ = images.load(f"folder:{tmp_path}", seed=seed)
            found.append(2 in train.source.labels[train.indices])
        except DataError as error:
            assert "so few images of rare that all are held out" in str(error)
    assert all(found) and 20 < len(found) < 40
