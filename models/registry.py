"""From the name of a backbone, or a neck, to what builds it, and each backbone's defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches

from models.config import ModelConfig


@dataclass(frozen=True)
class BackboneEntry:
    """`module` and `builder` name the class; `defaults` are train.py flags that it sets anew.

    The class is named, not imported, so that a list of names needs no torch.
    """

    module: str
    builder: str
    defaults: dict[str, object] = field(default_factory=dict)
    imagenet_weights: str | None = None
    """Name of the torchvision weights enum that fits, if there is one."""


RGB: dict[str, object] = {"img_channels": 3}
SCENE_TEXT: dict[str, object] = {"img_height": 32, "img_width": 100}

BACKBONES: dict[str, BackboneEntry] = {
    "light": BackboneEntry(
        "models.crnn_light",
        "LightBackbone",
        {"hidden_size": 96, "num_layers": 1, "lr": 3e-3, "optimizer": "muon"},
    ),
    "basic": BackboneEntry("models.crnn", "BasicBackbone"),
    # The classic network of the scene-text benchmarks is `basic` on their pictures.
    "vgg7": BackboneEntry("models.crnn", "BasicBackbone", SCENE_TEXT),
    "resnet": BackboneEntry(
        "models.crnn_resnet", "ResNet50Backbone", RGB, imagenet_weights="ResNet50_Weights"
    ),
    "resnet18": BackboneEntry(
        "models.crnn_resnet", "ResNet18Backbone", RGB, imagenet_weights="ResNet18_Weights"
    ),
    "resnet34": BackboneEntry(
        "models.crnn_resnet", "ResNet34Backbone", RGB, imagenet_weights="ResNet34_Weights"
    ),
    "resnet34_vd": BackboneEntry("models.crnn_resnet", "ResNet34VdBackbone", SCENE_TEXT | RGB),
    "mobilenet_v3_small": BackboneEntry(
        "models.crnn_mobilenet",
        "MobileNetV3SmallBackbone",
        RGB,
        imagenet_weights="MobileNet_V3_Small_Weights",
    ),
    "mobilenet_v3_large": BackboneEntry(
        "models.crnn_mobilenet",
        "MobileNetV3LargeBackbone",
        RGB,
        imagenet_weights="MobileNet_V3_Large_Weights",
    ),
}

NECKS: dict[str, str] = {
    "bilstm": "BiLSTM",
    "bigru": "BiGRU",
    "transformer": "Transformer",
    "attention": "AttentiveBiLSTM",
    "none": "NoNeck",
}
"""Classes of models.necks."""


def backbone_entry(name: str) -> BackboneEntry:
    """The registry's entry of that name; ValueError names the nearest one that there is."""
    if name not in BACKBONES:
        near = get_close_matches(name, BACKBONES, n=1, cutoff=0.0)[0]
        known = ", ".join(BACKBONES)
        raise ValueError(f"backbone {name!r} is not one of {known}; did you mean {near!r}?")
    return BACKBONES[name]


def build_model(config: ModelConfig):
    """A CRNN of that config with random weights (seed torch before)."""
    import importlib

    from models.crnn import CRNN

    entry = backbone_entry(config.backbone)
    builder: Callable = getattr(importlib.import_module(entry.module), entry.builder)
    if config.neck not in NECKS:
        raise ValueError(f"neck {config.neck!r} is not one of {', '.join(NECKS)}")
    neck: Callable = getattr(importlib.import_module("models.necks"), NECKS[config.neck])
    backbone = builder(config)
    sizes = backbone.out_channels, config.hidden_size, config.num_layers, config.dropout
    return CRNN(config, backbone, neck(*sizes))
