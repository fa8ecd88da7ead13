"""Pillow's bicubic resize along one side, for a batch in which every picture has its own sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class ResizeTable:
    """Weights of every resize from 1..most_before pixels to 1..most_after, made once.

    A picture that gets smaller takes the mean over more pixels; `largest_ratio` is that of the two
    sizes at most.
    """

    def __init__(
        self, most_before: int, most_after: int, largest_ratio: float, device: torch.device
    ):
        self._columns = most_after + 1
        before, after = torch.meshgrid(
            torch.arange(most_before + 1), torch.arange(most_after + 1), indexing="ij"
        )
        before, after = before.reshape(-1, 1), after.reshape(-1, 1)
        scale = before / after.clamp(min=1)
        reach = 2 * scale.clamp(1, max(largest_ratio, 1))
        target = torch.arange(most_after)
        centre = (target + 0.5) * scale
        first = (centre - reach + 0.5).floor().clamp(min=0)
        beyond = torch.minimum((centre + reach + 0.5).floor(), before)
        self._taps = torch.arange(math.ceil(4 * max(largest_ratio, 1)), device=device)[:, None]
        pixels = first[:, None] + self._taps.cpu()  # (R, taps, most_after)
        weights = bicubic((pixels + 0.5 - centre[:, None]) * 2 / reach[:, None])
        weights *= (pixels < beyond[:, None]) & (target < after)[:, None]
        weights /= weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
        self._first, self._weights = first.long().to(device), weights.to(device)

    def matrix(self, before: Tensor, after: Tensor, most: int) -> Tensor:
        """What each of `before` (M,) pixels gives to each of `after` (M,): (M, most, targets)."""
        sizes, targets = (before * self._columns + after).long(), int(after.max())
        pixels = self._first[sizes, None, :targets] + self._taps  # (M, taps, targets)
        weights = self._weights[sizes, :, :targets]
        matrix = weights.new_zeros(len(before), most + 1, targets)
        return matrix.scatter_(1, pixels.clamp_(max=most), weights)[:, :most]


def bicubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (1981) with a = -0.5, as Pillow has it."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far.masked_fill(x > 2, 0))
