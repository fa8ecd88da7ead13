"""Dots and arc are those of the `captcha` package, given the same dice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scripted_package import ALNUM62, arc_answers, dice_of, dot_answers, scripted

from utils.synth.dice import Dice
from utils.synth.scribble import dot_stamp, scribbles


def bitmap(draw, *arguments: int) -> np.ndarray:
    picture = Image.new("1", (ALNUM62.width, ALNUM62.height))
    draw(picture, *arguments)
    return np.asarray(picture)


def scribbled(dice: Dice) -> np.ndarray:
    return scribbles(dice, dot_stamp(), ALNUM62.width, ALNUM62.height).numpy()


def test_dots_are_exactly_the_packages():
    dice = dice_of(ALNUM62, 50)
    ours = scribbled(replace(dice, arcs=torch.full_like(dice.arcs, -999)))
    for n in range(50):
        package = scripted(*dot_answers(dice, n)).ImageCaptcha
        assert np.array_equal(ours[n], bitmap(package.create_noise_dots, 1))


def test_arcs_cover_the_packages_and_little_more():
    dice = dice_of(ALNUM62, 200)
    ours = scribbled(replace(dice, dots=torch.full_like(dice.dots, -99)))
    packages = [scripted(*arc_answers(ALNUM62, dice, n)).ImageCaptcha for n in range(200)]
    theirs = np.stack([bitmap(package.create_noise_curve, 1) for package in packages])
    shared = (ours & theirs).sum()
    assert shared / theirs.sum() >= 0.94
    assert shared / ours.sum() >= 0.94
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.015)
