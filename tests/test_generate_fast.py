"""generate_data.py --renderer fast: blocks, and sets of one renderer each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_set import contents, make

from utils.dataset import SPLITS, BadRows, open_dataset
from utils.synth.captcha import BLOCK_PIXELS, CaptchaRecipe
from utils.synth.dice import seeded_generator
from utils.synth.drawing import split_chunks
from utils.synth.fast import FastRenderer


def test_a_set_of_the_fast_renderer_is_drawn_in_blocks(tmp_path):
    assert make(tmp_path, seed=5, num_samples=200, renderer="fast") == 0
    data = open_dataset(tmp_path, BadRows(0))
    assert data.recipe == CaptchaRecipe("0123456789", "digits", 2, 3, 80, 32)
    renderer = FastRenderer(data.recipe, channels=3)
    for split in SPLITS:
        for index, row in enumerate(data.split(split)):
            block, place = divmod(index, data.recipe.block_size)
            if place == 0:
                drawn = renderer.draw(data.recipe.block_size, seeded_generator(5, split, block))
            label = "".join(map(str, drawn.characters[place, : drawn.lengths[place]].tolist()))
            assert row.label == label
            with Image.open(row.path) as picture:
                assert picture.mode == "RGB"
                assert np.array_equal(np.asarray(picture), drawn.images[place].permute(1, 2, 0))
    description = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert description["renderer"] == "fast"
    assert set(description["versions"]) == {"project", "captcha", "pillow", "torch"}


@pytest.mark.parametrize("size", [(16, 16), (80, 32), (160, 60), (300, 100), (1000, 1500)])
def test_no_block_is_cut_in_two(size):
    recipe = CaptchaRecipe("01", "bits", width=size[0], height=size[1])
    assert 1 <= recipe.block_size <= 128
    assert recipe.block_size == 1 or recipe.block_size * size[0] * size[1] <= BLOCK_PIXELS
    chunks = split_chunks(Path(), recipe, {"train": 150, "val": 33}, 0, "fast")
    assert [chunk.start for chunk in chunks if chunk.start % recipe.block_size] == []
    assert sum(chunk.stop - chunk.start for chunk in chunks) == 183


def change_description(root: Path, change: Callable[[dict], object]) -> None:
    path = root / "dataset.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    change(description)
    path.write_text(json.dumps(description), encoding="utf-8")


@pytest.mark.parametrize(("one", "other"), [("package", "fast"), ("fast", "package")])
def test_resume_keeps_to_the_renderer(tmp_path, capsys, one, other):
    make(tmp_path, renderer=one)
    before = contents(tmp_path)
    assert make(tmp_path, "--resume", renderer=other) == 2
    sentences = capsys.readouterr().err.splitlines()
    assert f"--renderer {other}: the set in {tmp_path} was made with {one}" in sentences[0]
    assert len(sentences) == 2
    assert contents(tmp_path) == before


def test_a_set_that_names_no_renderer_was_drawn_by_the_package(tmp_path, capsys):
    make(tmp_path)
    change_description(tmp_path, lambda description: description.pop("renderer"))
    assert make(tmp_path, "--resume", renderer="fast") == 2
    assert "was made with package" in capsys.readouterr().err
    assert make(tmp_path, "--resume") == 0


def test_a_set_of_an_unknown_renderer_is_left_alone(tmp_path, capsys):
    make(tmp_path)
    change_description(tmp_path, lambda description: description.update(renderer="newer"))
    assert make(tmp_path, "--resume") == 2
    assert "not a data set's description (KeyError('newer'))" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"block": 64}, {"block": None}])
def test_resume_keeps_to_the_size_of_a_block(tmp_path, capsys, change):
    """Other blocks are other pictures; sets from before it was told have 32."""
    make(tmp_path, renderer="fast")

    def alter(description: dict) -> None:
        assert description["block"] == 128
        del description["block"]
        description.update({name: value for name, value in change.items() if value})

    change_description(tmp_path, alter)
    before = contents(tmp_path)
    assert make(tmp_path, "--resume", renderer="fast") == 2
    told = (
        f"pictures drawn at once 128: the set in {tmp_path} was made with {change['block'] or 32}"
    )
    assert told in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_block_that_is_there_is_not_drawn_again(tmp_path, monkeypatch):
    make(tmp_path, renderer="fast")
    before = contents(tmp_path)
    monkeypatch.delattr(FastRenderer, "render")
    assert make(tmp_path, "--resume", renderer="fast") == 0
    assert contents(tmp_path) == before


def test_pictures_of_another_torch_are_not_mixed_in(tmp_path, capsys):
    make(tmp_path, renderer="fast")
    change_description(tmp_path, lambda description: description["versions"].update(torch="0.1"))
    assert make(tmp_path, "--resume", renderer="fast") == 2
    assert "was made with 0.1" in capsys.readouterr().err
