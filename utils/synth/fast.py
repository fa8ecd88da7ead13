"""Captchas in batches, in pure torch: the look of the `captcha` package, drawn on any device.

Every step of captcha 0.7.1 has its counterpart, with the same random quantities: glyph and size,
turn (by whole degrees), warp into a quadrilateral, spaces in between, overlap, squeeze to the
width, dots, arc, smoothing, colours. Most of the rounding to whole levels between those steps is
left out: given the same dice, both draw the same picture, but for the edges of the letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.picture import LUMA
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.synth.dice import Dice, throw
from utils.synth.glyphs import GlyphAtlas
from utils.synth.resize import bicubic
from utils.synth.scribble import dot_stamp, scribbles
from utils.synth.warp import LetterWarp

OVERLAP = 0.25
"""What two neighbours share at most, of the average width of a character with its spaces."""

PASTING = 1.97 / 255
"""The package pastes a letter as strongly as its colour is bright, times 1.97."""

OPACITY = 237.5
"""Mean of what the package draws letters with, of 255. Coverage that comes to less than half a
level of opacity, or of colour, is rounded away."""

ROUNDED_OFF = 2
"""Levels that a letter's colour loses to Pillow's rounding on its way to the picture."""


@dataclass(frozen=True)
class Captchas:
    """images (N, Ch, H, W), whole numbers 0..255 in float32; characters (N, K), their places in
    the recipe, of which the first `lengths` (N,) count."""

    images: Tensor
    characters: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Letters:
    """The M letters of a batch: those of one picture next to each other, from left to right."""

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


class FastRenderer:
    """Draws a recipe's captchas on `device`, with `channels` 1 (grey) or 3 (RGB).

    The pictures of a call are a function of the recipe, of their number and of the generator.
    """

    def __init__(
        self, recipe: CaptchaRecipe, channels: int = 1, device: torch.device | str = "cpu"
    ):
        self.recipe, self.channels, self.device = recipe, channels, torch.device(device)
        self.atlas = GlyphAtlas(CaptchaRenderer(recipe).fonts, recipe.characters, self.device)
        self._warp = LetterWarp(self.atlas)
        self._luma = torch.tensor(LUMA, device=self.device)
        self._stamp = dot_stamp().to(self.device)
        self._columns = torch.arange(int(self.atlas.boxes[:, 0].max()), device=self.device)

    def draw(self, count: int, generator: torch.Generator) -> Captchas:
        """`count` captchas, drawn from a generator of this renderer's device."""
        return self.render(self.throw(count, generator))

    def throw(self, count: int, generator: torch.Generator) -> Dice:
        """What `draw` leaves to chance."""
        return throw(self.recipe, self.atlas.num_fonts, count, generator)

    def render(self, dice: Dice) -> Captchas:
        """The captchas that these dice stand for."""
        lettering = (dice.ink - ROUNDED_OFF).clamp(min=0)
        grey = lettering @ self._luma
        ink, lettering, background = (
            (colour @ self._luma)[:, None] if self.channels == 1 else colour
            for colour in (dice.ink, lettering, dice.background)
        )  # (N, Ch)
        letters = self._letters(dice)
        inked = self._drawn(letters, grey)  # (M, Wp, H)
        strength = (grey.floor() * PASTING).clamp(max=1)  # (N,)
        letter, column, above = _shared_columns(letters, inked.shape[1])
        covered = inked[letter + 1, above] * strength[letters.picture[letter], None]
        inked[letter, column] *= 1 - covered  # the next letter is pasted over it
        inked = self._side_by_side(inked, letters, len(grey))[:, None]  # (N, 1, H, W)
        change = (lettering - background) * strength[:, None]  # (N, Ch)
        images = torch.addcmul(background[:, :, None, None], inked, change[:, :, None, None])
        images.clamp_(0, 255)
        over = scribbles(dice, self._stamp, self.recipe.width, self.recipe.height)
        images = torch.where(over[:, None], ink[:, :, None, None], images)
        return Captchas(_smooth(images).round_(), dice.characters, dice.lengths)

    def _drawn(self, letters: Letters, grey: Tensor) -> Tensor:
        """Where each letter leaves ink, 1, and where not, 0: (M, Wp, H)."""
        rows = torch.arange(self.recipe.height, device=self.device) - letters.top[:, None]
        outside = (rows < 0) | (rows >= letters.height[:, None])  # (M, H): not of the patch
        visible = (127.5 / grey.clamp(1, 255)).clamp(min=127.5 / OPACITY)[letters.picture, None]
        return self._warp.draw(
            letters.glyph, letters.turn, letters.warp, letters.top,
            least=visible.masked_fill(outside, 256), columns=len(self._columns),
        )  # fmt: skip

    def _letters(self, dice: Dice) -> Letters:
        """Where each letter goes, as ImageCaptcha.create_captcha_image places them."""
        used = torch.arange(dice.characters.shape[1], device=self.device) < dice.lengths[:, None]
        picture, place = used.nonzero(as_tuple=True)
        glyphs = dice.fonts * self.atlas.num_characters + dice.characters
        widths = self.atlas.boxes[glyphs][..., 0] * used
        spaces = self.atlas.space_widths[dice.space_fonts] * (dice.spaces & used)
        text_width = (spaces + widths).sum(1)
        average = (text_width / dice.lengths).floor()
        overlaps = (dice.gaps * ((average * OVERLAP).floor() + 1)[:, None, None]).floor()
        steps = torch.stack([spaces - overlaps[..., 0] * dice.spaces, widths - overlaps[..., 1]], 2)
        # Whole numbers, which add up alike on any device: after the space of each character.
        reached = steps.long().flatten(1).cumsum(1).view_as(steps)[..., 0]
        lefts = (average * 0.1).floor()[:, None] + reached
        glyph = glyphs[picture, place]
        width, height = self.atlas.boxes[glyph].unbind(1)
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
        )

    def _side_by_side(self, patches: Tensor, letters: Letters, count: int) -> Tensor:
        """Patches (M, Wp, H) put where they belong in their pictures, and added up: (N, H, W)."""
        squeeze, first = self._squeeze(letters)
        narrow = squeeze @ patches  # (M, Wn, H)
        spare = 2  # columns on both sides, for what falls beside the picture
        width = self.recipe.width + 2 * spare
        columns = first[:, None] + torch.arange(narrow.shape[1], device=self.device) + spare
        columns = columns.clamp_(0, width - 1) + letters.picture[:, None] * width
        images = patches.new_zeros(count * width, patches.shape[2])
        images.index_add_(0, columns.flatten(), narrow.flatten(0, 1))
        return images.unflatten(0, (count, width))[:, spare:-spare].transpose(1, 2).contiguous()

    def _squeeze(self, letters: Letters) -> tuple[Tensor, Tensor]:
        """What those columns of its picture that a letter reaches take from each column of it,
        (M, Wn, Wp), and the first of these, (M,).

        Pillow's bicubic resize, by which a text that is too wide for the picture is made to fit.
        """
        places = letters.left[:, None] + self._columns  # (M, Wp), on the wide canvas
        kept = self._columns < letters.width[:, None]
        scale = self.recipe.width / letters.canvas[:, None]
        centre = (places + 0.5) * scale - 0.5
        targets = (centre.floor() - 1)[:, None] + torch.arange(4, device=self.device)[:, None]
        weights = bicubic(centre[:, None] - targets) * (scale * kept)[:, None]  # (M, 4, Wp)
        first = targets[:, :1, :1]
        squeeze = weights.new_zeros(len(places), places.shape[1] + 3, places.shape[1])
        squeeze.scatter_(1, (targets - first).long(), weights)
        return squeeze, first.flatten().long()


def _shared_columns(letters: Letters, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Columns on which a letter and the next one both stand: the letter, its column, the next's."""
    same = letters.picture[1:] == letters.picture[:-1]
    step = (letters.left[1:] - letters.left[:-1]).long()
    columns = torch.arange(most, device=step.device)
    shared = torch.minimum(letters.width[:-1] - step, letters.width[1:])
    hidden = same[:, None] & (columns < shared[:, None]) & (columns + step[:, None] >= 0)
    letter, column = hidden.nonzero(as_tuple=True)
    return letter, column + step[letter], column


def _smooth(images: Tensor) -> Tensor:
    """Pillow's SMOOTH: the mean of nine pixels and four times the middle one; the edge stays."""
    rows = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    images[:, :, 1:-1, 1:-1].mul_(4 / 13).add_(sums, alpha=1 / 13)
    return images
