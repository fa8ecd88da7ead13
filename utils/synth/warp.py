"""The three resamplings that the `captcha` package puts each letter through, for all at once.

Turn (bilinear), resize (bicubic) and quadrilateral (nearest pixel), each on whole pixels, as Pillow
does them. What survives of a thin stroke is decided by those grids: drawn through one smooth map
instead, letters come out cleaner, and a reader trained on them lost 5 points on the package's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.synth.glyphs import MARGIN, GlyphAtlas
from utils.synth.resize import ResizeTable

GROUPS = {"cpu": 96, "cuda": 8192}
"""Letters that are worked on together; a compromise of padding and of calls."""


class LetterWarp:
    """Turns and warps the glyphs of an atlas."""

    def __init__(self, atlas: GlyphAtlas):
        self._atlas = atlas
        turns = torch.linspace(0, 0.5, 16, device=atlas.inks.device)  # from 30 to 0 degrees
        turned = _turn(atlas.inks.repeat(16, 1), turns.repeat_interleave(len(atlas.inks)))
        turned = turned.turned.unflatten(0, (16, -1)).amax(0)  # (G, 2)
        # Between two of these turns a thin stroke may reach a pixel further on both sides, and a
        # warp adds 0.4 of the width at most.
        most = turned.max() + 2, (atlas.boxes * 1.4 + 4).max()
        ratio = (turned / atlas.boxes).max()
        self._table = ResizeTable(int(most[0]), int(most[1]), float(ratio), atlas.inks.device)

    def draw(
        self, glyph: Tensor, turn: Tensor, warp: Tensor, top: Tensor,
        shape: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        """Coverage 0..1 by the M letters, as patches (M, H, Wp) = (M, *shape).

        turn (M,) and warp (M, 6) are dice 0..1, top (M,) the row of the picture where the patch
        begins. Past its own width and height a patch holds anything.
        """
        quads, resized = _quadrilateral(self._atlas.boxes[glyph], warp, top)
        turns = _turn(self._atlas.inks[glyph], turn)
        patches = torch.empty(len(glyph), *shape, device=glyph.device)
        size = GROUPS.get(glyph.device.type, GROUPS["cuda"])
        # Letters of like size together: each group is padded to its largest.
        for group in turns.turned[:, 1].argsort(stable=True).split(size):
            here = turns.of(group)
            letters = _draw_turned(self._atlas, glyph[group], here)
            letters = self._resize(letters, here.turned, resized[group])
            patches[group] = _pick(letters, quads[group], shape)
        return patches

    def _resize(self, letters: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Pillow's bicubic resize of (M, RH, RW): along the rows, cut to 0..1, then down."""
        across = self._table.matrix(before[:, 0], after[:, 0], letters.shape[2])  # (M, RW, W2)
        down = self._table.matrix(before[:, 1], after[:, 1], letters.shape[1])  # (M, RH, H2)
        letters = (letters @ across).clamp_(0, 1)
        return down.transpose(1, 2) @ letters  # (M, H2, W2)


