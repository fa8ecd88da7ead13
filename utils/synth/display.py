"""The displays of meters and instruments as photographs show them: unlit segments, small print
beside the digits, the frame of the window, and light on its glass."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from utils.synth.canvas import Painted, grain, in_channels, paste
from utils.synth.fonts import Face, Glyph
from utils.synth.lettering import DECIMALS, Change, as_set, both, smaller_from

PRINT = ("kWh", "kW h", "kVAh", "CkWh", "kVA", "CUM", "MD", "TOT", "V", "A", "Hz", "kW", "kg", "lb",
         "mm", "L", "T", "bar", "rpm", "ppm", "SET", "MAX", "MIN", "AM", "PM", "C", "F",
         "%", "Ø", "=", "~", ">")  # fmt: skip
"""What stands beside the digits, and is not read."""


def digits(text: str, face: Face, rng: random.Random) -> Change:
    """What makes a font's digits those of a display."""
    return both(both(plain_sevens(text, rng), unlit(face, rng)), small_last(text, rng))


def unlit(face: Face, rng: random.Random) -> Change:
    """In a third of the displays, the segments that are off show faintly: an 8 behind each
    character that is as wide."""
    eight = face.glyph("8")
    if eight is None or rng.random() > 1 / 3:
        return as_set
    faint = replace(eight, ink=(eight.ink * rng.uniform(0.03, 0.2)).astype(np.uint8))

    def change(index: int, glyph: Glyph) -> Glyph:
        is_digit = abs(glyph.advance - eight.advance) < 1
        return over(glyph, faint) if is_digit else glyph

    return change


def small_last(text: str, rng: random.Random) -> Change:
    """In some of the displays the last digit is smaller, or all behind the decimal point."""
    decimals = DECIMALS.search(text)
    if len(text) < 3 or rng.random() > (0.6 if decimals else 0.25):
        return as_set
    first = decimals.start(1) if decimals else len(text) - 1
    return smaller_from(first, rng.uniform(0.35, 0.75), rng.random() < 0.1)


def plain_sevens(text: str, rng: random.Random) -> Change:
    """In half of the displays the 7 has three segments: the upper left one is off."""
    if rng.random() < 0.5:
        return as_set

    def change(index: int, glyph: Glyph) -> Glyph:
        if text[index] != "7":
            return glyph
        height, width = glyph.ink.shape
        ink = glyph.ink.copy()
        ink[round(0.16 * height) :, : round(0.45 * width)] = 0
        return replace(glyph, ink=ink)

    return change


def over(glyph: Glyph, other: Glyph) -> Glyph:
    """Both where they stand, the brighter of the two."""
    left, top = min(glyph.left, other.left), min(glyph.top, other.top)
    right = max(each.left + each.ink.shape[1] for each in (glyph, other))
    bottom = max(each.top + each.ink.shape[0] for each in (glyph, other))
    ink = np.zeros((bottom - top, right - left), np.uint8)
    for each in (glyph, other):
        paste(ink, each.ink, each.left - left, each.top - top)
    return Glyph(ink, left, top, glyph.advance)


