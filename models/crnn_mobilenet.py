"""MobileNetV3 backbones: torchvision's own networks, with the strides that text needs.

Howard et al., 2019, arXiv:1905.02244. Their parameters keep torchvision's names, so that its
ImageNet weights fit as they are. The first two strides halve both sides, the others the height.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import MobileNetV3, mobilenet_v3_large, mobilenet_v3_small
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.ops import SqueezeExcitation

from models.config import ModelConfig
from models.crnn import Backbone
from models.layers import halve, mask_columns


class MobileNetV3Backbone(Backbone):
    """A torchvision MobileNetV3, height pooled to 1; width stride 4.

    A subclass names the network and its stages. `text_strides=False` leaves the strides at
    torchvision's, for the test that holds it against the original.
    """

    network: Callable[..., MobileNetV3]
    width_stride = 4

    def __init__(self, config: ModelConfig, text_strides: bool = True):
        super().__init__()
        self.features = type(self).network(weights=None).features
        if config.img_channels != 3:
            first = self.features[0][0]
            self.features[0][0] = nn.Conv2d(
                config.img_channels, first.out_channels, 3, stride=2, padding=1, bias=False
            )
        halved = 1  # by the stem
        for conv in self.features[1:].modules():
            if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
                halved += 1
                conv.stride = (2, 1) if text_strides and halved > 2 else (2, 2)

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        x = mask_columns(images, widths)
        stem, *blocks, last = self.features
        x, widths = stem(x), halve(widths)  # (N, 3, 60, 160) -> (N, 16, 30, 80)
        for block in blocks:
            x, widths = inverted_residual(block, x, widths)
        return last(x).mean(dim=2).transpose(1, 2)  # -> (N, 40, out_channels)

    def out_width(self, width):
        return halve(halve(width))


class MobileNetV3SmallBackbone(MobileNetV3Backbone):
    network = staticmethod(mobilenet_v3_small)
    out_channels = 576
    stages = {
        "stem": ("features.0",),
        "stage1": ("features.1",),
        "stage2": ("features.2", "features.3"),
        "stage3": tuple(f"features.{i}" for i in range(4, 9)),
        "stage4": tuple(f"features.{i}" for i in range(9, 13)),
    }


class MobileNetV3LargeBackbone(MobileNetV3Backbone):
    network = staticmethod(mobilenet_v3_large)
    out_channels = 960
    stages = {
        "stem": ("features.0",),
        "stage1": tuple(f"features.{i}" for i in range(1, 4)),
        "stage2": tuple(f"features.{i}" for i in range(4, 7)),
        "stage3": tuple(f"features.{i}" for i in range(7, 13)),
        "stage4": tuple(f"features.{i}" for i in range(13, 17)),
    }


def inverted_residual(
    block: InvertedResidual, x: Tensor, widths: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """torchvision's block over true widths, and the widths after it."""
    given = x
    for layer in block.block:
        if isinstance(layer, SqueezeExcitation):
            x = x * layer.scale_activation(layer.fc2(layer.activation(layer.fc1(_mean(x, widths)))))
            continue
        conv = layer[0]
        if conv.kernel_size != (1, 1):
            x = mask_columns(x, widths)
        x = layer(x)
        if conv.stride[1] == 2:
            widths = halve(widths)
    return (x + given if block.use_res_connect else x), widths


def _mean(x: Tensor, widths: Tensor | None) -> Tensor:
    """Over the pixels within the true widths: (N, Ch, H, W) -> (N, Ch, 1, 1)."""
    if widths is None:
        return x.mean(dim=(2, 3), keepdim=True)
    sums = mask_columns(x, widths).sum(dim=(2, 3), keepdim=True)
    return sums / (widths * x.shape[2])[:, None, None, None]
