"""Captchas in batches, in pure torch: the look of the `captcha` package, drawn on any device.

Every step of captcha 0.7.1 has its counterpart, with the same random quantities: glyph and size,
turn, warp into a quadrilateral, spaces in between, overlap, squeeze to the width, dots, arc,
smoothing, colours. Left out is the rounding to whole pixels and levels between those steps: given
the same dice, both draw the same picture, but for the edges of the letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.synth.dice import Dice, throw
from utils.synth.glyphs import MARGIN, GlyphAtlas
from utils.synth.scribble import dot_stamp, scribbles

OVERLAP = 0.25
"""What two neighbours share at most, of the average width of a character with its spaces."""

OPACITY = 1.97 / 255
"""The package pastes a letter as strongly as its colour is bright, times 1.97."""

VISIBLE = 0.005
"""Coverage below which nothing is drawn of a letter; a little more for a dark one, because the
package rounds its colour to whole levels on the way."""

ROUNDED_OFF = 2
"""Levels that a letter's colour loses to that rounding."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R 601), as Pillow has it."""


@dataclass(frozen=True)
class Captchas:
    """images (N, Ch, H, W), whole numbers 0..255 in float32; characters (N, K), their places in
    the recipe, of which the first `lengths` (N,) count."""

    images: Tensor
    characters: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Letters:
    """The M letters of a batch: those of one picture next to each other, from left to right, and
    pictures of equal length after each other."""

    picture: Tensor
    glyph: Tensor
    turn: Tensor
    warp: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    """Where the letter's patch begins on the wide canvas, before the squeeze."""
    top: Tensor
    canvas: Tensor
    """Width of the wide canvas."""
    groups: list[tuple[int, Tensor]]
    """Each length with its pictures, in the order of the letters."""


