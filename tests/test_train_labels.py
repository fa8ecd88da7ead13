"""Labels as train.py writes them: one case, alike characters, what the charset lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_run import run

import inference
import train
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.training.resolve import with_newer_options


def test_alike_and_weights_that_tell_them_apart(tiny_data: Path, tmp_path: Path):
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1") == 0
    words = ("--init_from", str(tmp_path / "run" / "best.pth"), "--alike", "01")
    with pytest.raises(UserError, match="--alike 01: the weights of .* tell these"):
        run(tiny_data, tmp_path / "tuned", *words)
    replaced = (*words, "--charset_change", "replace", "--num_epochs", "1")
    assert run(tiny_data, tmp_path / "tuned", *replaced) == 0
    header = load_checkpoint(tmp_path / "tuned" / "best.pth").header
    assert header.charset.alike == ("01",)


def test_labels_in_one_case_without_what_the_charset_lacks(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Letters are written small, 9 and the hyphen are left out, and with them one whole label."""
    for name in ("train", "val", "test"):
        path = tiny_data / name / "labels.txt"
        rows = [row.split("\t") for row in path.read_text(encoding="utf-8").splitlines()]
        texts = ["99", "Ab-1", *("12aBC9" for _ in rows[2:])]
        lines = [f"{row[0]}\t{text}\n" for row, text in zip(rows, texts, strict=True)]
        path.write_text("".join(lines), encoding="utf-8")
    (tmp_path / "few.txt").write_text("1\n2\nA\nB\nc", encoding="utf-8")
    words = ("--label_case", "lower", "--charset_file", str(tmp_path / "few.txt"))
    with pytest.raises(UserError, match="'9' x 18, '-' x 2; add them .* or let --label_drop"):
        run(tiny_data, tmp_path / "run", *words)
    words += ("--label_drop", "--num_epochs", "1")
    assert run(tiny_data, tmp_path / "run", *words) == 0
    told = capsys.readouterr().out
    assert "dropped from the labels: '9' x 18, '-' x 2\n" in told
    assert re.search(r"left out: .*train.labels.txt:1: nothing is left of its label", told)
    assert "left out 2 pictures of whose labels nothing is left" in told
    assert "epochs of 11 pictures; 5 to validate on" in told
    path = tmp_path / "run" / "best.pth"
    checkpoint = load_checkpoint(path)
    assert checkpoint.header.charset.characters == "12abc"
    assert checkpoint.header.charset.fold("Ab-19") == "ab1"
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1", "--resume", "auto") == 0
    words = ("--mode", "evaluate", "--model_path", str(path), "--data_root", str(tiny_data))
    assert inference.main([*words, "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "labels compared as this reader writes them: 6 change" in told
    assert "n = 6\n" in told
    assert "outside the model's charset" not in told


def test_fine_tuning_from_another_case_keeps_the_rows_of_the_letters(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    begin = ("--num_epochs", "1", "--charset", "alnum36")
    assert run(tiny_data, tmp_path / "lower", *begin, "--label_case", "lower") == 0
    words = ("--init_from", str(tmp_path / "lower" / "best.pth"), "--num_epochs", "1")
    words += ("--charset", "alnum36", "--charset_change", "replace", "--label_case", "upper")
    assert run(tiny_data, tmp_path / "upper", *words) == 0
    assert "36 of 36 characters known" in capsys.readouterr().out
    charset = load_checkpoint(tmp_path / "upper" / "best.pth").header.charset
    assert charset.characters.endswith("XYZ")


def test_dropping_is_given_up_where_that_is_asked(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    few = ("--num_epochs", "1", "--charset_file", str(tmp_path / "few.txt"), "--label_drop")
    (tmp_path / "few.txt").write_text("0\n1\n2\n3\n4\n5\n6\n7", encoding="utf-8")
    assert run(tiny_data, tmp_path / "few", *few) == 0
    begin = ("--init_from", str(tmp_path / "few" / "best.pth"), "--num_epochs", "1")
    for words, dropped, size in (
        ((), True, 8), (("--no-label_drop", "--charset_change", "extend"), False, 10),
        (("--charset_change", "extend"), False, 10),
    ):  # fmt: skip
        capsys.readouterr()
        assert run(tiny_data, tmp_path / "tuned", *begin, *words) == 0
        assert ("dropped from the labels" in capsys.readouterr().out) == dropped
        assert len(load_checkpoint(tmp_path / "tuned" / "best.pth").header.charset) == size
    with pytest.raises(UserError, match="lacks 2 characters of the labels"):
        run(tiny_data, tmp_path / "tuned", *begin, "--no-label_drop")


def test_a_charset_that_no_label_knows(tiny_data: Path, tmp_path: Path):
    words = ("--charset", "lower", "--label_drop")
    with pytest.raises(UserError, match="no label of a split has a character of charset lower"):
        run(tiny_data, tmp_path / "run", *words)


def test_runs_that_began_without_these_options_go_on(tiny_data: Path, tmp_path: Path):
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2", "--scheduler", "constant") == 0
    newer = {"monitor", "patience", "alike", "tensorboard"}
    path = tmp_path / "run" / "last.pth"
    options = load_checkpoint(path).training["options"]
    older = {name: value for name, value in options.items() if name not in newer}
    stored = with_newer_options(train.TrainOptions, older)
    assert stored["monitor"] == "sequence_accuracy"
    assert stored["warmup"] == 0.0
    assert with_newer_options(train.TrainOptions, options) == options


def test_alike_characters_count_as_one(tiny_data: Path, tmp_path: Path):
    words = ("--num_epochs", "2", "--alike", "01,8x3")
    assert run(tiny_data, tmp_path / "run", *words) == 0
    checkpoint = load_checkpoint(tmp_path / "run" / "best.pth")
    charset = checkpoint.header.charset
    assert charset.characters == "02456789"
    assert charset.alike == ("01", "8x3")
    assert checkpoint.state_dict["head.weight"].shape[0] == 9
    assert checkpoint.header.metrics["val"]["n"] > 0
    assert run(tiny_data, tmp_path / "run", *words, "--num_epochs", "2", "--resume", "auto") == 0
    report = tmp_path / "report.txt"
    model = str(tmp_path / "run" / "best.pth")
    assert inference.main(["--mode", "evaluate", "--model_path", model, "--data_root",
                           str(tiny_data), "--output_path", str(report)]) == 0  # fmt: skip
    told = report.read_text(encoding="utf-8")
    assert "labels compared as this reader writes them: 1 change" in told
    assert "outside the model's charset" not in told


def test_groups_that_are_none_are_told_before_all_else(tiny_data: Path, tmp_path: Path):
    with pytest.raises(UserError, match="--alike 0: '0' is no group"):
        run(tiny_data, tmp_path / "run", "--alike", "0")
    assert not (tmp_path / "run").exists()


def test_labels_in_nfc(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """An e and an accent of its own are one character to the reader, and in its scores."""
    (tiny_data / "dataset.json").unlink()
    for name in ("train", "val", "test"):
        path = tiny_data / name / "labels.txt"
        names = [row.split("\t")[0] for row in path.read_text(encoding="utf-8").splitlines()]
        texts = ["caf\u00e9" if index % 2 else "cafe\u0301" for index in range(len(names))]
        rows = [f"{row}\t{text}\n" for row, text in zip(names, texts, strict=True)]
        path.write_text("".join(rows), encoding="utf-8")
    assert run(tiny_data, tmp_path / "plain", "--num_epochs", "1") == 0
    plain = load_checkpoint(tmp_path / "plain" / "best.pth").header.charset
    assert plain.characters == "acef\u00e9\u0301"
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1", "--label_nfc") == 0
    path = tmp_path / "run" / "best.pth"
    charset = load_checkpoint(path).header.charset
    assert (charset.characters, charset.nfc) == ("acf\u00e9", True)
    tuned = ("--init_from", str(path), "--num_epochs", "1")
    assert run(tiny_data, tmp_path / "tuned", *tuned) == 0
    assert load_checkpoint(tmp_path / "tuned" / "best.pth").header.charset == charset
    words = ("--mode", "evaluate", "--model_path", str(path), "--data_root", str(tiny_data))
    capsys.readouterr()
    assert inference.main([*words, "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "labels in NFC" in told
    assert "outside the model's charset" not in told
    (tmp_path / "kelvin.txt").write_text("a\nc\nf\n\u00e9\n\u212a", encoding="utf-8")
    words = ("--label_nfc", "--charset_file", str(tmp_path / "kelvin.txt"))
    with pytest.raises(UserError, match="--label_nfc: charset kelvin has 1 characters that NFC"):
        run(tiny_data, tmp_path / "other", *words)