@cache
def _print_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class Room:
    """Pixels around the letters on each side: what is drawn there leaves them whole."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, letters: np.ndarray) -> Room:
        """Of letters (H, W); no room where a margin has cut all the ink away."""
        if not letters.any():
            return cls(0, 0, 0, 0)
        (top, bottom), (left, right) = (
            np.flatnonzero(letters.any(axis=axis))[[0, -1]] for axis in (1, 0)
        )
        height, width = letters.shape
        return cls(int(top), int(height - 1 - bottom), int(left), int(width - 1 - right))


def add_print(letters: np.ndarray, room: Room, rng: random.Random) -> None:
    """In half of the displays, small words behind the digits, and above and below, where the edge
    cuts them."""
    height, width = letters.shape
    if rng.random() < 0.5:
        return
    for _ in range(rng.randint(1, 3)):
        ink = printed(rng.choice(PRINT), max(6, round(height * rng.uniform(0.18, 0.45))))
        high, wide = ink.shape
        if rng.random() < 0.6:
            x = width - room.right + height * rng.uniform(0.05, 0.3)
            y = rng.uniform(0, height - high / 2)
        else:
            x = rng.uniform(-wide / 2, width)
            y = room.top - high if rng.random() < 0.5 else height - room.bottom
        paste(letters, ink, round(x), round(y))


def printed(text: str, size: int) -> np.ndarray:
    """Coverage 0..255 (h, w) of a text in the font that Pillow brings."""
    font = _print_font(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(image).text((-left, -top), text, 255, font)
    return np.asarray(image)


def window(shape: tuple[int, ...], room: Room, channels: int, rng: random.Random, noise) -> Painted:
    """Dark digits on a lit ground, at times lit ones on a dark ground, and at times with the edges
    of the window."""
    ground, paint = (in_channels(colour, channels) for colour in colours(rng))
    canvas = np.full((*shape, channels), ground)
    if rng.random() < 0.3:
        canvas += grain(shape, channels, rng.uniform(5, 45), noise)
    if rng.random() < 0.6:
        add_frame(canvas, room, rng)
    return canvas, paint


def colours(rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """(3,) of the window and of the digits, 0..255."""
    hsv = rng.random(), rng.random() ** 0.5, rng.uniform(0.4, 1)
    bright = np.array(colorsys.hsv_to_rgb(*hsv), np.float32) * 255
    dark = (bright * rng.uniform(0.05, 0.6) + rng.uniform(-12, 12)).clip(0, 255)
    return (dark, bright) if rng.random() < 0.15 else (bright, dark)


def add_frame(canvas: np.ndarray, room: Room, rng: random.Random) -> None:
    """Edges of the window on one to four sides of canvas (H, W, Ch), as far as there is room:
    a border up to the picture's edge or a line, aslant as a camera sees them, sharp or soft."""
    height, width = canvas.shape[:2]
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    line = max(1.0, height * rng.uniform(0.02, 0.07)) if rng.random() < 0.5 else np.inf
    for side in rng.sample(("top", "bottom", "left", "right"), rng.randint(1, 4)):
        far = min(getattr(room, side), 0.5 * height)
        one, other = (rng.uniform(0, far) for _ in range(2))
        along = width if side in ("top", "bottom") else height
        ends = [(0, one), (along, other), (along, other - line), (0, one - line)]
        shape = [(x, max(y, -height)) for x, y in ends]  # as if the side were the top
        if side in ("left", "right"):
            shape = [(y, x) for x, y in shape]
        if side == "right":
            shape = [(width - x, y) for x, y in shape]
        if side == "bottom":
            shape = [(x, height - y) for x, y in shape]
        if far >= 1:
            draw.polygon(shape, 255)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 2)))
    level = rng.uniform(0, 70) if rng.random() < 0.7 else rng.uniform(120, 255)
    covered = np.asarray(image, np.float32)[:, :, None] / 255 * rng.uniform(0.5, 1)
    canvas += covered * (level - canvas)


def add_light(canvas: np.ndarray, rng: random.Random) -> None:
    """Spots of light on the glass of canvas (H, W, Ch), and the edge of a shadow, each in some of
    the displays."""
    if rng.random() < 0.3:
        add_glare(canvas, rng)
    if rng.random() < 0.2:
        height, width = canvas.shape[:2]
        image = Image.new("L", (width, height))
        at, aslant = rng.uniform(0, width), rng.uniform(-height, height)
        side = rng.choice((0, width))
        corners = [(side, 0), (at + aslant, 0), (at - aslant, height), (side, height)]
        ImageDraw.Draw(image).polygon(corners, 255)
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0, 0.15) * height))
        canvas *= 1 - rng.uniform(0.2, 0.7) * np.asarray(image, np.float32)[:, :, None] / 255


def add_glare(canvas: np.ndarray, rng: random.Random) -> None:
    """One or two spots of light on the glass of canvas (H, W, Ch)."""
    height, width = canvas.shape[:2]
    y, x = np.ogrid[:height, :width]
    for _ in range(rng.randint(1, 2)):
        radius = height * rng.uniform(0.1, 1.2)
        far = ((y - rng.uniform(0, height)) / radius) ** 2
        far = far + ((x - rng.uniform(0, width)) / radius / rng.uniform(1, 3)) ** 2
        light = np.exp(-far).astype(np.float32)[:, :, None] * rng.uniform(0.3, 0.95)
        canvas += light * (255 - canvas)
