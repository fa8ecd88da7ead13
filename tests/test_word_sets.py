"""Sets of drawn words, and training on words that are drawn anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image
from small_run import run
from small_set import contents
from test_fonts import FONTS
from word_set import FACES, PRINTABLE, make

import generate_data
import train
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError, run_script
from utils.picture import ImageSpec
from utils.synth.fonts import find_fonts
from utils.synth.scene import WordRenderer
from utils.synth.words import LOOK_VERSION
from utils.text.charset import Charset
from utils.training.batch import Block
from utils.training.pictures import TrainingPictures


def test_a_set_of_words(tmp_path, words, capsys):
    root = tmp_path / "a set"
    assert make(root, words, "--max_length", "9", "--width", "100") == 0
    output = capsys.readouterr().out
    assert "warning: --width has no effect on --kind word" in output
    assert "40 words of 1 to 9 characters of printable (94) from" in output
    data = open_dataset(root, BadRows(0))
    assert data.recipe == replace(PRINTABLE, max_length=9, words=str(words))
    renderer = WordRenderer(data.recipe)
    for index, row in enumerate(data.split("train")):
        picture, text = renderer.draw(0, "train", index)
        with Image.open(row.path) as stored:
            assert (stored.tobytes(), row.label) == (picture.tobytes(), text)
    other = tmp_path / "two workers"
    assert make(other, words, "--max_length", "9", "--num_workers", "2") == 0
    assert contents(other) == contents(root)


def test_a_set_goes_on_with_the_same_words_only(tmp_path, words, capsys):
    root = tmp_path / "set"
    assert make(root, words) == 0
    assert make(root, words, "--num_samples", "60", "--resume") == 0
    assert "drew 20" in capsys.readouterr().out
    assert make(root, words, "--num_samples", "60", "--augment", "none", "--resume") == 2
    assert "--augment none: the set in" in capsys.readouterr().err
    words.write_text("other words", encoding="utf-8")
    assert make(root, words, "--num_samples", "60", "--resume") == 2
    assert "--words some words.txt sha256:" in capsys.readouterr().err


def test_flags_of_words_on_captchas_are_told(tmp_path, capsys):
    flags = ["--output_dir", str(tmp_path / "set"), "--num_samples", "10", "--number_share", "0.5"]
    assert generate_data.main([*flags, "--num_workers", "1"]) == 0
    assert "warning: --number_share has no effect on --kind captcha" in capsys.readouterr().out


def test_an_empty_folder_of_fonts(tmp_path, words, capsys):
    (tmp_path / "empty").mkdir()
    assert make(tmp_path / "set", words, "--fonts", str(tmp_path / "empty")) == 2
    assert "no font that can be opened is in there" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("keep_ratio", ["--keep_ratio", "--no-keep_ratio"])
def test_training_on_fresh_words_in_36_classes(tmp_path, words, keep_ratio, capsys):
    """The benchmark's reader: small letters and digits, every other sign dropped from labels."""
    data = tmp_path / "set"
    assert make(data, words, "--max_length", "10") == 0
    flags = ["--fresh", "1", "--num_epochs", "1", "--epoch_size", "24", "--renderer", "package"]
    flags += ["--charset", "alnum36", "--label_case", "lower", "--label_drop", keep_ratio]
    assert run(data, tmp_path / "run", *flags) == 0
    output = capsys.readouterr().out
    assert "--renderer has no effect: it draws captchas, and the set has words" in output
    charset = load_checkpoint(tmp_path / "run/last.pth").header.charset
    assert charset.drops
    assert charset.fold("FOX's 1!") == "foxs1"


def test_what_a_charset_leaves_nothing_of_is_drawn_again(tmp_path, words):
    recipe = replace(PRINTABLE, words=str(words), number_share=0.3)
    charset = Charset("0123456789", "digits", drops=True)
    pictures = TrainingPictures(
        [], ImageSpec(32, 160, keep_ratio=True), charset, 0, recipe, fresh=1.0
    )
    batch = pictures[Block(0, 0, list(range(24)))]
    assert len(batch.target_lengths) == 24
    assert min(batch.target_lengths.tolist()) >= 1
    nothing = replace(recipe, number_share=0.0, random_share=0.0)
    with pytest.raises(UserError, match="of 200 texts of the recipe, charset digits left nothing"):
        TrainingPictures([], ImageSpec(32, 160), charset, 0, nothing, fresh=1.0)[Block(0, 0, [0])]


def test_a_font_that_is_gone_is_told_before_the_first_step(tmp_path, words):
    shutil.copy(FACES[0], tmp_path / "mine.ttf")
    data = tmp_path / "set"
    assert make(data, words, "--fonts", str(tmp_path / "mine.ttf"), *FACES[1:]) == 0
    (tmp_path / "mine.ttf").unlink()
    with pytest.raises(UserError, match=r"set/dataset\.json: --fonts .*mine\.ttf: not a font"):
        run(data, tmp_path / "run", "--fresh", "1", "--img_width", "160")


