"""Sets of drawn lines, and training on lines that are drawn anew, across and down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_set import contents

import generate_data
import inference
import train
from tests.small_fonts import collection_file, font_file
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, Row, open_dataset
from utils.errors import UserError, run_script
from utils.picture import ImageSpec, prepare
from utils.synth.line_scene import LineRenderer
from utils.synth.lines import LineRecipe
from utils.text.charset import Charset
from utils.training.batch import Block
from utils.training.pictures import TrainingPictures

CHARACTERS = "甲乙丙丁戊己庚辛"


@pytest.fixture(scope="module")
def fonts(tmp_path_factory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("some fonts")
    return (
        font_file(folder / "all.ttf", CHARACTERS),
        collection_file(folder / "some.ttc", CHARACTERS[:6], CHARACTERS[2:]),
    )


@pytest.fixture
def charset_file(tmp_path) -> str:
    (tmp_path / "stems.txt").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    return str(tmp_path / "stems.txt")


def make(root: Path, charset_file: str, fonts: tuple[str, ...], *more: str) -> int:
    flags = ["--kind", "line", "--output_dir", str(root), "--num_samples", "30", "--fonts", *fonts]
    flags += ["--charset_file", charset_file, "--num_workers", "1", "--width", "128"]
    flags += ["--max_length", "4", *more]
    return run_script(lambda: generate_data.main(flags))


def test_a_set_of_lines(tmp_path, charset_file, fonts, capsys):
    root = tmp_path / "a set"
    assert make(root, charset_file, fonts, "--direction", "vertical", "--words", "w.txt") == 0
    output = capsys.readouterr().out
    assert "warning: --words has no effect on --kind line" in output
    assert "30 vertical lines of 1 to 4 characters of stems (8), random, in 2 fonts, 32" in output
    data = open_dataset(root, BadRows(0))
    recipe = LineRecipe(CHARACTERS, "stems", 1, 4, 32, 128, fonts, direction="vertical")
    assert data.recipe == recipe
    renderer = LineRenderer(recipe)
    for index, row in enumerate(data.split("train")):
        picture, text = renderer.draw(0, "train", index)
        with Image.open(row.path) as stored:
            assert (stored.tobytes(), row.label) == (picture.tobytes(), text)
    other = tmp_path / "two workers"
    assert make(other, charset_file, fonts, "--direction", "vertical", "--num_workers", "2") == 0
    assert contents(other) == contents(root)


def test_a_set_goes_on_with_the_same_corpus_only(tmp_path, charset_file, fonts, capsys):
    root, corpus = tmp_path / "set", tmp_path / "some text.txt"
    corpus.write_text("甲乙丙。丁戊\n", encoding="utf-8")
    flags = ("--corpus", str(corpus))
    assert make(root, charset_file, fonts, *flags) == 0
    assert "1 characters of the corpus are not in the charset" in capsys.readouterr().out
    assert make(root, charset_file, fonts, *flags, "--num_samples", "40", "--resume") == 0
    assert "drew 10" in capsys.readouterr().out
    more = (*flags, "--num_samples", "40", "--resume")
    assert make(root, charset_file, fonts, *more, "--tight", "0.5") == 2
    assert "--tight 0.5: the set in" in capsys.readouterr().err
    corpus.write_text("甲乙丙", encoding="utf-8")
    assert make(root, charset_file, fonts, *more) == 2
    assert "--corpus some text.txt sha256:" in capsys.readouterr().err


def test_characters_that_no_font_has(tmp_path, charset_file, fonts, capsys):
    Path(charset_file).write_text("\n".join(CHARACTERS + "人\ue000"), encoding="utf-8")
    assert make(tmp_path / "set", charset_file, fonts) == 2
    told = "none of 2 has '人\\ue000' (2 of 10 characters); add one that has, or leave them out by"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert make(tmp_path / "set", charset_file, fonts, "--missing_glyphs", "drop") == 0
    output = capsys.readouterr().out
    assert "left out: 2 of 10 characters, which no font has: 人\\ue000" in output
    recipe = open_dataset(tmp_path / "set", BadRows(0)).recipe
    assert recipe is not None
    assert (recipe.characters, recipe.charset_name) == (CHARACTERS, "stems-2")
    Path(charset_file).write_text("人", encoding="utf-8")
    assert make(tmp_path / "other", charset_file, fonts, "--missing_glyphs", "drop") == 2
    assert "none of 2 fonts has any of the 1 characters of charset stems" in capsys.readouterr().err


def trained(data: Path, save_dir: Path, *flags: str) -> int:
    usual = ["--hidden_size", "16", "--batch_size", "4", "--num_workers", "0", "--num_epochs", "1"]
    usual += ["--num_threads", "1", "--device", "cpu", "--epoch_size", "12"]
    return train.main(["--data_root", str(data), "--save_dir", str(save_dir), *usual, *flags])


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_training_takes_size_and_direction_from_the_set(
    tmp_path, charset_file, fonts, direction, capsys
):
    data, more = tmp_path / "set", ("--split_ratio", "0", "1", "0")
    assert make(data, charset_file, fonts, "--direction", direction, "--tight", "0.5", *more) == 0
    assert trained(data, tmp_path / "run", "--fresh", "1") == 0
    assert "100% of them drawn anew (lines)" in capsys.readouterr().out
    image = load_checkpoint(tmp_path / "run/best.pth").header.image
    assert (image.height, image.width, image.keep_ratio) == (32, 128, True)
    assert image.direction == direction
    flags = ["--mode", "evaluate", "--data_root", str(data), "--split", "val"]
    assert inference.main([*flags, "--model_path", str(tmp_path / "run/best.pth")]) == 0
    assert "n = 30" in capsys.readouterr().out


def test_vertical_pictures_vary_as_horizontal_ones_do(tmp_path):
    """A picture that is turned is the same to every change that --augment makes."""
    levels = np.random.default_rng(0).integers(0, 255, (24, 80), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "across.png")
    Image.fromarray(levels).transpose(Image.Transpose.ROTATE_270).save(tmp_path / "down.png")
    spec = ImageSpec(32, 256, keep_ratio=True)
    found = []
    for name, direction in (("across", "horizontal"), ("down", "vertical")):
        rows = [Row(tmp_path / f"{name}.png", "甲乙", "labels.txt:1")]
        pictures = TrainingPictures(
            rows, replace(spec, direction=direction), Charset("甲乙"), 0, augment="heavy",
            color_jitter=0.2,
        )  # fmt: skip
        found.append(pictures[Block(0, 0, list(range(40)))].images)
    assert (found[0] == found[1]).all()
    down = prepare(tmp_path / "down.png", replace(spec, direction="vertical"))
    np.testing.assert_array_equal(down, prepare(tmp_path / "across.png", spec))


def test_a_font_that_is_gone_is_told_before_the_first_step(tmp_path, charset_file, fonts):
    mine = font_file(tmp_path / "mine.ttf", CHARACTERS)
    data = tmp_path / "set"
    assert make(data, charset_file, (mine, *fonts)) == 0
    Path(mine).unlink()
    with pytest.raises(UserError, match=r"set/dataset\.json: --fonts .*mine\.ttf: not a font"):
        trained(data, tmp_path / "run", "--fresh", "1")


def test_pictures_and_readers_of_different_directions_are_told(
    tmp_path, charset_file, fonts, capsys
):
    data, more = tmp_path / "set", ("--split_ratio", "0.5", "0.5", "0")
    assert make(data, charset_file, fonts, "--direction", "vertical", *more) == 0
    with pytest.raises(UserError, match="--direction horizontal: the set draws vertical lines"):
        trained(data, tmp_path / "run", "--fresh", "1", "--direction", "horizontal")
    (data / "dataset.json").unlink()
    assert trained(data, tmp_path / "run", "--direction", "horizontal") == 0
    told = capsys.readouterr().out
    assert "warning: 15 of 15 pictures are more than 2 times as high as wide" in told


def test_a_set_on_disk_needs_neither_its_fonts_nor_its_corpus(tmp_path, charset_file, fonts):
    mine = font_file(tmp_path / "mine.ttf", CHARACTERS)
    corpus, data = tmp_path / "text.txt", tmp_path / "set"
    corpus.write_text(CHARACTERS, encoding="utf-8")
    more = ("--split_ratio", "0.5", "0.5", "0", "--corpus", str(corpus))
    assert make(data, charset_file, (mine,), *more) == 0
    Path(mine).unlink()
    corpus.unlink()
    assert trained(data, tmp_path / "run") == 0
