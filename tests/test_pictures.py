"""The pictures of a training step: prepared alike whoever draws them, and functions of the seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.config import ModelConfig
from models.registry import build_model
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.picture import ImageSpec, prepare
from utils.synth.captcha import CaptchaRecipe
from utils.synth.recipes import more_often
from utils.text.charset import preset_charset
from utils.training.batch import Batch, Block, collate, join
from utils.training.drawn import as_input, fitted
from utils.training.pictures import TrainingPictures

RECIPE = CaptchaRecipe("0123456789", "digits", 2, 4, 80, 32)
DIGITS = preset_charset("digits")
SPEC = ImageSpec(32, 80)


def pictures_of(data: Path | None, fresh: float, renderer: str, **more: object) -> TrainingPictures:
    rows = open_dataset(data, BadRows(0)).split("train") if data else []
    spec = more.pop("spec", SPEC)
    return TrainingPictures(rows, spec, DIGITS, 0, RECIPE, fresh, renderer, **more)  # type: ignore[arg-type]


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.target_lengths, other.target_lengths)
    for ids, others, length in zip(one.targets, other.targets, one.target_lengths, strict=True):
        assert torch.equal(ids[:length], others[:length])


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        ImageSpec(32, 80, 3, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)),
        ImageSpec(24, 50),
        ImageSpec(48, 160),
        ImageSpec(40, 100, direction="vertical"),
        ImageSpec(24, 400, keep_ratio=True),
    ],
)
def test_drawn_pictures_are_prepared_as_those_from_disk(spec: ImageSpec) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 32, 80, spec.channels), dtype=np.uint8)
    images = torch.from_numpy(values).permute(0, 3, 1, 2).float()
    expected = np.stack([prepare(Image.fromarray(value.squeeze()), spec) for value in values])
    found = as_input(fitted(images, spec), spec).numpy()
    assert found.shape == expected.shape
    level = 1 / (255 * min(spec.std))
    assert np.abs(found - expected).max() <= 1.01 * level  # a resized pixel may round either way
    if images.shape[2:] == (spec.height, spec.width):
        assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("renderer", ["package", "fast"])
@pytest.mark.parametrize("fresh", [0.0, 0.5, 1.0])
def test_a_block_is_a_function_of_seed_epoch_and_place(
    tiny_data: Path, renderer: str, fresh: float
) -> None:
    block = Block(1, 0, [3, 7, 1, 4, 8, 9])
    first = pictures_of(tiny_data, fresh, renderer)
    _ = first[Block(0, 1, [5, 2])]  # what was drawn before does not count
    assert_same(first[block], pictures_of(tiny_data, fresh, renderer)[block])
    other = first[replace(block, epoch=2)]
    assert torch.equal(other.images, first[block].images) == (fresh == 0)
    batch = first[block]
    assert batch.images.shape == (6, 1, 32, 80)
    drawn_together = fresh == 1 and renderer == "fast"
    assert batch.images.dtype == (torch.uint8 if drawn_together else torch.float32)
    assert len(batch.targets) == len(batch.target_lengths) == 6


def test_fast_pictures_differ_from_block_to_block() -> None:
    pictures = pictures_of(None, 1.0, "fast")
    one, other = pictures[Block(0, 0, [0, 1])], pictures[Block(0, 1, [0, 1])]
    assert not torch.equal(one.images, other.images)


def test_targets_of_drawn_pictures_are_classes_of_the_charset() -> None:
    """The recipe's places and the charset's classes need not agree."""
    charset = preset_charset("alnum62")
    recipe = replace(RECIPE, characters="Zb7")
    pictures = TrainingPictures([], SPEC, charset, 0, recipe, 1.0, "fast")
    batch = pictures[Block(0, 0, list(range(40)))]
    found = {
        charset.decode(ids[:length].tolist())
        for ids, length in zip(batch.targets, batch.target_lengths, strict=True)
    }
    assert set("".join(found)) == set("Zb7")
    assert {len(text) for text in found} == {2, 3, 4}


@pytest.mark.parametrize("renderer", ["package", "fast"])
def test_hard_characters_are_drawn_more_often(renderer: str) -> None:
    recipe = more_often(RECIPE, "377", 5)
    pictures = TrainingPictures([], SPEC, DIGITS, 0, recipe, 1.0, renderer)
    batch = pictures[Block(0, 0, list(range(200)))]
    ids = [ids[:n].tolist() for ids, n in zip(batch.targets, batch.target_lengths, strict=True)]
    text = "".join(DIGITS.decode(each) for each in ids)
    assert len(text) > 500
    for character in "0123456789":
        share = 5 / 18 if character in "37" else 1 / 18
        assert text.count(character) / len(text) == pytest.approx(share, rel=0.5)
    with pytest.raises(UserError, match="--hard_characters 3x: 'x' is not among the characters"):
        more_often(RECIPE, "3x", 2)


def test_half_fresh_reads_the_other_half_from_disk(tiny_data: Path) -> None:
    pictures = pictures_of(tiny_data, 0.5, "fast")
    block = Block(0, 0, list(range(12)))
    read = pictures_of(tiny_data, 0.0, "fast")[block]
    mixed = pictures[block]
    known = [torch.equal(one, other) for one, other in zip(mixed.images, read.images, strict=True)]
    assert 0 < sum(known) < 12
    assert known != sorted(known, reverse=True)  # each at its place, whoever made it
    for place in range(12):
        length = mixed.target_lengths[place]
        same = torch.equal(mixed.targets[place, :length], read.targets[place, :length])
        assert same or not known[place]


def test_joined_batches_are_padded_to_the_larger() -> None:
    narrow, wide = np.ones((1, 8, 10), np.float32), np.ones((1, 8, 14), np.float32)
    one, other = collate([(narrow, "1")], DIGITS), collate([(wide, "234")], DIGITS)
    both = join(one, other)
    assert both.images.shape == (2, 1, 8, 14)
    assert both.widths is not None
    assert both.widths.tolist() == [10, 14]
    assert both.images[0, 0, 0].tolist() == [1.0] * 10 + [0.0] * 4
    assert both.targets.tolist() == [[2, 0, 0], [3, 4, 5]]
    assert both.target_lengths.tolist() == [1, 3]
    assert join(other, other).widths is None


def test_lengths_stay_on_the_cpu_for_the_loss() -> None:
    batch = pictures_of(None, 1.0, "fast")[Block(0, 0, [0, 1, 2])].to(torch.device("meta"))
    assert batch.images.is_meta
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.is_meta
    assert batch.target_lengths.is_cpu
    with torch.device("meta"):
        model = build_model(ModelConfig())
    assert model.lengths(batch.images, None).device.type == "cpu"
    assert model.lengths(batch.images, None).tolist() == [20] * 3
