"""The glyphs of an atlas in every turn, as Pillow's rotate draws them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.synth.dice import MOST_DEGREES, NUM_TURNS
from utils.synth.glyphs import MARGIN, GlyphAtlas

MOST_KEPT = 2**27
"""Bytes of turned letters that are kept: enough for a few hundred characters."""


class TurnedGlyphs:
    """Each glyph in each whole degree: all of them drawn once if they are few, else when asked for.

    Drawing a letter again takes a third of the time of the whole picture.
    """

    def __init__(self, atlas: GlyphAtlas):
        self._atlas = atlas
        count = len(atlas.inks)
        every = torch.arange(count * NUM_TURNS, device=atlas.inks.device)
        glyph, turn = every // NUM_TURNS, every % NUM_TURNS
        self.sizes = _Turn.of(atlas.inks[glyph], turn).box.unflatten(0, (count, NUM_TURNS))
        """(G, NUM_TURNS, 2): width and height of what holds a turned glyph."""
        columns, rows = (int(side) for side in self.sizes.flatten(0, 1).amax(0))
        self._kept: Tensor | None = None
        if len(every) * rows * columns <= MOST_KEPT:
            drawn = [
                _draw_turned(atlas, glyph[some], turn[some], rows, columns)
                for some in every.split(NUM_TURNS)
            ]
            self._kept = torch.stack(drawn)  # (G, NUM_TURNS, rows, columns)

    def draw(self, glyph: Tensor, turn: Tensor) -> Tensor:
        """The M letters, (M, RH, RW): levels 0..255 in float32, zero past their own sizes."""
        columns, rows = (int(side) for side in self.sizes[glyph, turn].amax(0))
        if self._kept is None:
            return _draw_turned(self._atlas, glyph, turn, rows, columns).float()
        return self._kept[glyph, turn, :rows, :columns].float()


@dataclass(frozen=True)
class _Turn:
    """How M letters are turned: ink (M, 2) in pixels, box (M, 2) the size of what holds it then."""

    cos: Tensor
    sin: Tensor
    ink: Tensor
    box: Tensor

    @classmethod
    def of(cls, ink: Tensor, turn: Tensor) -> _Turn:
        """As Pillow's rotate with expand."""
        angle = torch.deg2rad(MOST_DEGREES - turn.float())
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        reach = cos * ink + sin.abs() * ink.flip(1)
        return cls(cos, sin, ink, ((ink + reach) / 2).ceil() - ((ink - reach) / 2).floor())


def _draw_turned(
    atlas: GlyphAtlas, glyph: Tensor, turns: Tensor, rows: int, columns: int
) -> Tensor:
    """Levels 0..255 of the turned letters: (M, rows, columns), uint8, zero past their own sizes."""
    turn = _Turn.of(atlas.inks[glyph], turns)
    cos, sin, ink, middle = turn.cos, turn.sin, turn.ink, turn.box / 2
    cell = torch.tensor(atlas.sheet.shape[:0:-1], device=glyph.device)  # width, height
    scale = 2 / cell  # grid_sample counts from -1 to 1
    column, row = (torch.arange(side, device=glyph.device) + 0.5 for side in (columns, rows))
    across = (column - middle[:, :1])[:, None, :]  # (M, 1, RW), from the middle
    down = (row - middle[:, 1:])[:, :, None]  # (M, RH, 1)
    cos, sin = cos[:, :, None], sin[:, :, None]
    x = cos * across + sin * down + ink[:, :1, None] / 2  # (M, RH, RW), from the ink's upper left
    y = cos * down - sin * across + ink[:, 1:, None] / 2
    grid = (torch.stack([x, y], dim=3) + MARGIN) * scale - 1
    cells = atlas.sheet[glyph][:, None].float()
    letters = F.grid_sample(cells, grid, align_corners=False)[:, 0]
    # Beyond the ink's own box there is nothing.
    inside = (x >= 0) & (x < ink[:, :1, None]) & (y >= 0) & (y < ink[:, 1:, None])
    return (letters * inside).round().byte()
