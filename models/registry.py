"""From a backbone's name to what builds it, and the defaults that measured best for each."""

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


BACKBONES: dict[str, BackboneEntry] = {
    "light": BackboneEntry(
        "models.crnn_light",
        "LightBackbone",
        {"hidden_size": 96, "num_layers": 1, "lr": 3e-3, "optimizer": "muon"},
    ),
    "basic": BackboneEntry("models.crnn", "BasicBackbone"),
    "resnet": BackboneEntry(
        "models.crnn_resnet",
        "ResNet50Backbone",
        {"img_channels": 3},
        imagenet_weights="ResNet50_Weights",
    ),
}


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
    return CRNN(config, builder(config))