def _quadrilateral(box: Tensor, warp: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """Where a pixel (x, y) of the patch lies in the resized letter, and the size (M, 2) of that.

    (M, 2, 4): factors of 1, x, y and x * y, y counted in rows of the picture, for both axes.
    """
    most = box * warp[:, :2] * box.new_tensor([0.2, 0.1]) + box.new_tensor([0.1, 0.2])
    first, second = (
        (warp[:, 2:].unflatten(1, (2, 2)) * 2 * most[:, None] - most[:, None]).trunc().unbind(1)
    )
    size = box + first.abs() + second.abs()
    (x1, y1), (x2, y2) = first.unbind(1), second.unbind(1)
    across, down = (size - first - second).unbind(1)
    width, height = box.unbind(1)
    area = width * height
    x = torch.stack([x1, across / width, -2 * x1 / height, 2 * (x1 + x2) / area], dim=1)
    y = torch.stack([y1, -2 * y1 / width, down / height, 2 * (y1 + y2) / area], dim=1)
    factors = torch.stack([x, y], dim=1)
    factors[:, :, :2] -= factors[:, :, 2:] * top[:, None, None]
    return factors, size


@dataclass(frozen=True)
class Turn:
    """How letters are turned: ink (M, 2) in pixels, turned (M, 2) the size of the box around it."""

    cos: Tensor
    sin: Tensor
    ink: Tensor
    turned: Tensor

    def of(self, letters: Tensor) -> Turn:
        return Turn(self.cos[letters], self.sin[letters], self.ink[letters], self.turned[letters])


def _turn(ink: Tensor, turn: Tensor) -> Turn:
    """As Pillow's rotate with expand; turn 0..1 is from 30 to -30 degrees."""
    angle = torch.deg2rad(30 - 60 * turn)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    reach = cos * ink + sin.abs() * ink.flip(1)
    return Turn(cos, sin, ink, ((ink + reach) / 2).ceil() - ((ink - reach) / 2).floor())


def _draw_turned(atlas: GlyphAtlas, glyph: Tensor, turn: Turn) -> Tensor:
    """Coverage 0..1 by the turned letters: (M, RH, RW), zero past their own sizes."""
    columns, rows = (int(side) for side in turn.turned.amax(0))
    cos, sin, ink, middle = turn.cos, turn.sin, turn.ink, turn.turned / 2
    cell = torch.tensor(atlas.sheet.shape[:0:-1], device=glyph.device)  # width, height
    scale = 2 / cell  # grid_sample counts from -1 to 1
    x = torch.cat([-cos * middle[:, :1] - sin * middle[:, 1:], cos, sin], dim=1)
    y = torch.cat([sin * middle[:, :1] - cos * middle[:, 1:], -sin, cos], dim=1)
    factors = torch.stack([x, y], dim=1) * scale[:, None]  # (M, 2, 3), of 1, column and row
    factors[:, :, 0] += (ink / 2 + MARGIN) * scale - 1
    grid = (factors.view(-1, 3) @ _basis(rows, columns, glyph.device)[:3]).view(
        -1, 2, rows, columns
    )
    cells = atlas.sheet[glyph][:, None]
    letters = F.grid_sample(cells, grid.permute(0, 2, 3, 1), align_corners=False)[:, 0]
    # Beyond the ink's own box there is nothing: in each row it begins and ends with a column.
    y = torch.arange(rows, device=glyph.device) + 0.5 - middle[:, 1:]  # (M, RH)
    steep = torch.where(sin.abs() < 1e-6, 1e-6, sin)
    half = ink[:, :1] / 2, (ink[:, 1:] / 2) / steep.abs()
    centre = -sin * y / cos, cos * y / steep
    first = torch.maximum(centre[0] - half[0] / cos, centre[1] - half[1]) + middle[:, :1]
    last = torch.minimum(centre[0] + half[0] / cos, centre[1] + half[1]) + middle[:, :1]
    column = torch.arange(columns, device=glyph.device) + 0.5
    outside = (column < first[:, :, None]) | (column > last[:, :, None])
    return letters.masked_fill_(outside, 0)


def _pick(letter: Tensor, quad: Tensor, shape: tuple[int, int]) -> Tensor:
    """The nearest pixel of (M, H2, W2) for every pixel of the patches: (M, *shape)."""
    size = torch.tensor(letter.shape[:0:-1], device=letter.device)
    quad = quad * (2 / size[:, None])
    quad[:, :, 0] -= 1
    grid = (quad.view(-1, 4) @ _basis(*shape, letter.device)).view(len(letter), 2, *shape)
    grid = grid.permute(0, 2, 3, 1)
    return F.grid_sample(letter[:, None], grid, mode="nearest", align_corners=False)[:, 0]


@lru_cache(maxsize=256)
def _basis(rows: int, columns: int, device: torch.device) -> Tensor:
    """1, x, y and x * y in the middle of each pixel: (4, rows * columns)."""
    y, x = torch.meshgrid(
        torch.arange(rows, device=device) + 0.5,
        torch.arange(columns, device=device) + 0.5,
        indexing="ij",
    )
    return torch.stack([torch.ones_like(x), x, y, x * y]).flatten(1)