class FastRenderer:
    """Draws a recipe's captchas on `device`, with `channels` 1 (grey) or 3 (RGB).

    The pictures of a call are a function of the recipe, of their number and of the generator.
    """

    def __init__(
        self, recipe: CaptchaRecipe, channels: int = 1, device: torch.device | str = "cpu"
    ):
        self.recipe, self.channels, self.device = recipe, channels, torch.device(device)
        self.atlas = GlyphAtlas(CaptchaRenderer(recipe).fonts, recipe.characters, self.device)
        self._luma = torch.tensor(LUMA, device=self.device)
        self._stamp = dot_stamp().to(self.device)
        self._rows = torch.arange(recipe.height, device=self.device)
        self._columns = torch.arange(int(self.atlas.boxes[:, 0].max()), device=self.device)
        y, x = torch.meshgrid(self._rows + 0.5, self._columns + 0.5, indexing="ij")
        self._basis = torch.stack([torch.ones_like(x), x, y, x * y]).flatten(1)  # (4, H * Wp)

    def draw(self, count: int, generator: torch.Generator) -> Captchas:
        """`count` captchas, drawn from a generator of this renderer's device."""
        return self.render(throw(self.recipe, self.atlas.num_fonts, count, generator))

    def render(self, dice: Dice) -> Captchas:
        """The captchas that these dice stand for."""
        lettering = (dice.ink - ROUNDED_OFF).clamp(min=0)
        grey = lettering @ self._luma
        ink, lettering, background = (
            (colour @ self._luma)[:, None] if self.channels == 1 else colour
            for colour in (dice.ink, lettering, dice.background)
        )  # (N, Ch)
        letters = self._letters(dice)
        visible = (VISIBLE + 0.5 / grey.clamp(min=1))[letters.picture]
        opacity = (grey.floor() * OPACITY).clamp(max=1)[letters.picture]
        rows = self._rows - letters.top[:, None]
        rows = (rows >= 0) & (rows < letters.height[:, None])  # (M, H): those of the patch
        mask = self._cover(letters) > visible[:, None, None]  # (M, H, Wp)
        mask = mask * (rows * opacity[:, None])[:, :, None]
        squeeze = self._squeeze(letters)  # (M, Wp, W)
        above = _covered_by_next(letters, mask)
        change = (lettering - background)[letters.picture]  # (M, Ch)
        images = background[:, :, None, None].repeat(1, 1, len(self._rows), self.recipe.width)
        for channel in range(self.channels):
            patches = mask * change[:, channel, None, None] * above
            start = 0
            for length, pictures in letters.groups:
                stop = start + length * len(pictures)
                wide = patches[start:stop].unflatten(0, (-1, length)).transpose(1, 2).flatten(2)
                narrow = squeeze[start:stop].unflatten(0, (-1, length)).flatten(1, 2)
                images[pictures, channel] += wide @ narrow  # (n, H, L * Wp) -> (n, H, W)
                start = stop
        images.clamp_(0, 255)
        over = scribbles(dice, self._stamp, self.recipe.width, self.recipe.height)
        images = torch.where(over[:, None], ink[:, :, None, None], images)
        return Captchas(_smooth(images).round_(), dice.characters, dice.lengths)

    def _letters(self, dice: Dice) -> Letters:
        """Where each letter goes, as ImageCaptcha.create_captcha_image places them."""
        order = dice.lengths.argsort(stable=True)
        used = torch.arange(dice.characters.shape[1], device=self.device) < dice.lengths[:, None]
        row, place = used[order].nonzero(as_tuple=True)
        picture = order[row]
        glyphs = dice.fonts * self.atlas.num_characters + dice.characters
        widths = self.atlas.boxes[glyphs][..., 0] * used
        spaces = self.atlas.space_widths[dice.space_fonts] * (dice.spaces & used)
        text_width = (spaces + widths).sum(1)
        average = (text_width / dice.lengths).floor()
        overlaps = (dice.gaps * ((average * OVERLAP).floor() + 1)[:, None, None]).floor()
        steps = torch.stack([spaces - overlaps[..., 0] * dice.spaces, widths - overlaps[..., 1]], 2)
        reached = steps.flatten(1).cumsum(1).view_as(steps)[..., 0]  # after the space of each
        lefts = (average * 0.1).floor()[:, None] + reached
        glyph = glyphs[picture, place]
        width, height = self.atlas.boxes[glyph].unbind(1)
        lengths, counts = dice.lengths.unique(return_counts=True)
        return Letters(
            picture=picture,
            glyph=glyph,
            turn=dice.turns[picture, place],
            warp=dice.warps[picture, place],
            width=width,
            height=height,
            left=lefts[picture, place],
            top=((self.recipe.height - height) / 2).trunc(),
            canvas=text_width.clamp(min=self.recipe.width)[picture],
            groups=list(zip(lengths.tolist(), order.split(counts.tolist()), strict=True)),
        )

    def _cover(self, letters: Letters) -> Tensor:
        """Coverage by the letters, turned and warped: (M, H, Wp), in the rows of the picture."""
        ink = self.atlas.inks[letters.glyph]  # (M, 2)
        turn = torch.deg2rad(30 - 60 * letters.turn)
        cos, sin = turn.cos(), turn.sin()
        x, y = _quadrilateral(letters, _turned_size(ink, cos, sin))
        x, y = cos[:, None] * x + sin[:, None] * y, cos[:, None] * y - sin[:, None] * x
        cell = torch.tensor(self.atlas.sheet.shape[:0:-1], device=self.device)  # width, height
        factors = torch.stack([x, y], dim=1)  # (M, 2, 4), in pixels from the middle of the ink
        factors[:, :, 0] += ink / 2 + MARGIN
        factors *= 2 / cell[:, None]
        factors[:, :, 0] -= 1  # grid_sample counts from -1 to 1
        grid = (factors.view(-1, 4) @ self._basis).view(len(ink), 2, len(self._rows), -1)
        cells = self.atlas.sheet[letters.glyph][:, None]
        return F.grid_sample(cells, grid.permute(0, 2, 3, 1), align_corners=False)[:, 0]

    def _squeeze(self, letters: Letters) -> Tensor:
        """What each column of a letter gives to each of its picture: (M, Wp, W).

        Pillow's bicubic resize, by which a text that is too wide for the picture is made to fit.
        """
        places = letters.left[:, None] + self._columns  # (M, Wp), on the wide canvas
        kept = (self._columns < letters.width[:, None]) & (places < letters.canvas[:, None])
        scale = self.recipe.width / letters.canvas[:, None]
        centre = (places + 0.5) * scale - 0.5
        first = centre.floor() - 1
        weights = _bicubic(centre - first) * (scale * kept)[:, :, None]  # (M, Wp, 4)
        spare = 2  # columns on both sides, for what falls beside the picture
        targets = first.long()[:, :, None] + torch.arange(4, device=self.device) + spare
        targets.clamp_(0, self.recipe.width + 2 * spare - 1)
        squeeze = weights.new_zeros(*places.shape, self.recipe.width + 2 * spare)
        return squeeze.scatter_(2, targets, weights)[:, :, spare:-spare]


