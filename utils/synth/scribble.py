"""The dots and the arc that a captcha is scribbled over with, for a whole batch at once."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from utils.synth.dice import Dice


def dot_stamp() -> Tensor:
    """Offsets (P, 2) in x and y of the pixels of one dot, as this Pillow draws the package's."""
    picture, middle = Image.new("1", (17, 17)), 8
    ImageDraw.Draw(picture).line(((middle, middle), (middle - 1, middle - 1)), fill=1, width=3)
    pixels = [(x, y) for x in range(17) for y in range(17) if picture.getpixel((x, y))]
    return torch.tensor(pixels) - middle


def scribbles(dice: Dice, stamp: Tensor, width: int, height: int) -> Tensor:
    """(N, H, W), True where a dot or the arc is."""
    dots = (dice.dots[:, :, None] + stamp).flatten(1, 2)  # (N, NUM_DOTS, 1, 2) -> (N, P, 2)
    x, y = torch.cat([dots, _arc_points(dice.arcs, 2 * max(width, height))], dim=1).unbind(2)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixels = torch.where(inside, y * width + x, width * height)  # one more, for those outside
    drawn = torch.zeros(len(x), width * height + 1, dtype=torch.bool, device=x.device)
    return drawn.scatter_(1, pixels, True)[:, :-1].unflatten(1, (height, width))


def _arc_points(arcs: Tensor, count: int) -> Tensor:
    """(N, count, 2): pixels along the part of each ellipse from start to end, clockwise.

    Each point goes along the tangent to the middle of its column (of its row where the line is
    steep), so that the line is one pixel thick, as Pillow's is.
    """
    left, top, right, bottom, start, end = arcs[:, :, None].float().unbind(1)  # (N, 1) each
    along = torch.linspace(0, 1, count, device=arcs.device)
    angle = torch.deg2rad(start + (end - start) * along)
    cos, sin = angle.cos(), angle.sin()
    x = (left + right + (right - left) * cos) / 2
    y = (top + bottom + (bottom - top) * sin) / 2
    dx, dy = (left - right) * sin, (bottom - top) * cos
    column, row, flat = x.round(), y.round(), dx.abs() >= dy.abs()
    slope = torch.where(flat, dy / dx, dx / dy).nan_to_num()
    x, y = (
        torch.where(flat, column, x + (row - y) * slope),
        torch.where(flat, y + (column - x) * slope, row),
    )
    return torch.stack([x, y], dim=2).round().long()
