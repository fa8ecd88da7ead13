"""The CRNN (Shi, Bai and Yao, 2015, arXiv:1507.05717) and its classic backbone, `basic`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.layers import ConvStage, mask_columns
from models.necks import Neck


class Backbone(nn.Module):
    """What every backbone is: pictures in, one feature vector a column out.

    A subclass sets `stages` (ordered names, each with the modules it owns), `out_channels` and
    `width_stride`, and implements `forward` and `out_width`. Parameters outside the stages are
    its own addition to a pretrained network, and are never frozen.
    """

    stages: dict[str, tuple[str, ...]]
    out_channels: int
    width_stride: int

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        """Images (N, Ch, H, W), widths (N,) or None -> columns (N, T, D)."""
        raise NotImplementedError

    def out_width(self, width):
        """Time steps that a picture of `width` pixels gives; an int or an integer tensor."""
        raise NotImplementedError

    def stage_modules(self, name: str) -> list[nn.Module]:
        return [self.get_submodule(module) for module in self.stages[name]]


class BasicBackbone(Backbone):
    """64-128-256-256-512-512-512 of 3x3 with BatchNorm, as in the paper; width stride 4."""

    stages = {f"stage{i}": (f"stage{i}",) for i in range(1, 6)}
    out_channels = 512
    width_stride = 4

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.stage1 = ConvStage(config.img_channels, [64], pool=(2, 2))
        self.stage2 = ConvStage(64, [128], pool=(2, 2))
        self.stage3 = ConvStage(128, [256, 256], pool=(2, 1))
        self.stage4 = ConvStage(256, [512, 512], pool=(2, 1))
        self.stage5 = ConvStage(512, [512])

    def forward(self, images: Tensor, widths: Tensor | None) -> Tensor:
        x = mask_columns(images, widths)
        x, widths = self.stage1(x, widths)  # (N, Ch, 60, 160) -> (N, 64, 30, 80)
        x, widths = self.stage2(x, widths)  # -> (N, 128, 15, 40)
        x, widths = self.stage3(x, widths)  # -> (N, 256, 7, 40)
        x, widths = self.stage4(x, widths)  # -> (N, 512, 3, 40)
        x, widths = self.stage5(x, widths)  # -> (N, 512, 3, 40)
        return x.mean(dim=2).transpose(1, 2)  # -> (N, 40, 512)

    def out_width(self, width):
        return width // 4


class CRNN(nn.Module):
    """Backbone, neck and a linear head: images (N, Ch, H, W) -> logits (N, T, C).

    Loss and decoding may stop at `encode` and go through `head` in chunks. Class 0 is the blank.
    """

    def __init__(self, config: ModelConfig, backbone: Backbone, neck: Neck):
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.neck = neck
        size = config.head_size or neck.out_features
        self.narrow = nn.Linear(neck.out_features, size, bias=False) if config.head_size else None
        self.head = nn.Linear(size, config.num_classes)
        self.frozen_stages: tuple[str, ...] = ()

    def lengths(self, images: Tensor, widths: Tensor | None) -> Tensor:
        """True time steps (N,) of a padded batch, on the device of `widths`; on the CPU, where the
        loss wants them, if there are none."""
        if widths is None:
            steps = self.backbone.out_width(images.shape[3])
            return torch.full((images.shape[0],), steps, dtype=torch.long)
        return self.backbone.out_width(widths)

    def encode(self, images: Tensor, widths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (N, Ch, H, W), true widths (N,) or None -> features (N, T, D), lengths (N,)."""
        columns = self.backbone(images, widths)  # (N, Ch, H, W) -> (N, T, D)
        return self.neck_features(columns, images, widths)

    def neck_features(
        self, columns: Tensor, images: Tensor, widths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The second half of `encode`, for a training loop that also wants the columns."""
        lengths = self.lengths(images, widths)
        features = self.neck(columns, None if widths is None else lengths)
        return (features if self.narrow is None else self.narrow(features)), lengths

    def forward(self, images: Tensor, widths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (N, Ch, H, W), true widths (N,) or None -> logits (N, T, C), lengths (N,)."""
        features, lengths = self.encode(images, widths)
        return self.head(features), lengths

    def train(self, mode: bool = True) -> CRNN:
        """As nn.Module.train, but a frozen stage's BatchNorm stands still."""
        super().train(mode)
        for stage in self.frozen_stages:
            for module in self.backbone.stage_modules(stage):
                module.eval()
        return self
