"""How the letters of a text differ from those that a font sets: `Face.write_letters` takes it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from utils.synth.fonts import Face, Glyph

Change = Callable[[int, Glyph], Glyph]
"""What becomes of the glyph of an index."""

DECIMALS = re.compile(r"\d[.,](\d+)$")


def as_set(index: int, glyph: Glyph) -> Glyph:
    return glyph


def both(one: Change, other: Change) -> Change:
    """The one, then the other."""
    return lambda index, glyph: other(index, one(index, glyph))


def smaller_from(first: int, factor: float, hangs: bool) -> Change:
    """The characters from that index on are scaled, on the line or hanging from its top."""
    return lambda index, glyph: glyph.scaled(factor, hangs) if index >= first else glyph


def small_decimals(text: str, rng: random.Random) -> Change:
    """In half of the texts, digits behind a decimal point are smaller, as meters and prices have
    them; some hang from the top of the line."""
    decimals = DECIMALS.search(text)
    if decimals is None or rng.random() < 0.5:
        return as_set
    first, factor, hangs = decimals.start(1), rng.uniform(0.45, 0.85), rng.random() < 0.3
    return smaller_from(first, factor, hangs)


def loose(text: str, face: Face, rng: random.Random) -> tuple[float, Change]:
    """Pixels between the letters of a text, and what becomes of each: in half of the texts it
    stands in the middle of a cell as wide as the widest, in half it is turned, and in half moved
    up or down."""
    gap = rng.uniform(0, 1)
    most_turn, most_move = (rng.uniform(0, most) * (rng.random() < 0.5) for most in (40, 0.25))
    in_cells = rng.random() < 0.5
    cell = max(glyph.advance for glyph in map(face.glyph, text) if glyph)

    def change(index: int, glyph: Glyph) -> Glyph:
        if in_cells:
            left = round((cell - glyph.ink.shape[1]) / 2)
            glyph = replace(glyph, left=left, advance=cell)
        if most_turn:
            glyph = glyph.turned(rng.uniform(-most_turn, most_turn))
        return replace(glyph, top=glyph.top + round(face.size * rng.uniform(-1, 1) * most_move))

    return face.size * gap, change
