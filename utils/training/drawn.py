"""Captchas that are drawn together for training, and pictures as a network takes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.picture import ImageSpec, prepared_width
from utils.synth.captcha import CaptchaRecipe
from utils.synth.dice import seeded_generator
from utils.synth.fast import FastRenderer
from utils.text.charset import Charset
from utils.training.batch import Batch


class FreshPictures:
    """Captchas drawn for training by the fast renderer, in bytes of the network's size."""

    def __init__(
        self, recipe: CaptchaRecipe, spec: ImageSpec, charset: Charset, device: torch.device
    ):
        self._spec, self._device = spec, device
        self._renderer = FastRenderer(recipe, spec.channels, device)
        self._classes = torch.tensor(charset.encode(recipe.characters), device=device)

    def draw(self, count: int, places: Sequence[int], *seed: int | str) -> Batch:
        """Those at some places of `count` captchas that the seed stands for."""
        dice = self._renderer.throw(count, seeded_generator(*seed, device=self._device))
        drawn = self._renderer.render(dice.at(places))
        images = fitted(drawn.images, self._spec)
        targets = self._classes[drawn.characters]
        return Batch(images, None, targets, drawn.lengths.cpu())


def fitted(images: Tensor, spec: ImageSpec) -> Tensor:
    """Pictures (N, Ch, H, W), whole numbers 0..255, turned and scaled to the spec, as bytes."""
    if spec.direction == "vertical":
        images = images.rot90(1, (2, 3))
    size = (spec.height, prepared_width(images.shape[3], images.shape[2], spec))
    if images.shape[2:] != size:
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
        images = images.round().clamp_(0, 255)
    return images.byte()


def as_input(images: Tensor, spec: ImageSpec) -> Tensor:
    """`fitted` pictures as a network takes them, and as `prepare` makes them one by one."""
    images = images.float()
    mean, std = (images.new_tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return images.mul_(1 / (255 * std)).sub_(mean / std)
