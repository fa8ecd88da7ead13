"""Options from a dataclass: the command line, recipes, and every problem told at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.options import Parsed, option, parse


@dataclass(frozen=True)
class Options:
    source: str = option(None, "what to read", positional=True)
    config: str = option(None, "a recipe of flags (TOML)")
    data_root: str = option("./data", "folder of the data")
    backbone: str = option("light", "which network", choices=("light", "basic", "resnet"))
    batch_size: int = option(32, "pictures a step", above=0)
    lr: float = option(1e-3, "learning rate, 100% of it")
    limit: int | None = option(None, "at most so many")
    split_ratio: tuple[float, ...] = option((0.8, 0.2), "shares", least=0, most=1)
    fonts: tuple[str, ...] = option((), "font files")
    amp: bool = option(True, "half precision")
    dry_run: bool = option(False, "only look")

    def problems(self) -> list[str]:
        found = []
        if sum(self.split_ratio) != 1:
            found.append(f"--split_ratio {self.split_ratio}: expected shares that sum to 1")
        if self.dry_run and self.source:
            found.append("--dry_run reads nothing; drop the source")
        return found


def run(*argv: str) -> Parsed[Options]:
    return parse(Options, argv, "A test of options.", "The end.")


def sentences(*argv: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        run(*argv)
    return str(caught.value).splitlines()


def recipe(tmp_path: Path, text: str) -> str:
    path = tmp_path / "my recipe.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_given_is_the_defaults():
    assert run() == Parsed(Options(), frozenset())


def test_every_type():
    parsed = run(
        *["in.png", "--data_root", "my data", "--backbone", "basic", "--batch_size", "8"],
        *["--lr", "5e-4", "--limit=3", "--split_ratio", "0.5", "0.5", "--fonts", "a.ttf"],
        *["--no-amp", "--dry_run", "--no-dry_run"],
    )
    expected = Options(
        source="in.png",
        data_root="my data",
        backbone="basic",
        batch_size=8,
        lr=5e-4,
        limit=3,
        split_ratio=(0.5, 0.5),
        fonts=("a.ttf",),
        amp=False,
        dry_run=False,
    )
    assert parsed.options == expected
    assert type(parsed.options.batch_size) is int
    assert parsed.given == {field.name for field in dataclasses.fields(Options)} - {"config"}


def test_a_default_that_is_typed_counts_as_given():
    assert run("--batch_size", "32", "--amp").given == {"batch_size", "amp"}


def test_the_process_arguments_are_read_when_none_are_passed(monkeypatch):
    monkeypatch.setattr("sys.argv", ["script.py", "--batch_size", "4"])
    assert parse(Options, None, "").options.batch_size == 4


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            ["--batchsize", "3"],
            "--batchsize is not a flag of this script; did you mean --batch_size?",
        ),
        (["--no-ampp"], "--no-ampp is not a flag of this script; did you mean --amp?"),
        (["--qqqq=1"], "--qqqq is not a flag of this script; see --help"),
        (["--batch", "3"], "--batch is not a flag of this script; did you mean --batch_size?"),
        (["--batch_size", "many"], "--batch_size many: expected a whole number"),
        (["--batch_size", "3.0"], "--batch_size 3.0: expected a whole number"),
        (["--limit", "x"], "--limit x: expected a whole number"),
        (["--lr", "fast"], "--lr fast: expected a number"),
        (["--split_ratio", "1", "b"], "--split_ratio 1 b: expected a number"),
        (
            ["--backbone", "resnet50"],
            "--backbone resnet50: expected one of light, basic, resnet; did you mean 'resnet'?",
        ),
        (["a.png", "b.png"], "'b.png' belongs to no flag; see --help"),
        (["--lr"], "argument --lr: expected one argument; see --help"),
        (["--amp=yes"], "argument --amp/--no-amp: ignored explicit argument 'yes'; see --help"),
    ],
)
def test_one_problem_one_sentence(argv, sentence):
    assert sentences(*argv) == [sentence]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_numbers_are_finite(tmp_path: Path, text):
    assert sentences(f"--lr={text}") == [f"--lr {text}: expected a number that is finite"]
    (sentence,) = sentences("--config", recipe(tmp_path, f"lr = {text}"))
    assert sentence.endswith("expected a number that is finite")


def test_a_recipe_number_beyond_every_float(tmp_path: Path):
    (sentence,) = sentences("--config", recipe(tmp_path, "lr = 1" + 400 * "0"))
    assert sentence.endswith("expected a number")


@dataclass(frozen=True)
class Bounded:
    count: int = option(1, "n", least=1)
    size: int = option(1, "n", above=0)
    share: float = option(0.5, "x", least=0, most=1)
    rate: float = option(0.5, "x", above=0, most=1)
    top: int = option(1, "n", most=9)


@pytest.mark.parametrize(
    ("flag", "good", "bad", "wanted"),
    [
        ("count", ["1", "7"], ["0", "-3"], "1 or more"),
        ("size", ["1"], ["0"], "more than 0"),
        ("share", ["0", "1"], ["-0.1", "1.01"], "0 to 1"),
        ("rate", ["0.1", "1"], ["0", "1.01"], "more than 0, at most 1"),
        ("top", ["-5", "9"], ["10"], "at most 9"),
    ],
)
def test_bounds(flag, good, bad, wanted):
    for text in good:
        assert getattr(parse(Bounded, [f"--{flag}={text}"], "").options, flag) == float(text)
    for text in bad:
        with pytest.raises(UserError) as caught:
            parse(Bounded, [f"--{flag}={text}"], "")
        assert str(caught.value) == f"--{flag} {text}: expected {wanted}"


def test_every_problem_at_once(tmp_path: Path):
    path = recipe(tmp_path, 'batch_sise = 3\nlr = true\nbackbone = "lite"\nfonts = [1]\n')
    found = sentences(
        "--config", path, "--data_rooot", "x", "--batch_size", "no", "--backbone", "bsic"
    )
    assert found == [
        "--data_rooot is not a flag of this script; did you mean --data_root?",
        f"{path}: 'batch_sise' is not a flag of this script; did you mean 'batch_size'?",
        f"{path}: lr = True: expected a number",
        f"{path}: backbone = 'lite': expected one of light, basic, resnet; did you mean 'light'?",
        f"{path}: fonts = [1]: expected a text in quotes",
        "--backbone bsic: expected one of light, basic, resnet; did you mean 'basic'?",
        "--batch_size no: expected a whole number",
    ]


def test_values_that_do_not_go_together_are_all_told():
    assert sentences("a.png", "--dry_run", "--split_ratio", "0.5", "0.6") == [
        "--split_ratio (0.5, 0.6): expected shares that sum to 1",
        "--dry_run reads nothing; drop the source",
    ]


def test_help_shows_flags_choices_and_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "A test of options." in text
    assert text.endswith("The end.")
    for part in (
        "--batch_size N pictures a step (default: 32)",
        "--backbone TEXT which network [light, basic, resnet] (default: light)",
        "--lr X learning rate, 100% of it (default: 0.001)",
        "--split_ratio X [X ...] shares (default: 0.8 0.2)",
        "--amp, --no-amp half precision (default: on)",
        "--dry_run, --no-dry_run only look (default: off)",
        "--limit N at most so many --split_ratio",
        "source what to read",
    ):
        assert part in text


def test_a_wrong_value_and_a_clash_are_told_together():
    found = sentences("in.png", "--lr", "abc", "--dry_run")
    assert found == [
        "--lr abc: expected a number",
        "--dry_run reads nothing; drop the source",
    ]


def test_no_clash_is_told_of_a_flag_whose_value_is_wrong():
    assert len(sentences("--split_ratio", "0.5", "x")) == 1


def test_a_recipe_writes_numbers_without_quotes_and_may_have_a_mark(tmp_path: Path):
    marked = recipe(tmp_path, "\ufeffbatch_size = 3\n")
    assert run("--config", marked).options.batch_size == 3
    for line in ('batch_size = "3"', 'split_ratio = ["0.5", 0.5]', 'limit = "1"'):
        [told] = sentences("--config", recipe(tmp_path, line))
        assert told.endswith("expected a number without quotes")
