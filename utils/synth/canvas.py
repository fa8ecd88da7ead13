"""Arrays of ink and colour: laying one on another, colours that go together, clouds, arches."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from utils.picture import LUMA

GREY = np.array(LUMA, np.float32)

LEAST_CONTRAST = 40
"""Levels of grey between letters and ground; half of it where each letter has its own colour."""

TRIES = 50
"""Colours that are thrown for letters on a ground, before black or its opposite will do."""

Painted = tuple[np.ndarray, np.ndarray]
"""A canvas (H, W, channels) of 0..255, and what its letters are painted with, which broadcasts to
it."""


def arched(ink: np.ndarray, bend: float) -> np.ndarray:
    """Letters (h, w) along an arch, `bend` of their height high; below 0 it hangs down."""
    height, width = ink.shape
    x = np.linspace(-1, 1, width)
    drop = np.round(abs(bend) * height * (x * x if bend > 0 else 1 - x * x)).astype(int)
    bent = np.zeros((height + int(drop.max()), width), np.uint8)
    rows = np.arange(height)[:, None] + drop
    bent[rows, np.arange(width)] = ink
    return bent


def paste(canvas: np.ndarray, ink: np.ndarray, left: int, top: int) -> None:
    """The brighter of both where ink (h, w) lies on the canvas; what hangs over is cut."""
    height, width = canvas.shape
    y, x = max(top, 0), max(left, 0)
    cut = ink[y - top : max(height - top, 0), x - left : max(width - left, 0)]
    if cut.size:
        place = canvas[y:, x:][: cut.shape[0], : cut.shape[1]]
        np.maximum(place, cut, out=place)


def grain(shape: tuple[int, ...], channels: int, strength: float, noise) -> np.ndarray:
    """(H, W, channels): clouds of a few pixels up to the whole picture, of `strength` levels."""
    height, width = shape
    cell = int(noise.integers(2, max(3, height // 2)))
    size = (-(-height // cell) + 1, -(-width // cell) + 1)
    coarse = noise.normal(0, strength, size).astype(np.float32)
    fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    by_channel = np.float32(1 + 0.3 * noise.normal(0, 1, channels))
    return np.asarray(fine)[:, :, None] * by_channel


def grey_of(colour: np.ndarray) -> float:
    """Its level, of a colour (1,) or (3,)."""
    return float(colour @ GREY) if len(colour) == 3 else float(colour[0])


def in_channels(colour: np.ndarray, channels: int) -> np.ndarray:
    """(channels,) of a colour (3,): as it is, or its grey."""
    return colour if channels == 3 else (colour @ GREY)[None]


def any_colour(channels: int, rng: random.Random) -> np.ndarray:
    """(channels,), 0..255."""
    if rng.random() < 0.4:  # near white, near black, or a grey
        level = rng.choice([rng.uniform(0, 60), rng.uniform(195, 255), rng.uniform(0, 255)])
        colour = [level + rng.uniform(-12, 12) for _ in range(3)]
    else:
        colour = [rng.uniform(0, 255) for _ in range(3)]
    return in_channels(np.array(colour, np.float32).clip(0, 255), channels)


def paint_on(ground: np.ndarray, least: float, rng: random.Random) -> np.ndarray:
    """A colour (channels,) that can be seen on that ground, by `least` levels of grey."""
    for _ in range(TRIES):
        paint = any_colour(len(ground), rng)
        if abs(grey_of(paint) - grey_of(ground)) >= least:
            return paint
    return 255 - ground if grey_of(ground) < 80 else ground * 0


def as_picture(canvas: np.ndarray) -> Image.Image:
    values = canvas.clip(0, 255).astype(np.uint8)
    return Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
