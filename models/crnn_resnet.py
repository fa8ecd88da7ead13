"""ResNet backbones: torchvision's own networks, with the strides that text needs.

Their parameters keep torchvision's names, so that its ImageNet weights fit as they are
(He et al., 2015, arXiv:1512.03385). Only the heights are strided in layer2 to layer4: width
stride 32 would leave 5 time steps of a 160-pixel picture, too few for 6 characters.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet, resnet18, resnet34, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck

from models.config import ModelConfig
from models.crnn import Backbone
from models.layers import ConvStage, halve, mask_columns


class ResNetBackbone(Backbone):
    """A torchvision ResNet, height pooled to 1; width stride 4.

    A subclass names the network; where that ends in more than 512 channels, a linear layer of our
    own makes 512 of them. `text_strides=False` sets the strides back to torchvision's, for the test
    that holds each stage against the original.
    """

    network: Callable[..., ResNet]
    stages = {
        "stem": ("conv1", "bn1"),
        "layer1": ("layer1",),
        "layer2": ("layer2",),
        "layer3": ("layer3",),
        "layer4": ("layer4",),
    }
    out_channels = 512
    width_stride = 4

    def __init__(self, config: ModelConfig, text_strides: bool = True):
        super().__init__()
        resnet = type(self).network(weights=None)
        if config.img_channels != 3:
            resnet.conv1 = nn.Conv2d(config.img_channels, 64, 7, stride=2, padding=3, bias=False)
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        if text_strides:
            for layer in (self.layer2, self.layer3, self.layer4):
                stride_height_only(layer[0])
        channels = resnet.fc.in_features
        own = channels == self.out_channels
        self.project = nn.Identity() if own else nn.Linear(channels, self.out_channels)

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        images = mask_columns(images, widths)
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # (N, 3, 60, 160) -> (N, 64, 30, 80)
        x = mask_columns(x, halve(widths))
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # -> (N, 64, 15, 40)
        widths = halve(halve(widths))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:  # ResNet50: -> (N, 256, 15, 40), ... (N, 2048, 2, 40)
                x = residual(block, x, widths)
        return self.project(x.mean(dim=2).transpose(1, 2))  # -> (N, 40, 512)

    def out_width(self, width):
        return halve(halve(width))


class ResNet18Backbone(ResNetBackbone):
    network = staticmethod(resnet18)


class ResNet34Backbone(ResNetBackbone):
    network = staticmethod(resnet34)


class ResNet50Backbone(ResNetBackbone):
    network = staticmethod(resnet50)


class ResNet34VdBackbone(Backbone):
    """ResNet34 in form D, as the scene-text benchmarks have it; width stride 4.

    Three 3 x 3 convolutions in the stem, and shortcuts that average before they project (He et
    al., 2018, arXiv:1812.01187). The stem keeps the size and the width is halved last, so that the
    blocks see twice the columns of `resnet34`.
    """

    stages = {"stem": ("stem",), **{f"layer{i}": (f"layer{i}",) for i in range(1, 5)}}
    out_channels = 512
    width_stride = 4

    def __init__(self, config: ModelConfig):
        super().__init__()
        resnet = resnet34(weights=None)
        self.stem = ConvStage(config.img_channels, [32, 32, 64])
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        for layer in (self.layer2, self.layer3, self.layer4):
            stride_height_only(layer[0])
            conv, norm = layer[0].downsample
            conv.stride = (1, 1)
            average = nn.AvgPool2d((2, 1), ceil_mode=True, count_include_pad=False)
            layer[0].downsample = nn.Sequential(average, conv, norm)

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        x = mask_columns(images, widths)
        x, widths = self.stem(x, widths)  # (N, 3, 32, 100) -> (N, 64, 32, 100)
        x, widths = F.max_pool2d(x, 3, stride=2, padding=1), halve(widths)  # -> (N, 64, 16, 50)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:  # -> (N, 64, 16, 50), (N, 128, 8, 50), ... (N, 512, 2, 50)
                x = residual(block, x, widths)
        x = F.max_pool2d(mask_columns(x, widths), 2, ceil_mode=True)  # -> (N, 512, 1, 25)
        return x.mean(dim=2).transpose(1, 2)  # -> (N, 25, 512)

    def out_width(self, width):
        return halve(halve(width))


def stride_height_only(block: BasicBlock | Bottleneck) -> None:
    """Give the first block of a layer stride (2, 1) in place of (2, 2)."""
    strided = block.conv1 if isinstance(block, BasicBlock) else block.conv2
    strided.stride = (2, 1)
    assert block.downsample is not None
    block.downsample[0].stride = (2, 1)


def residual(block: BasicBlock | Bottleneck, x: Tensor, widths: Tensor | None) -> Tensor:
    """torchvision's block, the input of each 3 x 3 convolution masked past the true widths."""
    shortcut = x if block.downsample is None else block.downsample(x)
    steps = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    if isinstance(block, Bottleneck):
        steps.append((block.conv3, block.bn3))
    for place, (conv, norm) in enumerate(steps):
        if place:
            x = F.relu(x, inplace=True)
        x = norm(conv(x if conv.kernel_size == (1, 1) else mask_columns(x, widths)))
    return F.relu(x + shortcut, inplace=True)
