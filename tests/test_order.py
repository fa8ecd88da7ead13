"""The order of a run's pictures: the same for any number of ranks, and none lost between two."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import numpy as np
import pytest
import torch
from conftest import write_split

from utils.dataset import BadRows, open_dataset
from utils.picture import ImageSpec
from utils.ranks import Ranks
from utils.synth import captcha
from utils.synth.captcha import CaptchaRecipe
from utils.text.charset import preset_charset
from utils.training.batch import Batch
from utils.training.batches import training_batches
from utils.training.order import EpochBatches
from utils.training.pictures import TrainingPictures

RECIPE = CaptchaRecipe("0123456789", "digits", 2, 4, 80, 32)


def learned(order: EpochBatches) -> list[list[int]]:
    """Places of each step that this rank makes and that count."""
    found = []
    for block in order:
        places = iter([block.pictures[place] for place in block.places])
        for step, size in enumerate(block.sizes, start=block.start // order.batch_size):
            part = [next(places) for _ in range(size)]
            found.append(part if order.weight(block.epoch, step) else [])
        assert next(places, None) is None
    return found


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("steps_at_once", [1, 2])
def test_ranks_share_the_pictures_of_each_step(world_size: int, steps_at_once: int) -> None:
    """23 pictures in steps of 6: the last one has 5 of them; of 31, 1."""
    for count in (23, 31):
        whole = learned(EpochBatches(count, 6, 2, seed=3, steps_at_once=steps_at_once))
        parts = [
            learned(EpochBatches(count, 6, 2, 3, steps_at_once=steps_at_once,
                                 ranks=Ranks(rank, world_size)))
            for rank in range(world_size)
        ]  # fmt: skip
        joined = [sum(step, []) for step in zip(*parts, strict=True)]
        assert joined == whole
        orders = [EpochBatches(count, 6, 2, 3, ranks=Ranks(r, world_size)) for r in range(5)]
        for step in range(orders[0].steps_per_epoch):  # a mean of means is the mean over all
            size = min(6, count - 6 * step)
            for rank, part in enumerate(parts):
                share = orders[rank].weight(0, step) / max(len(part[step]), 1) / world_size
                assert share == pytest.approx(1 / size if part[step] else 0)
            assert all(len(order.mine(0, step)) for order in orders[:world_size])


@pytest.mark.parametrize(("renderer", "fresh"), [("fast", 1.0), ("fast", 0.5), ("package", 0.5)])
def test_ranks_together_see_what_one_would(
    tmp_path, monkeypatch: pytest.MonkeyPatch, renderer: str, fresh: float
) -> None:
    monkeypatch.setattr(captcha, "BLOCK_PIXELS", 12 * 80 * 32)  # two steps of six
    write_split(tmp_path / "train", RECIPE, 9, seed=1)
    rows = open_dataset(tmp_path / "train", BadRows(0)).split("train")
    pictures = TrainingPictures(
        rows, ImageSpec(32, 80), preset_charset("digits"), 0, RECIPE, fresh, renderer, 0.2
    )

    def batches(ranks: Ranks) -> list[Batch]:
        order = EpochBatches(23, 6, 1, 0, ranks=ranks)
        with closing(training_batches(pictures, order, num_workers=0)) as made:
            return list(made)

    whole, shares = batches(Ranks()), [batches(Ranks(rank, 3)) for rank in range(3)]
    for step, parts in zip(whole, zip(*shares, strict=True), strict=True):
        images = torch.cat([part.images for part in parts])
        # Of what is drawn together, a few pixels at the edges of letters hang on what else is.
        share = 0.002 if renderer == "fast" else 0
        assert ((images - step.images).abs() > 1e-5).float().mean() <= share
        labels = [row[:n].tolist() for part in (step, *parts)
                  for row, n in zip(part.targets, part.target_lengths, strict=True)]  # fmt: skip
        assert labels[: len(labels) // 2] == labels[len(labels) // 2 :]


@pytest.mark.parametrize("by_width", [False, True])
@pytest.mark.parametrize(("before", "after"), [(6, 4), (4, 6), (6, 9), (4, 30)])
def test_with_another_batch_none_is_left_out_or_learned_twice(
    before: int, after: int, by_width: bool
) -> None:
    widths = np.arange(23) * 3 % 40 if by_width else None
    first = [place for step in learned(EpochBatches(23, before, 2, 0, widths=widths))[:3]
             for place in step]  # fmt: skip
    step, skipped = divmod(3 * before, after)
    for world_size in (1, 2):
        rest = [
            learned(EpochBatches(23, after, 2, 0, 0, step, widths=widths, skipped=skipped,
                                 ordered_by=before, ranks=Ranks(rank, world_size)))
            for rank in range(world_size)
        ]  # fmt: skip
        steps = -(-23 // after) - step
        epoch = Counter(place for part in rest for step_ in part[:steps] for place in step_)
        assert epoch + Counter(first) == Counter(range(23))
        second = Counter(place for part in rest for step_ in part[steps:] for place in step_)
        assert second == Counter(range(23))


@pytest.mark.parametrize(("before", "after"), [(4, 8), (4, 6), (8, 4)])
@pytest.mark.parametrize("fresh", [1.0, 0.5])
def test_with_another_batch_none_is_drawn_twice(
    tmp_path, monkeypatch: pytest.MonkeyPatch, before: int, after: int, fresh: float
) -> None:
    """Of captchas that are drawn together."""
    monkeypatch.setattr(captcha, "BLOCK_PIXELS", 8 * 80 * 32)
    write_split(tmp_path / "train", RECIPE, 9, seed=1)
    rows = open_dataset(tmp_path / "train", BadRows(0)).split("train")
    spec, charset = ImageSpec(32, 80), preset_charset("digits")
    pictures = TrainingPictures(rows, spec, charset, 0, RECIPE, fresh, "fast")

    def made(order: EpochBatches, pictures: TrainingPictures = pictures) -> list[bytes]:
        with closing(training_batches(pictures, order, num_workers=0)) as batches:
            return [image.numpy().tobytes() for batch in batches for image in batch.images]

    step, skipped = divmod(24, after)
    all_made = made(EpochBatches(48, before, 1, 0))[:24]
    all_made += made(EpochBatches(48, after, 1, 0, 0, step, skipped=skipped, ordered_by=before))
    assert len(all_made) == 48
    read = made(EpochBatches(9, 9, 1, 0), TrainingPictures(rows, spec, charset, 0))
    drawn = Counter(image for image in all_made if image not in read)
    assert len(drawn) >= 48 * fresh / 2
    assert set(drawn.values()) == {1}
