"""export.py --format onnx-int8: smaller, kept only where it pays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from lively import write_checkpoint
from onnx import numpy_helper

import export
from utils.errors import UserError
from utils.export.measure import Measured
from utils.recognizer import Recognizer


def call(*arguments: object) -> int:
    return export.main([str(argument) for argument in arguments])


@pytest.fixture
def learned(tiny_data: Path, tmp_path: Path) -> Path:
    """A reader of tiny_data's kind that is sure of itself."""
    return write_checkpoint(tmp_path / "a model" / "best.pth", spread=5)


def test_eight_bits_are_a_smaller_file_that_reads(
    learned: Path, tiny_data: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(Measured, "is_faster_than", lambda self, other: True)
    output = learned.with_name("small one.onnx")
    words = ("--format", "onnx-int8", "--data_root", tiny_data, "--output_path", output)
    assert call(learned, *words) == 0
    printed = capsys.readouterr().out
    assert "calibrated on 12 pictures" in printed
    assert "exact, n = 6" in printed
    plain, small = (Recognizer.load(path, "cpu", 1) for path in (learned, output))
    assert small.header == plain.header
    assert output.stat().st_size < 0.6 * learned.stat().st_size
    pictures = sorted((tiny_data / "train").glob("*.png"))
    [one], [other] = plain.batches(pictures), small.batches(pictures)
    best = [output.log_probs.argmax(axis=2) for output in (one, other)]
    assert (best[0] == best[1]).mean() > 0.8
    weights = [numpy_helper.to_array(each) for each in onnx.load(output).graph.initializer]
    weights = [each for each in weights if each.dtype == np.int8 and each.size > 1000]
    assert weights
    for each in weights:  # of eight bits, sums of two products overflow where a CPU has no VNNI
        assert abs(each.astype(int)).max() <= 64


def test_eight_bits_that_are_slower_or_lose_texts_are_not_written(
    learned: Path, tiny_data: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(Measured, "is_faster_than", lambda self, other: False)
    assert call(learned, "--format", "onnx-int8", "--data_root", tiny_data) == 1
    assert "not written: eight bits are not faster" in capsys.readouterr().out
    assert sorted(path.name for path in learned.parent.iterdir()) == ["best.pth"]
    plain, fast = Measured(100, 0.9, 2.0, 1.0, 64, 25), Measured(50, 0.9, 1.0, 0.5, 64, 25)
    monkeypatch.undo()
    for small, reason in (
        (fast, None),
        (replace(fast, exact=0.896), None),
        (replace(fast, exact=0.894), "lose 0.60% of the texts, more than 0.5%"),
        (replace(fast, one=2.0), "not faster"),
        (replace(fast, many=1.1), "not faster"),
    ):
        found = export.not_worth_it({"ONNX": plain, "eight bits": small})
        assert (found is None) if reason is None else (reason in str(found))


def test_what_the_quantiser_raises_is_a_sentence(learned: Path, tiny_data: Path, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("of no use\nand more")

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", failing)
    with pytest.raises(UserError, match=r"best\.pth: cannot be exported so \(of no use\)"):
        call(learned, "--format", "onnx-int8", "--data_root", tiny_data)
    assert [path.name for path in learned.parent.iterdir()] == ["best.pth"]
