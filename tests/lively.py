"""Untrained readers that write something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.config import ModelConfig
from models.registry import build_model
from utils.checkpoint import Header, save_checkpoint, versions
from utils.picture import ImageSpec, prepare, stack
from utils.text.charset import Charset

SMALL = ImageSpec(height=32, width=80)


def scribble(seed: int, width: int = 80, height: int = 32) -> Image.Image:
    """A grey picture of soft noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, max(width // 8, 1)), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def write_checkpoint(
    path: Path,
    characters: str = "0123456789",
    image: ImageSpec = SMALL,
    backbone: str = "light",
    training: dict | None = None,
    spread: float = 8,
) -> Path:
    """Random weights, with BatchNorm and head set so that texts differ from picture to picture.

    `spread` is the standard deviation of the logits: 8 makes a reader that is sure of itself.
    """
    torch.manual_seed(1)
    charset = Charset(characters)
    config = ModelConfig(backbone, charset.num_classes, image.height, image.channels, 16, 1)
    model = build_model(config)
    images = torch.from_numpy(stack([prepare(scribble(seed), image) for seed in range(8)])[0])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
        logits, _ = model.eval()(images)
        gain = spread / (logits - logits.mean((0, 1))).std()
        model.head.bias -= logits.mean((0, 1))
        model.head.weight *= gain
        model.head.bias *= gain
    header = Header(config, image, charset, metrics={"n": 7}, versions=versions())
    save_checkpoint(path, header, model.state_dict(), training)
    return path
