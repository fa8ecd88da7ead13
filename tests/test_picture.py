"""Pictures of every kind: read as people see them, or refused with the reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.picture import ImageSpec, PictureError, open_picture, prepare, stack


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int] = (64, 32)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3))
    return Image.fromarray(values.astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG, without any pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT"


def value(source, channels: int = 1):
    return open_picture(source, channels).getpixel((0, 0))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"only text, whatever its name", "not a picture that Pillow can read"),
        (encoded(noise())[:-3000], "damaged or unreadable"),
        (encoded(noise())[:40], "not a picture that Pillow can read"),
        (encoded(noise(), "JPEG")[:-600], "damaged or unreadable"),
        (png_header(8001, 8000), "8001 x 8000 pixels are more than 64,000,000"),
        (png_header(40_000, 40_000), "damaged or unreadable"),
        (np.zeros((0, 5), np.uint8), "5 x 0: it has no pixels"),
        (np.zeros((4, 4, 7), np.uint8), "damaged or unreadable"),
    ],
    ids=["0-byte", "text", "PNG", "PNG-header", "JPEG", "large", "huge", "no-pixels", "7-channels"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_cannot_be_read_is_refused_with_the_reason(source, reason, channels):
    with pytest.raises(PictureError) as caught:
        open_picture(source, channels)
    assert reason in str(caught.value)


def test_paths_that_are_no_pictures(tmp_path: Path):
    (tmp_path / "text.png").write_text("only text", encoding="utf-8")
    for path, reason in (("text.png", "not a picture"), ("gone.png", "no such file"), ("", "fold")):
        with pytest.raises(PictureError, match=reason):
            open_picture(tmp_path / path, 1)


def test_a_path_bytes_an_image_and_an_array_are_read_alike(tmp_path):
    image = noise()
    path = tmp_path / "a picture.png"
    path.write_bytes(encoded(image))
    expected = prepare(image, ImageSpec())
    for source in (path, str(path), path.read_bytes(), np.asarray(image)):
        assert np.array_equal(prepare(source, ImageSpec()), expected)


def test_an_array_of_grey():
    array = np.arange(32, dtype=np.uint8).reshape(4, 8)
    assert np.array_equal(np.asarray(open_picture(array, 1)), array)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 60), (1, 5_000)])
def test_any_size_becomes_the_networks(size):
    picture = prepare(encoded(Image.new("L", size, 255)), ImageSpec())
    assert picture.shape == (1, 60, 160)
    assert np.allclose(picture, 1.0)


@pytest.mark.parametrize(("black", "expected"), [(0, 255), (255, 0)])
def test_cmyk(black, expected):
    picture = encoded(Image.new("CMYK", (16, 16), (0, 0, 0, black)), "JPEG")
    assert abs(value(picture) - expected) < 4
    assert np.allclose(value(picture, 3), expected, atol=4)


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (0x8000, 127), (0x100, 0), (0xFFFF, 255)])
def test_16_bits_are_scaled_not_cut(level, expected):
    picture = encoded(Image.fromarray(np.full((4, 4), level, np.uint16)))
    assert value(picture) == expected
    assert value(picture, 3) == (expected,) * 3


@pytest.mark.parametrize(("top", "array"), [(1.0, "float32"), (255.0, "float32"), (65535, "int32")])
def test_float_and_32_bit_arrays_are_scaled_by_their_range(top, array):
    ramp = np.array([[0, top]], dtype=array)
    assert np.asarray(open_picture(ramp, 1)).tolist() == [[0, 255]]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("L", (8, 8), level) for level in (200, 100, 0)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert value(gif) == 200
    assert value(gif, 3) == (200, 200, 200)


def transparent_palette() -> bytes:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    return encoded(image, transparency=0)


@pytest.mark.parametrize(
    "picture",
    [
        encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))),
        encoded(Image.new("LA", (8, 8), (0, 0))),
        transparent_palette(),
        encoded(Image.new("L", (8, 8), 0), transparency=0),
        encoded(Image.new("RGB", (8, 8), (0, 0, 0)), transparency=(0, 0, 0)),
    ],
    ids=["RGBA", "LA", "P+tRNS", "L+tRNS", "RGB+tRNS"],
)
def test_transparency_lies_on_white(picture):
    assert value(picture) == 255
    assert value(picture, 3) == (255, 255, 255)


def test_half_transparency_is_half_white():
    assert abs(value(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)))) - 127) <= 1


def test_exif_turned_pictures_stand_upright():
    image = Image.new("L", (20, 10), 255)
    image.paste(0, (0, 0, 10, 10))  # the left half is black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise: the left half comes on top
    upright = open_picture(encoded(image, "JPEG", exif=exif, quality=95), 1)
    assert upright.size == (10, 20)
    assert upright.getpixel((5, 3)) < 20
    assert upright.getpixel((5, 16)) > 235


def test_prepare_normalises_each_channel():
    spec = ImageSpec(height=4, width=6, channels=3, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    picture = prepare(Image.new("RGB", (6, 4), (255, 255, 51)), spec)
    assert picture.shape == (3, 4, 6)
    assert picture.dtype == np.float32
    assert picture.flags.c_contiguous
    for channel, expected in zip(picture, (1.0, 1.0, -3.2), strict=True):
        assert np.allclose(channel, expected, atol=1e-5)


def test_prepare_scales_grey_to_minus_one_to_one():
    array = np.array([[0, 51, 255]], np.uint8)
    picture = prepare(array, ImageSpec(height=1, width=3))
    assert np.allclose(picture, [[[-1.0, -0.6, 1.0]]])


@pytest.mark.parametrize(
    ("size", "width"), [((80, 30), 160), ((40, 30), 80), ((400, 30), 200), ((1, 60), 8)]
)
def test_keep_ratio_up_to_the_largest_width(size, width):
    spec = ImageSpec(height=60, width=200, keep_ratio=True)
    assert prepare(Image.new("L", size), spec).shape == (1, 60, width)


def test_vertical_text_starts_at_its_top():
    image = Image.new("L", (60, 160), 255)
    image.paste(0, (0, 0, 60, 40))  # the top is black
    picture = prepare(image, ImageSpec(direction="vertical"))
    assert picture.shape == (1, 60, 160)
    assert np.allclose(picture[:, :, :40], -1.0)
    assert np.allclose(picture[:, :, 40:], 1.0)


def test_stack_pads_with_zeros_on_the_right():
    pictures = [np.full((1, 4, width), 2.0, np.float32) for width in (3, 5, 1)]
    images, widths = stack(pictures)
    assert images.shape == (3, 1, 4, 5)
    assert images.dtype == np.float32
    assert widths.tolist() == [3, 5, 1]
    assert widths.dtype == np.int64
    for image, width in zip(images, widths, strict=True):
        assert np.all(image[:, :, :width] == 2.0)
        assert np.all(image[:, :, width:] == 0.0)
