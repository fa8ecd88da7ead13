"""The summary of a model's architecture, as it stands in every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build the network again.

    `num_classes` is len(charset) + 1, class 0 being the CTC blank. `img_height` matters to
    backbones whose last convolution spans the height that is left. With a `head_size` the features
    pass through so many before the head: a head of two factors, which is what makes a model of
    30,000 classes small.
    """

    backbone: str = "light"
    num_classes: int = 63
    img_height: int = 60
    img_channels: int = 1
    hidden_size: int = 256
    num_layers: int = 2
    dropout: float = 0.1
    neck: str = "bilstm"
    head_size: int = 0
