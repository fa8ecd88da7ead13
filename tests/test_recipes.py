"""Recipes: TOML files that preset flags, beaten by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_options import Options, recipe, run, sentences

from utils.options import parse


def test_a_recipe_presets_and_the_line_overrides(tmp_path: Path):
    path = recipe(
        tmp_path,
        'batch_size = 4\nlr = 1\namp = false\nsplit_ratio = [0.25, 0.75]\ndata_root = "données"\n',
    )
    parsed = run("--config", path, "--batch_size", "8", "--amp")
    expected = Options(
        config=path,
        batch_size=8,
        lr=1.0,
        amp=True,
        split_ratio=(0.25, 0.75),
        data_root="données",
    )
    assert parsed.options == expected
    assert isinstance(parsed.options.lr, float)
    assert parsed.given == {"config", "batch_size", "lr", "amp", "split_ratio", "data_root"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('amp = "yes"', "amp = 'yes': expected true or false"),
        ("batch_size = 2.5", "batch_size = 2.5: expected a whole number"),
        ("batch_size = true", "batch_size = True: expected a whole number"),
        ("batch_size = 0", "batch_size = 0: expected more than 0"),
        ("lr = [1]", "lr = [1]: expected a number"),
        ("lr = 2024-01-01", "lr = datetime.date(2024, 1, 1): expected a number"),
        ("data_root = 5", "data_root = 5: expected a text in quotes"),
        ("[batch_size]\nx = 1", "batch_size = {'x': 1}: expected a whole number"),
        ("batchsize = 5", "'batchsize' is not a flag of this script; did you mean 'batch_size'?"),
        ('config = "b.toml"', "'config' stands in a recipe; give it on the command line"),
    ],
)
def test_recipe_problems(tmp_path: Path, line, sentence):
    path = recipe(tmp_path, line + "\n")
    assert sentences("--config", path) == [f"{path}: {sentence}"]


def test_recipes_that_cannot_be_read(tmp_path: Path):
    nowhere = str(tmp_path / "nowhere.toml")
    assert sentences("--config", nowhere) == [f"--config {nowhere}: no such file"]
    assert sentences("--config", str(tmp_path)) == [
        f"--config {tmp_path}: it is a folder; give a TOML file"
    ]
    broken = recipe(tmp_path, "lr = \n")
    (sentence,) = sentences("--config", broken)
    assert sentence.startswith(f"--config {broken}: not a TOML recipe (")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('data_root = "donn\xe9es"'.encode("latin-1"))
    (sentence,) = sentences("--config", str(latin))
    assert sentence.startswith(f"--config {latin}: not a TOML recipe (")


@pytest.mark.parametrize("path", sorted((Path(__file__).parent.parent / "recipes").glob("*.toml")))
def test_our_own_recipes_are_options_of_train(path: Path):
    from train import TrainOptions

    parsed = parse(TrainOptions, ["--config", str(path), "--num_epochs", "3"], "")
    assert len(parsed.given) > 2