def test_a_run_does_not_go_on_with_other_words(tmp_path, words):
    assert make(tmp_path / "set", words) == 0
    flags = ["--fresh", "1", "--epoch_size", "8", "--num_epochs", "1", "--img_width", "160"]
    assert run(tmp_path / "set", tmp_path / "run", *flags) == 0
    last = ["--resume", str(tmp_path / "run/last.pth")]
    assert train.main(last) == 0
    words.write_text("others", encoding="utf-8")
    with pytest.raises(UserError, match="the data set has changed since that run began"):
        train.main(last)


@pytest.mark.parametrize(
    "values", [{"augment": 3}, {"min_length": "x"}, {"words": 5}, {"colour": 1}]
)
def test_a_recipe_of_wrong_values_is_told(tmp_path, words, values):
    assert make(tmp_path / "set", words) == 0
    path = tmp_path / "set/dataset.json"
    description = json.loads(path.read_text("utf-8"))
    description["recipe"] |= values
    path.write_text(json.dumps(description), "utf-8")
    with pytest.raises(UserError, match="not a data set's description"):
        open_dataset(tmp_path / "set", BadRows(0))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"augment": "crazy"}, "--augment crazy: expected one of none, light, medium, heavy"),
        ({"loose": 5}, "--loose 5: expected 0 to 1"),
        ({"height": 0}, "--height 0: expected 16 to 4096"),
        ({"fonts": []}, "needs a font or more"),
        ({"min_length": 9, "max_length": 3}, "lengths from 9 to 3"),
        ({"characters": ""}, "a charset without characters"),
    ],
)
def test_a_recipe_of_values_out_of_range_is_told(tmp_path, words, values, told):
    assert make(tmp_path / "set", words) == 0
    path = tmp_path / "set/dataset.json"
    description = json.loads(path.read_text("utf-8"))
    description["recipe"] |= values
    path.write_text(json.dumps(description), "utf-8")
    with pytest.raises(UserError, match=told) as error:
        run(tmp_path / "set", tmp_path / "run", "--fresh", "1", "--charset", "printable")
    assert "set/dataset.json: " in str(error.value)


def test_a_set_of_an_older_look_is_not_gone_on_with(tmp_path, words, capsys):
    assert make(tmp_path / "set", words) == 0
    path = tmp_path / "set/dataset.json"
    described = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**described, "format_version": LOOK_VERSION - 1}), "utf-8")
    assert make(tmp_path / "set", words, "--resume") == 2
    assert f"dataset.json format {LOOK_VERSION}: the set in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--number_share", "1", "--random_share", "0"], "--words has no effect where"),
        (["--number_share", "0.2", "--charset", "upper"], "--number_share has no effect on a char"),
    ],
)
def test_shares_without_effect_are_told(tmp_path, words, more, told, capsys):
    assert make(tmp_path / "set", words, *more) == 0
    assert f"warning: {told}" in capsys.readouterr().out


def test_another_kind_of_set_is_not_gone_on_with(tmp_path, words, capsys):
    assert make(tmp_path / "set", words) == 0
    words_of_captcha = ["--output_dir", str(tmp_path / "set"), "--num_samples", "40", "--resume"]
    assert run_script(lambda: generate_data.main(words_of_captcha)) == 2
    assert "a set of another --kind stands there" in capsys.readouterr().err


def test_words_that_may_not_fit_are_refused(tmp_path, words):
    assert make(tmp_path / "set", words) == 0
    with pytest.raises(UserError, match="needs 15 time steps and a width of 48 gives"):
        run(tmp_path / "set", tmp_path / "run", "--fresh", "1", "--img_width", "48")
    with pytest.raises(UserError, match="recipe draws words"):
        run(tmp_path / "set", tmp_path / "run", "--fresh", "1", "--hard_characters", "vV")


def test_fresh_characters_that_the_charset_lacks_are_refused_unless_it_drops(tmp_path, words):
    assert make(tmp_path / "set", words) == 0
    for split in ("train", "val"):
        path = tmp_path / "set" / split / "labels.txt"
        names = [line.split("\t")[0] for line in path.read_text("utf-8").splitlines()]
        path.write_text("".join(f"{name}\t12\n" for name in names), encoding="utf-8")
    flags = ["--fresh", "1", "--epoch_size", "8", "--num_epochs", "1", "--charset", "digits"]
    with pytest.raises(UserError, match="the set's recipe draws"):
        run(tmp_path / "set", tmp_path / "run", *flags)
    assert run(tmp_path / "set", tmp_path / "run", *flags, "--label_drop") == 0
    description = json.loads((tmp_path / "set/dataset.json").read_text("utf-8"))
    assert description["recipe"]["kind"] == "word"


def test_fonts_of_a_folder_are_written_down(tmp_path, words):
    assert make(tmp_path / "set", words, "--fonts", str(FONTS)) == 0
    recipe = open_dataset(tmp_path / "set", BadRows(0)).recipe
    assert recipe.fonts == find_fonts([str(FONTS)]).paths