def _turned_size(ink: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Width and height (M, 2) of a letter's box after the turn, as Pillow's rotate expands it."""
    width, height = ink.unbind(1)
    reach = torch.stack([cos * width + sin.abs() * height, sin.abs() * width + cos * height], 1)
    return ((ink + reach) / 2).ceil() - ((ink - reach) / 2).floor()


def _quadrilateral(letters: Letters, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Where a pixel (x, y) of the pasted patch lies in the turned letter, from its middle.

    Two tensors (M, 4), factors of 1, x, y and x * y, y counted in rows of the picture: Pillow's
    Transform.QUAD after the resize to the size of the quadrilateral's box.
    """
    width, height = letters.width, letters.height
    most_x = width * letters.warp[:, 0] * 0.2 + 0.1
    most_y = height * letters.warp[:, 1] * 0.1 + 0.2
    most = torch.stack([most_x, most_y, most_x, most_y], dim=1)
    x1, y1, x2, y2 = (letters.warp[:, 2:] * 2 * most - most).trunc().unbind(1)
    wide, high = width + x1.abs() + x2.abs(), height + y1.abs() + y2.abs()
    across, down = wide - x1 - x2, high - y1 - y2
    area = width * height
    x = torch.stack([x1, across / width, -2 * x1 / height, 2 * (x1 + x2) / area], dim=1)
    y = torch.stack([y1, -2 * y1 / width, down / height, 2 * (y1 + y2) / area], dim=1)
    for factors, size, resized in ((x, turned[:, 0], wide), (y, turned[:, 1], high)):
        factors *= (size / resized)[:, None]
        factors[:, 0] -= size / 2
        factors[:, :2] -= factors[:, 2:] * letters.top[:, None]
    return x, y


def _covered_by_next(letters: Letters, mask: Tensor) -> Tensor:
    """What the next letter, pasted later, leaves of each: 1 where it is not, (M, H, Wp)."""
    left, columns = torch.ones_like(mask), torch.arange(mask.shape[2], device=mask.device)
    same = letters.picture[1:] == letters.picture[:-1]
    step = (letters.left[1:] - letters.left[:-1]).long()
    hidden = same[:, None] & (columns < letters.width[:-1, None] - step[:, None])
    letter, column = hidden.nonzero(as_tuple=True)
    above = mask.transpose(1, 2)[letter + 1, column]  # (columns that are shared, H)
    left.transpose(1, 2)[letter, column + step[letter]] = 1 - above
    return left


def _bicubic(away: Tensor) -> Tensor:
    """Weights (..., 4) of four neighbours, the first `away` (1..2) to the left.

    Keys' cubic convolution (1981) with a = -0.5, as in Pillow.
    """
    x = (away[..., None] - torch.arange(4, device=away.device)).abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far)


def _smooth(images: Tensor) -> Tensor:
    """Pillow's SMOOTH: the mean of nine pixels and four times the middle one; the edge stays."""
    rows = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    images[:, :, 1:-1, 1:-1].mul_(4 / 13).add_(sums, alpha=1 / 13)
    return images
