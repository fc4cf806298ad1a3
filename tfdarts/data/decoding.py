"""Decodes image files of every kind that people have: 16 bits, palettes, turned by a phone."""

import contextlib

import numpy as np
import PIL.Image

from tfdarts.data.sources import DataError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {  # what brings an image upright that is stored with such an orientation
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def decode(file, name, shape, upright=False):
    """Decodes an image (of an animation or a file of several pages the first) to `(height, width, channels)` uint8.

    16 bits are scaled to 8. An alpha channel is kept where `shape` has four channels, otherwise left out.

    Args:
        file: a path, or a file object.
        name: what to call it in an error.
        shape: what it must have; height and width None for any.
        upright: whether to turn it as its EXIF orientation says.

    Raises:
        DataError: if it cannot be read, has another size, or has pixels of which white is not known.
    """
    with _explained(name), PIL.Image.open(file) as image:
        image.load()  # which turns a TIFF by itself
        turn = _TURNS.get(_orientation(image)) if upright else None
        image = _scaled(image, name)
        if image.mode == "P":
            image = image.convert("RGBA")  # to any other mode, a palette with transparent colors needs a warning
        image = image.convert(MODES[shape[2]])
        pixels = np.asarray(image if turn is None else image.transpose(turn))
    pixels = pixels.reshape(*pixels.shape[:2], shape[2])
    if shape[0] is not None and pixels.shape != tuple(shape):
        raise DataError(f"the image {name} is {pixels.shape[1]}x{pixels.shape[0]}, others differ; give --image_size")
    return pixels


def header(path):
    """Size `(width, height)` and number of channels of an image file, upright, without decoding it.

    Raises:
        DataError: if it cannot be read.
    """
    with _explained(path), PIL.Image.open(path) as image:
        turned = image.format != "TIFF" and _orientation(image) > 4  # of a TIFF, the size is that of the upright image
        return image.size[::-1] if turned else image.size, _channels(image)


def eight_bits(pixels):
    """Pixels from 0 to 65535 as pixels from 0 to 255, uint8."""
    return np.rint(pixels / np.float32(257)).astype(np.uint8)


@contextlib.contextmanager
def _explained(name):
    try:
        yield
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "it is not an image" if isinstance(error, PIL.UnidentifiedImageError) else reason
        raise DataError(f"cannot read the image {name} ({reason}); repair or remove it") from None


def _scaled(image, name):
    """The image, scaled from 16 bits to 8 if it has such; Pillow itself would make all above 255 white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return PIL.Image.fromarray(eight_bits(np.asarray(image)))
    if image.mode in ("I", "F"):
        raise DataError(
            f"the image {name} has {'32-bit' if image.mode == 'I' else 'float'} pixels, of which white is not known; "
            "convert the images to 8 or 16 bits"
        )
    return image


def _orientation(image):
    """The EXIF orientation, from 1 to 8; 1, upright, where there is none or it cannot be read."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # looking further would decode the image
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data raises many kinds, and the image is sound without
        return 1


def _channels(image):
    bands = image.getbands()
    if image.mode in ("P", "PA"):
        return 4 if image.mode == "PA" else 3
    return {1: 1, 2: 1, 4: 4 if image.mode == "RGBA" else 3}.get(len(bands), 3)
