"""ResNet backbones: torchvision's own networks, with the strides that text needs.

Their parameters keep torchvision's names, so that its ImageNet weights fit as they are
(He et al., 2015, arXiv:1512.03385). Only the heights are strided in layer2 to layer4: width
stride 32 would leave 5 time steps of a 160-pixel picture, too few for 6 characters.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50
from torchvision.models.resnet import Bottleneck

from models.config import ModelConfig
from models.crnn import Backbone
from models.layers import halve, mask_columns


class ResNet50Backbone(Backbone):
    """torchvision's ResNet50, height pooled to 1, 2048 -> 512; width stride 4.

    `text_strides=False` sets the strides back to torchvision's, for the test that holds each
    stage against the original.
    """

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
        resnet = resnet50(weights=None)
        if config.img_channels != 3:
            resnet.conv1 = nn.Conv2d(config.img_channels, 64, 7, stride=2, padding=3, bias=False)
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        if text_strides:
            for layer in (self.layer2, self.layer3, self.layer4):
                layer[0].conv2.stride = (2, 1)
                layer[0].downsample[0].stride = (2, 1)
        self.project = nn.Linear(2048, self.out_channels)

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        images = mask_columns(images, widths)
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # (N, 3, 60, 160) -> (N, 64, 30, 80)
        x = mask_columns(x, halve(widths))
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # -> (N, 64, 15, 40)
        widths = halve(halve(widths))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:  # -> (N, 256, 15, 40), (N, 512, 8, 40), ... (N, 2048, 2, 40)
                x = bottleneck(block, x, widths)
        return self.project(x.mean(dim=2).transpose(1, 2))  # -> (N, 40, 512)

    def out_width(self, width):
        return halve(halve(width))


def bottleneck(block: Bottleneck, x: Tensor, widths: Tensor | None) -> Tensor:
    """torchvision's Bottleneck, its input to the 3x3 convolution masked past the true widths."""
    shortcut = x if block.downsample is None else block.downsample(x)
    x = mask_columns(F.relu(block.bn1(block.conv1(x)), inplace=True), widths)
    x = F.relu(block.bn2(block.conv2(x)), inplace=True)
    return F.relu(block.bn3(block.conv3(x)) + shortcut, inplace=True)
