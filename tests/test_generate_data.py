"""generate_data.py: what it makes, the same bytes from the same seed, and its sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from small_set import SCRIPT, contents, flags, make

from utils.dataset import SPLITS, BadRows, open_dataset
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.synth.description import split_sizes


def read_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.copy()


def test_a_set_is_complete_and_says_what_made_it(tmp_path, capsys):
    root = tmp_path / "a set"
    assert make(root, seed=5, num_samples=100) == 0
    data = open_dataset(root, BadRows(0))
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 80,
        "val": 10,
        "test": 10,
    }
    assert data.recipe == CaptchaRecipe("0123456789", "digits", 2, 3, 80, 32)
    renderer = CaptchaRenderer(data.recipe)
    for split in SPLITS:
        for index, row in enumerate(data.split(split)):
            picture, text = renderer.draw(5, split, index)
            assert row.label == text
            assert read_picture(row.path).tobytes() == picture.tobytes()
    description = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    assert description["complete"] is True
    assert description["seed"] == 5
    assert set(description["versions"]) == {"project", "captcha", "pillow"}
    assert read_picture(root / "samples.png").width > 80
    output = capsys.readouterr()
    assert "80 train, 10 val, 10 test" in output.out
    assert output.out.endswith(f'python train.py --data_root "{root}"\n')
    assert output.err == ""


@pytest.mark.parametrize("renderer", ["package", "fast"])
def test_same_bytes_with_one_and_two_workers(tmp_path, renderer):
    assert make(tmp_path / "one", num_workers=1, num_samples=90, renderer=renderer) == 0
    assert make(tmp_path / "two", num_workers=2, num_samples=90, renderer=renderer) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("renderer", ["package", "fast"])
def test_seeds_splits_and_places_draw_different_pictures(tmp_path, renderer):
    for seed in (1, 2):
        make(tmp_path / str(seed), seed=seed, num_samples=90, renderer=renderer)
    files = contents(tmp_path)
    pictures = [data for name, data in files.items() if Path(name).stem.isdecimal()]
    assert len(set(pictures)) == len(pictures) == 180


@pytest.mark.parametrize(("renderer", "sizes"), [("package", (15, 33)), ("fast", (60, 130))])
def test_a_smaller_set_is_the_first_pictures_of_a_larger(tmp_path, renderer, sizes):
    make(tmp_path / "small", num_samples=sizes[0], renderer=renderer)
    make(tmp_path / "large", num_samples=sizes[1], renderer=renderer)
    small, large = contents(tmp_path / "small"), contents(tmp_path / "large")
    for name, data in small.items():
        if name.endswith("labels.txt"):
            assert large[name].startswith(data)
        elif "/" in name:
            assert large[name] == data
    assert len(large) > len(small)


@pytest.mark.parametrize("ratio", [(0.8, 0.1, 0.1), (0.34, 0.33, 0.33), (0.5, 0.0, 0.5)])
def test_no_split_shrinks_when_the_set_grows(ratio):
    before = dict.fromkeys(SPLITS, 0)
    for count in range(1, 400):
        sizes = split_sizes(count, ratio)
        assert sum(sizes.values()) == count
        assert all(sizes[name] >= before[name] for name in SPLITS)
        assert all(
            abs(sizes[name] - count * share) < 1 for name, share in zip(SPLITS, ratio, strict=True)
        )
        before = sizes


BAD = [
    ({"num_samples": 0}, "--num_samples 0: expected 1 or more"),
    ({"num_samples": 3}, "--num_samples 3: leaves nothing for val, whose share is 0.1"),
    ({"width": 15}, "--width 15: expected 16 to 4096"),
    ({"height": 5000}, "--height 5000: expected 16 to 4096"),
    ({"min_length": 0}, "--min_length 0: expected 1 or more"),
    ({"min_length": 4}, "--max_length 3: less than --min_length 4"),
    ({"renderer": "quick"}, "--renderer quick: expected one of package, fast"),
    ({"num_workers": 0}, "--num_workers 0: expected 1 or more"),
    ({"charset": "digit"}, "did you mean 'digits'?"),
    ({"charset_file": "no.txt"}, "--charset and --charset_file: both are given"),
    ({"charset_file": "no.txt", "charset": None}, "charset file no.txt: no such file"),
    ({"fonts": "no.ttf"}, "--fonts no.ttf: no such file"),
    ({"fonts": SCRIPT}, "generate_data.py: not a font that can be opened"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD)
def test_bad_values(tmp_path, capsys, changes, sentence):
    assert make(tmp_path / "data", **changes) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("ratio", ["0.8 0.1", "0.8 0.1 0.2", "1.2 -0.1 -0.1", "1"])
def test_bad_split_ratios(tmp_path, capsys, ratio):
    assert make(tmp_path / "data", "--split_ratio", *ratio.split()) == 2
    assert f"--split_ratio {ratio}: expected" in capsys.readouterr().err


def test_problems_are_told_at_once(tmp_path, capsys):
    assert make(tmp_path, "--split_ratio", "1", "1", "1", min_length=9, fonts="no.ttf") == 2
    errors = capsys.readouterr().err
    assert all(word in errors for word in ("--split_ratio", "--min_length", "--fonts"))


@pytest.mark.parametrize("name", ["data", "data/train", "data/x/y"])
def test_an_output_that_is_a_file(tmp_path, capsys, name):
    blocker = tmp_path / ("data" if name == "data/x/y" else name)
    blocker.parent.mkdir(exist_ok=True)
    blocker.write_text("mine", encoding="utf-8")
    assert make(tmp_path / (name if name == "data/x/y" else "data")) == 2
    assert "is a file, not a folder" in capsys.readouterr().err
    assert blocker.read_text(encoding="utf-8") == "mine"


def test_a_share_of_zero_makes_no_split(tmp_path, capsys):
    assert make(tmp_path / "data", "--split_ratio", "0", "0", "1") == 0
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "test",
        "dataset.json",
        "samples.png",
    }
    assert "train.py" not in capsys.readouterr().out


def test_characters_of_a_file_and_flags_of_a_recipe(tmp_path):
    (tmp_path / "my chars.txt").write_text("x\ny\n \n", encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("max_length = 9\nseed = 3\n", encoding="utf-8")
    root = tmp_path / "data"
    more = ["--config", str(recipe), "--charset_file", str(tmp_path / "my chars.txt")]
    assert make(root, *more, charset=None, max_length=None) == 0
    description = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    assert description["recipe"]["characters"] == "xy "
    assert (description["recipe"]["max_length"], description["seed"]) == (9, 3)


def test_a_character_without_a_glyph_is_told(tmp_path, capsys):
    (tmp_path / "chars.txt").write_text("a\n\u4e2d", encoding="utf-8")
    assert make(tmp_path / "d", charset=None, charset_file=tmp_path / "chars.txt") == 2
    assert "no glyph for '\u4e2d'" in capsys.readouterr().err


def test_neither_help_nor_workers_need_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch is blocked')", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    shown = run("--help")
    assert shown.returncode == 0
    assert "--split_ratio" in shown.stdout
    made = run(*flags(tmp_path / "data", num_workers=2))
    assert (made.returncode, made.stderr) == (0, "")
