"""`light`: a backbone of our own, small enough to learn and to read on a laptop or a phone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from models.config import ModelConfig
from models.crnn import Backbone
from models.layers import ConvStage, halve, mask_columns

CHANNELS = (16, 32, 48, 64, 96, 128)
"""Output channels of the six convolutions; docs/results.md has the table of what was tried."""


class LightBackbone(Backbone):
    """2x2 pixel-unshuffle and six convolutions, the last as high as what is left; width stride 4.

    Unshuffling (Shi et al., 2016, arXiv:1609.05158, backwards) keeps every pixel while the first
    convolutions work at half the resolution, where a CPU spends most of its time.
    """

    stages = {f"stage{i}": (f"stage{i}",) for i in range(1, 5)}
    out_channels = CHANNELS[-1]
    width_stride = 4

    def __init__(self, config: ModelConfig):
        super().__init__()
        c1, c2, c3, c4, c5, c6 = CHANNELS
        remaining = halve(config.img_height) // 2 // 3
        self.stage1 = ConvStage(4 * config.img_channels, [c1, c2], pool=(2, 2))
        self.stage2 = ConvStage(c2, [c3, c4], pool=(3, 1))
        self.stage3 = ConvStage(c4, [c5])
        self.stage4 = ConvStage(c5, [c6], span_height=remaining)

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        images = mask_columns(images, widths)
        images = F.pad(images, (0, images.shape[3] % 2, 0, images.shape[2] % 2))
        x = F.pixel_unshuffle(images, 2)  # (N, 1, 60, 160) -> (N, 4, 30, 80)
        x, widths = self.stage1(x, halve(widths))  # -> (N, 32, 15, 40)
        x, widths = self.stage2(x, widths)  # -> (N, 64, 5, 40)
        x, widths = self.stage3(x, widths)  # -> (N, 96, 5, 40)
        x, widths = self.stage4(x, widths)  # -> (N, 128, 1, 40)
        return x.squeeze(2).transpose(1, 2)  # -> (N, 40, 128)

    def out_width(self, width):
        return halve(width) // 2
