"""What the `captcha` package leaves to chance, thrown for a whole batch at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from utils.synth.captcha import CaptchaRecipe

NUM_DOTS = 30
MOST_DEGREES = 30
NUM_TURNS = 2 * MOST_DEGREES + 1


@dataclass(frozen=True)
class Dice:
    """All random quantities of N captchas with K places for characters, as captcha 0.7.1 has them.

    Places past a picture's length are thrown too, and not used.
    """

    lengths: Tensor
    """(N,)"""
    characters: Tensor
    """(N, K): places in the recipe's characters."""
    fonts: Tensor
    """(N, K): font and size of each character."""
    spaces: Tensor
    """(N, K), bool: whether a space comes before the character."""
    space_fonts: Tensor
    """(N, K)"""
    turns: Tensor
    """(N, K), 0..NUM_TURNS - 1: from 30 to -30 degrees, whole ones where the package takes any."""
    warps: Tensor
    """(N, K, 6), 0..1: how far at most in x and in y, then x1, y1, x2, y2 of the quadrilateral."""
    gaps: Tensor
    """(N, K, 2), 0..1: how much of the largest overlap follows the space, and the character."""
    background: Tensor
    """(N, 3), 238..255"""
    ink: Tensor
    """(N, 3), 10..200"""
    dots: Tensor
    """(N, NUM_DOTS, 2): x and y in pixels."""
    arcs: Tensor
    """(N, 6): left, top, right, bottom in pixels, start and end in degrees."""

    def at(self, places: Sequence[int]) -> Dice:
        """Those of some of the captchas."""
        index = torch.tensor(places, device=self.lengths.device)
        return Dice(*(getattr(self, field.name)[index] for field in fields(self)))


def seeded_generator(*words: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that these words together seed: the same words, the same numbers."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def throw(recipe: CaptchaRecipe, num_fonts: int, count: int, generator: torch.Generator) -> Dice:
    """Dice for `count` captchas, from one draw of the generator, on its device."""
    places, device = recipe.max_length, generator.device
    sizes = [1, *[places] * 5, 6 * places, 2 * places, 3, 3, 2 * NUM_DOTS, 6]
    numbers = torch.rand(count, sum(sizes), generator=generator, device=device)
    u = iter(numbers.split(sizes, dim=1))
    ends = torch.tensor([recipe.width + 1, recipe.height + 1], device=device)
    return Dice(
        lengths=_below(recipe.max_length - recipe.min_length + 1, next(u))[:, 0]
        + recipe.min_length,
        characters=_below(len(recipe.characters), next(u)),
        fonts=_below(num_fonts, next(u)),
        spaces=next(u) > 0.5,
        space_fonts=_below(num_fonts, next(u)),
        turns=(next(u) * (NUM_TURNS - 1)).round().long(),
        warps=next(u).view(count, places, 6),
        gaps=next(u).view(count, places, 2),
        background=238 + _below(18, next(u)).float(),
        ink=10 + _below(191, next(u)).float(),
        dots=_below(ends, next(u).view(count, NUM_DOTS, 2)),
        arcs=_arcs(recipe.width, recipe.height, next(u)),
    )


def _below(bound: Tensor | int, u: Tensor) -> Tensor:
    """Uniform numbers 0..1 as integers 0..bound - 1."""
    return (u * bound).long()


def _arcs(width: int, height: int, u: Tensor) -> Tensor:
    """u (N, 6) as ImageCaptcha.create_noise_curve takes its numbers."""
    left = _below(width // 5 + 1, u[:, 0])
    right = _below(width - width // 5 + 1, u[:, 1]) + width // 5
    top = _below(height - 2 * (height // 5) + 1, u[:, 2]) + height // 5
    bottom = _below(height - top - height // 5 + 1, u[:, 3]) + top
    end, start = _below(41, u[:, 4]) + 160, _below(21, u[:, 5])
    return torch.stack([left, top, right, bottom, start, end], dim=1)
