"""inference.py --mode evaluate: every labelled picture counts, and both reports tell all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lively import write_checkpoint

import inference
from utils.errors import UserError
from utils.recognizer import Recognizer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "a model" / "m.pth")


@pytest.fixture
def labelled(tiny_data: Path, model: Path) -> Path:
    """tiny_data with labels such that the model is right on three of the six test pictures."""
    test = tiny_data / "test"
    names = [f"{index:03d}.png" for index in range(6)]
    texts = [p.text for p in Recognizer.load(model, "cpu").read([test / name for name in names])]
    assert all(len(text) > 1 for text in texts)
    wrong = [texts[3][:-1], texts[4] + "x", "xx"]
    rows = zip(names, texts[:3] + wrong, strict=True)
    text = "".join(f"{name}\t{label}\n" for name, label in rows)
    (test / "labels.txt").write_text(text, encoding="utf-8")
    return tiny_data


def score(model: Path, data: Path, *more: object) -> int:
    words = ("--model_path", model, "--mode", "evaluate", "--data_root", data, *more)
    return inference.main([*map(str, words), "--device", "cpu", "--num_threads", "1"])


def test_evaluate_writes_a_complete_json(model: Path, labelled: Path, tmp_path: Path):
    assert score(model, labelled, "--output_path", tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert report["metrics"]["n"] == 6
    assert report["metrics"]["sequence_accuracy"] == 0.5
    assert report["metrics"]["sequence"]["precision"] == 0.5
    assert report["outside_charset"] == {"x": 3}
    assert report["model"] == str(model)
    assert [case["file"] for case in report["cases"]] == [f"test/{i:03d}.png" for i in range(6)]
    right = [case["text"] == case["label"] for case in report["cases"]]
    assert right == [True, True, True, False, False, False]
    pairs = {(pair["label"], pair["text"]): pair["count"] for pair in report["confusions"]}
    assert pairs["", report["cases"][3]["text"][-1]] >= 1
    assert sum(pairs.values()) == report["metrics"]["counts"]["edits"]


def test_evaluate_prints_what_people_look_for(
    model: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert score(model, labelled, "--output_path", tmp_path / "r.txt") == 0
    printed = capsys.readouterr().out
    assert "sequence accuracy 50.00% exact, 50.00% ignoring case" in printed
    assert "n = 6\n" in printed
    assert "sequence: precision 50.00%, recall 50.00%, F1 50.00%" in printed
    assert "outside the model's charset, all errors: 'x' x 3" in printed
    assert "'x' -> nothing  1" in printed
    worst = printed.split("highest confidence (3 of 3):\n")[1].splitlines()[:3]
    confidences = [float(line.split("confidence ")[1]) for line in worst]
    assert confidences == sorted(confidences, reverse=True)
    report = (tmp_path / "r.txt").read_text(encoding="utf-8")
    assert report in printed


def test_evaluate_counts_an_unreadable_picture(
    model: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (labelled / "test" / "000.png").write_bytes(b"")
    report = tmp_path / "r.json"
    with pytest.raises(UserError, match=r"labels.txt:1: 000.png: the file is empty .*\n.*rows 1$"):
        score(model, labelled, "--output_path", report)
    assert not report.exists()
    assert score(model, labelled, "--output_path", report, "--max_bad_rows", 1) == 0
    captured = capsys.readouterr()
    assert "counted as an error: " in captured.err
    assert "unreadable pictures, counted as errors: 1" in captured.out
    content = json.loads(report.read_text(encoding="utf-8"))
    assert content["metrics"]["n"] == 6
    assert content["metrics"]["counts"]["exact"] == 2
    assert "0 bytes" in content["cases"][0]["error"]


def test_bad_rows_and_bad_pictures_share_what_is_allowed(
    model: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
):
    (labelled / "test" / "000.png").write_bytes(b"")
    with (labelled / "test" / "labels.txt").open("a", encoding="utf-8") as file:
        file.write("a row without a tab\n")
    with pytest.raises(UserError, match="has no tab"):  # before any work: no model is needed
        score(labelled / "gone.pth", labelled)
    with pytest.raises(UserError, match="--max_bad_rows 2"):
        score(model, labelled, "--max_bad_rows", 1)
    capsys.readouterr()
    assert score(model, labelled, "--max_bad_rows", 2) == 0
    out = capsys.readouterr().out
    assert "n = 6" in out
    assert "skipped: " in out
    assert "rows without a label or a picture, not in n: 1" in out


def test_evaluate_reads_the_split_that_is_asked_for(
    model: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
):
    assert score(model, tiny_data, "--split", "train") == 0
    assert "n = 12" in capsys.readouterr().out
    assert score(model, tiny_data / "val", "--split", "train") == 0
    captured = capsys.readouterr()
    assert "n = 6" in captured.out
    assert "is one split" in captured.err


def test_evaluate_of_what_is_not_there(model: Path, tiny_data: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no such folder; make a set"):
        score(model, tmp_path / "gone")
    (tiny_data / "val").rename(tiny_data / "other")
    with pytest.raises(
        UserError, match="no split 'val' with a labels.txt or an LMDB; it has train"
    ):
        score(model, tiny_data, "--split", "val")
    (tiny_data / "test" / "labels.txt").unlink()
    with pytest.raises(UserError, match=r"labels.txt: no such file; expected rows"):
        score(model, tiny_data)
