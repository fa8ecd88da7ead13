"""The three resamplings that the `captcha` package puts each letter through, for all at once.

Turn (bilinear), resize (bicubic) and quadrilateral (nearest pixel), each on whole pixels, as Pillow
does them. What survives of a thin stroke is decided by those grids: drawn through one smooth map
instead, letters come out cleaner, and a reader trained on them lost 5 points on the package's own.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.synth.glyphs import GlyphAtlas
from utils.synth.resize import ResizeTable
from utils.synth.turned import TurnedGlyphs

GROUPS = {"cpu": 96, "cuda": 8192}
"""Letters that are worked on together; a compromise of padding and of calls."""


class LetterWarp:
    """Turns and warps the glyphs of an atlas."""

    def __init__(self, atlas: GlyphAtlas):
        self._boxes, self._turned = atlas.boxes, TurnedGlyphs(atlas)
        sizes = self._turned.sizes
        ratio = (sizes / atlas.boxes[:, None]).max()
        most = int(sizes.max()), int((atlas.boxes * 1.4 + 4).max())  # a warp adds 0.4 at most
        self._table = ResizeTable(*most, float(ratio), atlas.boxes.device)

    def draw(
        self, glyph: Tensor, turn: Tensor, warp: Tensor, top: Tensor, least: Tensor, columns: int
    ) -> Tensor:
        """Where the M letters leave ink, as patches (M, columns, H) of 0 and 1.

        turn (M,) and warp (M, 6) are dice, top (M,) the row of the picture where the patch begins,
        least (M, H) the level of coverage, of 255, that makes ink in each row. Past its own width a
        patch holds anything.
        """
        shape = (columns, least.shape[1])
        quads, resized = _quadrilateral(self._boxes[glyph], warp, top)
        turned = self._turned.sizes[glyph, turn]
        patches = torch.empty(len(glyph), *shape, device=glyph.device)
        size = GROUPS.get(glyph.device.type, GROUPS["cuda"])
        # Letters of like size together: each group is padded to its largest.
        for group in turned[:, 1].argsort(stable=True).split(size):
            letters = self._turned.draw(glyph[group], turn[group])
            letters = self._resize(letters, turned[group], resized[group])
            cover = _pick(letters, quads[group], shape)
            patches[group] = cover.gt_(least[group, None, :])
        return patches

    def _resize(self, letters: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Pillow's bicubic resize of (M, RH, RW): along the rows, cut to 0..255, then down. It
        comes on its side, (M, W2, H2), as the columns are wanted then."""
        across = self._table.matrix(before[:, 0], after[:, 0], letters.shape[2])  # (M, RW, W2)
        down = self._table.matrix(before[:, 1], after[:, 1], letters.shape[1])  # (M, RH, H2)
        letters = (letters @ across).clamp_(0, 255)
        return letters.transpose(1, 2) @ down


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


def _pick(letter: Tensor, quad: Tensor, shape: tuple[int, int]) -> Tensor:
    """The nearest pixel of (M, W2, H2) for each one of the patches, (M, *shape), columns first."""
    size = torch.tensor(letter.shape[:0:-1], device=letter.device)
    quad = quad.flip(1) * (2 / size[:, None])  # y counts along the last side
    quad[:, :, 0] -= 1
    grid = (quad.view(-1, 4) @ _basis(*shape, letter.device)).view(len(letter), 2, *shape)
    grid = grid.permute(0, 2, 3, 1)
    return F.grid_sample(letter[:, None], grid, mode="nearest", align_corners=False)[:, 0]


@lru_cache(maxsize=256)
def _basis(columns: int, rows: int, device: torch.device) -> Tensor:
    """1, x, y and x * y in the middle of each pixel: (4, columns * rows)."""
    x, y = torch.meshgrid(
        torch.arange(columns, device=device) + 0.5,
        torch.arange(rows, device=device) + 0.5,
        indexing="ij",
    )
    return torch.stack([torch.ones_like(x), x, y, x * y]).flatten(1)
