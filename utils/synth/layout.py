"""How a text stands in its picture: how high, how wide, and how much is around it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Margins are in heights of the letters; below 0 they cut letters."""

    height: float
    """Of the picture, as a share of the tallest."""
    stretch: float
    """Width of the letters, times what the font gives them."""
    top: float
    bottom: float
    left: float
    right: float


Place = Callable[[random.Random], Layout]


def close(rng: random.Random) -> Layout:
    """As words are cut out of a photograph."""
    top, bottom = (max(-0.04, rng.gauss(0.08, 0.08)) for _ in range(2))
    left, right = (max(-0.02, rng.gauss(0.1, 0.1)) for _ in range(2))
    return Layout(rng.uniform(1 / 3, 1), 2 ** rng.uniform(-0.5, 0.5), top, bottom, left, right)


def loose(rng: random.Random) -> Layout:
    """Letters of a quarter to three fifths of the height, near its middle, as some captchas have
    them; half of the pictures are as high as the tallest."""
    height = min(1.0, rng.uniform(2 / 3, 4 / 3))
    empty, above = 1 / rng.uniform(0.25, 0.6) - 1, rng.uniform(0.25, 0.75)
    left, right = (rng.uniform(0, 2) for _ in range(2))
    stretch = 2 ** rng.uniform(-0.5, 0.5)
    return Layout(height, stretch, empty * above, empty * (1 - above), left, right)


def display(rng: random.Random) -> Layout:
    """The window of a meter: wide digits, and at times room behind them."""
    top, bottom = (rng.uniform(-0.03, 0.3) for _ in range(2))
    left = rng.uniform(-0.03, 0.3) if rng.random() < 0.6 else rng.uniform(0.3, 1)
    right = rng.uniform(-0.03, 0.3) if rng.random() < 0.5 else rng.uniform(0.3, 1.5)
    return Layout(rng.uniform(1 / 2, 1), 2 ** rng.uniform(-0.2, 0.8), top, bottom, left, right)
