"""The pieces that keep a padded batch honest: masked columns, flips within the true lengths.

Widths and lengths are int64 tensors (N,), or None when every picture fills the batch: then there
is nothing to mask, and nothing is spent on it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mask_columns(x: Tensor, widths: Tensor | None) -> Tensor:
    """Zero the columns of x (N, Ch, H, W) at and past each picture's width.

    A convolution then sees the same zeros beside a padded picture that its own padding gives to
    the picture alone, so the picture reads the same in any batch.
    """
    if widths is None:
        return x
    columns = torch.arange(x.shape[-1], device=x.device)
    return x * (columns < widths[:, None])[:, None, None, :]


def flip_within(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse x (N, T, D) along T inside each true length; what lies past it stays in place."""
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)
    reverse = lengths[:, None] - 1 - steps  # (N, T)
    order = torch.where(reverse >= 0, reverse, steps)
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))


def halve(width):
    """A width after a stride of 2 with padding: rounded up. Int, tensor, or None, which stays."""
    return None if width is None else (width + 1) // 2


class ConvStage(nn.Module):
    """Convolutions with BatchNorm and ReLU, then an optional max pool: (N, Ch, H, W), widths.

    Kernels are 3 x 3 and padded. With `span_height` they are that many rows high and not padded
    there, so that the last convolution of a network can take all the height that is left.
    """

    def __init__(
        self,
        in_channels: int,
        channels: list[int],
        pool: tuple[int, int] | None = None,
        span_height: int | None = None,
    ):
        super().__init__()
        self.pool = pool
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        kernel, padding = ((3, 3), (1, 1)) if span_height is None else ((span_height, 3), (0, 1))
        for out_channels in channels:
            self.convs.append(
                nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False)
            )
            self.norms.append(nn.BatchNorm2d(out_channels))
            in_channels = out_channels

    def forward(self, x: Tensor, widths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            if index:
                x = mask_columns(x, widths)
            x = F.relu(norm(conv(x)), inplace=True)
        if self.pool is not None:
            x = F.max_pool2d(x, self.pool)  # (N, Ch, H, W) -> (N, Ch, H / ph, W / pw)
            widths = widths if widths is None else widths // self.pool[1]
        return mask_columns(x, widths), widths  # after the pool: it may mix in one column past
