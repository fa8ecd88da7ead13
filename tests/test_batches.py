"""Training batches: cut from blocks, in an order that can be taken up anywhere."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice

import pytest
import torch

from utils.picture import ImageSpec
from utils.synth import captcha
from utils.synth.captcha import CaptchaRecipe
from utils.text.charset import preset_charset
from utils.training.batch import Batch, Block
from utils.training.batches import in_background, training_batches
from utils.training.order import EpochBatches
from utils.training.pictures import TrainingPictures

RECIPE = CaptchaRecipe("0123456789", "digits", 2, 4, 80, 32)


def fresh(renderer: str) -> TrainingPictures:
    charset = preset_charset("digits")
    return TrainingPictures([], ImageSpec(32, 80), charset, 0, RECIPE, 1.0, renderer)


def images(order: EpochBatches, renderer: str = "fast") -> list[torch.Tensor]:
    with closing(training_batches(fresh(renderer), order, num_workers=0)) as made:
        return [batch.images for batch in made]


def test_an_epoch_is_a_seeded_permutation_in_blocks() -> None:
    blocks = list(EpochBatches(10, 2, 2, seed=3, steps_at_once=2))
    assert [(block.epoch, block.start) for block in blocks] == [
        (0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8),
    ]  # fmt: skip
    assert [len(block.pictures) for block in blocks] == [4, 4, 2] * 2
    first, second = (
        [picture for block in epoch for picture in block.pictures]
        for epoch in (blocks[:3], blocks[3:])
    )
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert list(EpochBatches(10, 2, 2, seed=4, steps_at_once=2)) != blocks


@pytest.mark.parametrize("renderer", ["fast", "package"])
def test_from_any_step_on_the_batches_are_those_of_the_whole_run(
    renderer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captcha, "BLOCK_PIXELS", 12 * 80 * 32)  # three steps of four
    whole = images(EpochBatches(18, 4, 2, seed=0), renderer)
    assert [len(batch) for batch in whole] == [4, 4, 4, 4, 2] * 2
    for step in range(1, 5):
        rest = images(EpochBatches(18, 4, 2, 0, first_step=step), renderer)
        assert len(rest) == 10 - step
        assert all(torch.equal(*pair) for pair in zip(rest, whole[step:], strict=True))
    last = images(EpochBatches(18, 4, 2, 0, first_epoch=1, first_step=4), renderer)
    assert [batch.tolist() for batch in last] == [whole[-1].tolist()]


def test_the_fast_renderer_draws_many_steps_at_once_and_the_package_one() -> None:
    sizes = []

    class Watched(TrainingPictures):
        def __getitem__(self, block: Block) -> Batch:
            sizes.append(len(block.pictures))
            return super().__getitem__(block)

    for renderer in ("fast", "package"):
        pictures = fresh(renderer)
        pictures.__class__ = Watched
        list(training_batches(pictures, EpochBatches(200, 50, 1, 0), num_workers=0))
    assert sizes == [100, 100, 50, 50, 50, 50]


def test_the_background_keeps_the_order_and_is_two_ahead() -> None:
    order = [Block(0, index, [index]) for index in range(6)]
    drawn: list[int] = []
    both = threading.Semaphore(0)

    def draw(block: Block) -> Batch:
        drawn.append(block.start)
        both.release()
        number = torch.tensor([block.start])
        return Batch(number, None, number, number)

    made = in_background(draw, order)
    taken = [int(next(made).images)]
    for _ in range(3):
        assert both.acquire(timeout=10)
    assert not both.acquire(timeout=0.2)
    assert drawn == [0, 1, 2]  # two wait, and nothing else was begun
    taken += [int(batch.images) for batch in made]
    assert taken == drawn == list(range(6))


def test_the_background_hands_on_what_goes_wrong() -> None:
    def draw(block: Block) -> Batch:
        raise ValueError(f"no picture {block.start}")

    with pytest.raises(ValueError, match="no picture 0"):
        list(islice(in_background(draw, [Block(0, 0, []), Block(0, 1, [])]), 1))
