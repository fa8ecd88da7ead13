"""Changes of pictures of text, alone and as train.py makes them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from lively import scribble
from PIL import Image
from small_run import run, weights

import utils.augment
from utils.changes import CHANGES, LEVELS, Level, augmented, beside, shrunk, varied
from utils.dataset import Row
from utils.errors import UserError
from utils.picture import ImageSpec, prepare
from utils.text.charset import preset_charset
from utils.training.batch import Block
from utils.training.pictures import TrainingPictures

every_change = pytest.mark.parametrize("name", CHANGES)


def picture(mode: str = "L") -> Image.Image:
    """Dark bars on paper, some of them at the edge."""
    values = np.full((40, 120), 240, np.uint8)
    for left in (0, 30, 60, 90, 114):
        values[8:32, left : left + 6] = 30
    return Image.fromarray(values).convert(mode)


def changed(name: str, seed: int, strength: float = 1.0, mode: str = "L") -> np.ndarray:
    return np.asarray(CHANGES[name](picture(mode), strength, random.Random(seed)), np.float32)


@every_change
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_change_keeps_size_and_mode_and_the_picture_given(name: str, mode: str):
    image = picture(mode)
    for seed in range(5):
        other = CHANGES[name](image, 1.0, random.Random(seed))
        assert (other.size, other.mode) == (image.size, mode)
    assert image.tobytes() == picture(mode).tobytes()
    assert {CHANGES[name](scribble(0, 8, 8), 1.0, random.Random(3)).size} == {(8, 8)}
    for size in ((1, 60), (60, 1), (20_000, 40)):
        tiny = Image.new(mode, size)
        assert augmented(tiny, "heavy", random.Random(0)).size == size


@every_change
def test_a_change_is_a_function_of_its_dice(name: str):
    assert np.array_equal(changed(name, 1), changed(name, 1))
    assert len({changed(name, seed).tobytes() for seed in range(6)}) > 1


@every_change
def test_the_stronger_the_more_is_changed(name: str):
    before = np.asarray(picture(), np.float32)
    weak, strong = (
        np.mean([np.abs(changed(name, seed, strength) - before).mean() for seed in range(20)])
        for strength in (0.1, 1.0)
    )
    assert weak < strong / 1.5
    assert strong > 0.3


@pytest.mark.parametrize("name", ["perspective", "rotation", "shear", "elastic"])
def test_what_comes_from_outside_is_paper(name: str):
    for seed in range(10):
        values = changed(name, seed)
        assert values[[0, -1]].min() > 100  # no black corners
        assert (values < 120).mean() > 0.08  # and the bars are still there


def test_levels():
    assert augmented(picture(), "none", random.Random(0)).tobytes() == picture().tobytes()
    before = np.asarray(picture(), np.float32)
    far = [
        np.mean([np.abs(np.asarray(augmented(picture(), level, random.Random(seed)), np.float32)
                        - before).mean() for seed in range(60)])
        for level in LEVELS
    ]  # fmt: skip
    assert far == sorted(far)
    assert far[0] == 0 < far[1] < far[3] / 2


def test_two_pictures_beside_each_other():
    both = beside(picture(), Image.new("L", (10, 80), 7))
    assert both.size == (125, 40)
    assert np.asarray(both)[:, :120].tobytes() == np.asarray(picture()).tobytes()
    assert np.asarray(both)[20, 120:].tolist() == [7] * 5


def test_a_shrunk_picture_lies_whole_anywhere_on_its_own_ground():
    before, free = np.asarray(picture()), []
    for seed in range(60):
        after = np.asarray(shrunk(picture(), 1.0, random.Random(seed)))
        assert after.shape == before.shape
        assert after[[0, -1]].min() > 200  # paper above and below the bars, wherever they lie
        rows, columns = (np.flatnonzero((after < 120).any(axis=axis)) for axis in (1, 0))
        free.append((columns[0], 119 - columns[-1], rows[0], 39 - rows[-1]))
        assert 0.4 < (after < 120).sum() / (before < 120).sum() < 1.05
    left, right, above, below = np.array(free).T
    for one, other in ((left, right), (above, below)):
        assert (one > other + 1).sum() > 10
        assert (other > one + 1).sum() > 10
    assert max(left + right) > 35
    assert max(above + below) > 16 + 4  # 8 and 8 are free before
    tiny = Image.new("L", (7, 7), 5)
    assert varied(tiny, "heavy", random.Random(0)).tobytes() == tiny.tobytes()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_as_many_pictures_are_shrunk_as_the_level_says(tmp_path: Path, monkeypatch, share: float):
    monkeypatch.setitem(LEVELS, "heavy", Level(0.0, 1.0, 0.0, share))
    picture().save(tmp_path / "bars.png")
    rows = [Row(tmp_path / "bars.png", "1", "here")] * 60
    spec = ImageSpec(40, 120)
    pictures = TrainingPictures(rows, spec, preset_charset("digits"), 0, augment="heavy")
    batch = pictures[Block(0, 0, list(range(60)))].images
    same = (batch == batch.new_tensor(prepare(picture(), spec))).flatten(1).all(dim=1)
    assert 0.7 * (1 - share) * 60 <= same.sum() <= 1.3 * (1 - share) * 60


def pictures_of(folder: Path, spec: ImageSpec, augment: str) -> TrainingPictures:
    """Twenty scribbles, 60 x 32, each with its number for a label."""
    rows = []
    for index in range(20):
        scribble(index, 60).save(folder / f"{index}.png")
        rows.append(Row(folder / f"{index}.png", f"{index}", "here"))
    return TrainingPictures(rows, spec, preset_charset("digits"), 0, augment=augment)


def labels_of(pictures: TrainingPictures, epochs: int = 10) -> list[str]:
    found = []
    for epoch in range(epochs):
        batch = pictures[Block(epoch, 0, list(range(20)))]
        for ids, length in zip(batch.targets, batch.target_lengths, strict=True):
            found.append(pictures.charset.decode(ids[:length].tolist()))
    return found


def test_pictures_are_joined_with_their_labels_where_there_is_room(tmp_path: Path):
    wide = ImageSpec(32, 160, keep_ratio=True)
    labels = labels_of(pictures_of(tmp_path, wide, "heavy"))
    joined = [label for place, label in enumerate(labels) if label != str(place % 20)]
    assert 10 < len(joined) < 80
    assert all(label.startswith(str(place % 20)) for place, label in enumerate(labels))
    for spec, level in ((ImageSpec(32, 100, keep_ratio=True), "heavy"),
                        (ImageSpec(32, 160), "heavy"), (wide, "light")):  # fmt: skip
        plain = labels_of(pictures_of(tmp_path, spec, level))
        assert plain == [str(place % 20) for place in range(200)]


def test_pictures_that_keep_their_ratio_are_stretched_as_far_as_labels_have_room(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setitem(LEVELS, "heavy", Level(0.0, 1.0, 0.0, 0.0))

    def widths(spec: ImageSpec, label: str, width: int = 80) -> list[int]:
        scribble(0, width).save(tmp_path / "one.png")
        rows = [Row(tmp_path / "one.png", label, "here")] * 100
        pictures = TrainingPictures(rows, spec, preset_charset("digits"), 0, augment="heavy")
        return [pictures[Block(0, 0, [place])].images.shape[3] for place in range(100)]

    free = widths(ImageSpec(32, 160, keep_ratio=True), "12")
    assert 56 <= min(free) < 60
    assert 108 < max(free) <= 114
    assert 75 < np.median(free) < 86
    assert min(widths(ImageSpec(32, 160, keep_ratio=True), "123456789")) == 72
    assert min(widths(ImageSpec(32, 160, keep_ratio=True), "1111111", 40)) == 40
    assert max(widths(ImageSpec(32, 90, keep_ratio=True), "12")) == 90
    assert set(widths(ImageSpec(32, 100), "12")) == {100}


def test_workers_change_nothing(tiny_data: Path, tmp_path: Path):
    """Changes are a function of seed, epoch and place; so are the weights in the end."""
    words = ("--augment", "heavy", "--num_epochs", "2")
    assert run(tiny_data, tmp_path / "whole", *words) == 0
    assert run(tiny_data, tmp_path / "workers", *words, "--num_workers", "1") == 0
    assert run(tiny_data, tmp_path / "plain", "--num_epochs", "2") == 0
    whole, workers, plain = (
        weights(tmp_path / name / "last.pth") for name in ("whole", "workers", "plain")
    )
    assert all(bool((whole[key] == workers[key]).all()) for key in whole)
    assert any(bool((whole[key] != plain[key]).any()) for key in whole)


def test_the_contact_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scribble(0).save(tmp_path / "a.png")
    sheet = tmp_path / "sheet.png"
    assert utils.augment.main([str(tmp_path / "a.png"), "--output_path", str(sheet)]) == 0
    assert capsys.readouterr().out.endswith(f": {sheet}\n")
    with Image.open(sheet) as image:
        assert image.height > 1000
    with pytest.raises(UserError, match="no picture is given"):
        utils.augment.main([])
    with pytest.raises(UserError, match="none.png: no such file"):
        utils.augment.main(["none.png"])
