"""ImageSpec, and the ONE way a picture becomes a network's input (Pillow and numpy only).

Training, evaluation, inference, service and export all call `prepare`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import ExifTags, Image, ImageOps

MAX_PIXELS = 64_000_000
"""A picture with more is refused by its header, before anything is decoded."""

DIRECTIONS = ("horizontal", "vertical")
"""Of text in its picture: from left to right, or upright characters from top to bottom."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R 601), as Pillow has it."""


class Encoded(Protocol):
    """A picture that knows where its encoded bytes are, as a Path does."""

    def read_bytes(self) -> bytes: ...


Source = str | Encoded | bytes | Image.Image | np.ndarray


class PictureError(Exception):
    """A picture that cannot be read; the message says why, without its name."""


@dataclass(frozen=True)
class ImageSpec:
    """What a network's input looks like; stored in the checkpoint.

    Pixels are scaled to 0..1, then `mean` is subtracted and `std` divided out, by channel. With
    `keep_ratio` the width follows the picture's ratio, up to `width`; otherwise it is `width`.
    A `vertical` picture is turned 90 degrees counter-clockwise, so that its top comes first.
    """

    height: int = 60
    width: int = 160
    channels: int = 1
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    keep_ratio: bool = False
    direction: str = "horizontal"

    MIN_WIDTH = 8


def open_picture(source: Source, channels: int) -> Image.Image:
    """Decode into mode L (channels 1) or RGB (3): EXIF turned, transparency on white, first frame.

    Raises PictureError for what cannot be read whole.
    """
    with _picture_errors():
        image = _opened(source)
        _check_pixels(image, MAX_PIXELS)
        return _to_mode(_turned(image), "L" if channels == 1 else "RGB")


def decode_picture(data: bytes, max_pixels: int, formats: tuple[str, ...]) -> Image.Image:
    """For bytes of strangers: decoded and EXIF turned, in whatever mode it has, for `prepare`.

    Raises PictureError for another format than these, and for more pixels, by the header alone.
    """
    with _picture_errors():
        image = _opened(data, formats)
        _check_pixels(image, max_pixels)
        return _turned(image)


def picture_size(source: Source) -> tuple[int, int]:
    """Width and height as `open_picture` gives them, from the header where that is enough.

    Raises PictureError for what has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = _bytes_of(source)
            image = _opened(data)
            if image.format == "PNG" and isinstance(data, bytes) and not _says_how_it_lies(data):
                return image.size  # Pillow would decode all of it, to look behind the pixels
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return image.size[::-1] if turned else image.size
    except Exception:
        return open_picture(source, 1).size


def _says_how_it_lies(png: bytes) -> bool:
    """Whether there may be an orientation: EXIF in its chunk, or as text, or in XMP."""
    return any(mark in png for mark in (b"eXIf", b"exif", b"xmp"))


@contextmanager
def _picture_errors() -> Iterator[None]:
    """Whatever a damaged file raises becomes a PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except IsADirectoryError:
        raise PictureError("it is a folder") from None
    except Image.UnidentifiedImageError:
        raise PictureError("not a picture that Pillow can read") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, EOFError) as error:
        raise PictureError(f"damaged or unreadable ({error})") from None
    except Exception as error:  # Pillow's plugins raise what they like on damaged files
        raise PictureError(f"damaged or unreadable ({type(error).__name__}: {error})") from None


def _check_pixels(image: Image.Image, most: int) -> None:
    width, height = image.size
    if width * height == 0:
        raise PictureError(f"{width} x {height}: it has no pixels")
    if width * height > most:
        raise PictureError(f"{width} x {height} pixels are more than {most:,}; scale it down")


def _turned(image: Image.Image) -> Image.Image:
    image.load()
    return ImageOps.exif_transpose(image)


def _bytes_of(source: Source) -> bytes | Image.Image | np.ndarray:
    if isinstance(source, (bytes, Image.Image, np.ndarray)):
        return source
    place = Path(source) if isinstance(source, str) else source
    return place.read_bytes()


def _opened(source: Source, formats: tuple[str, ...] | None = None) -> Image.Image:
    """The header is read, and no pixel yet."""
    data = _bytes_of(source)
    if isinstance(data, np.ndarray):
        return Image.fromarray(data)
    if isinstance(data, Image.Image):
        return data
    if not data:
        raise PictureError("the file is empty (0 bytes)")
    return Image.open(io.BytesIO(data), formats=formats)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode and not image.has_transparency_data:
        return image
    if image.mode.startswith(("I;16", "I", "F")):
        values = np.asarray(image, dtype=np.float32)
        brightest = float(np.max(values))
        tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        top = next((top for top in tops if brightest <= top), 65535.0)
        image = Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def prepared_width(width: int, height: int, spec: ImageSpec) -> int:
    """The width that a (turned) picture of this size is scaled to."""
    return min(width_at_ratio(width, height, spec), spec.width) if spec.keep_ratio else spec.width


def width_at_ratio(width: int, height: int, spec: ImageSpec) -> int:
    """The width that a (turned) picture of this size has at the spec's height."""
    return max(round(width * spec.height / height), ImageSpec.MIN_WIDTH)


def lying(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """A picture whose text runs from left to right: a vertical one is turned."""
    is_vertical = spec.direction == "vertical"
    return image.transpose(Image.Transpose.ROTATE_90) if is_vertical else image


def prepare(source: Source, spec: ImageSpec) -> np.ndarray:
    """A picture as the network takes it: float32 (Ch, H, W), W its true width.

    Raises PictureError for what cannot be read.
    """
    image = lying(open_picture(source, spec.channels), spec)
    width = prepared_width(image.width, image.height, spec)
    if image.size != (width, spec.height):
        image = image.resize((width, spec.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.float32).reshape(spec.height, width, spec.channels)
    scale = 1.0 / (255.0 * np.asarray(spec.std, np.float32))
    shift = np.asarray(spec.mean, np.float32) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray((pixels * scale - shift).transpose(2, 0, 1), dtype=np.float32)


def stack(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Prepared pictures -> images (N, Ch, H, W) padded with zeros on the right, widths (N,)."""
    widths = np.array([picture.shape[2] for picture in pictures], dtype=np.int64)
    channels, height, _ = pictures[0].shape
    images = np.zeros((len(pictures), channels, height, int(np.max(widths))), np.float32)
    for image, picture in zip(images, pictures, strict=True):
        image[:, :, : picture.shape[2]] = picture
    return images, widths
