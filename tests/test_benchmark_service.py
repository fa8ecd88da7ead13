"""The benchmarks of the service: they run, and see what is wrong."""

from __future__ import annotations

import sys

import pytest
from benchmark_tables import run

from benchmarks import service, soak
from utils.errors import UserError

SHORT = ("--clients", "3", "--num_samples", "4")


def test_service(onnx, capsys):
    (table,) = run(
        service.main, "service", capsys, "--model_path", str(onnx), "--seconds", "0.3",
        "--rounds", "1", *SHORT,
    )  # fmt: skip
    assert list(table)[2:] == ["offline", "batches", "one at a time", "echo"]
    for way in ("batches", "one at a time", "echo"):
        assert float(table[way][0].replace(",", "")) > 0
        assert table[way][-1] == "0"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_soak_sends_every_kind_of_bad_request(onnx, capsys, monkeypatch):
    monkeypatch.setattr(soak, "MOST", 10.0)  # so short a run is all warm-up
    monkeypatch.setattr(soak, "TIME_LIMIT", 2)
    words = ["--model_path", str(onnx), "--count", "120", "--bad_every", "4", *SHORT]
    assert soak.main(words) == 0
    printed = capsys.readouterr().out
    for line in (
        "| 30,000 wide | 200 |", "| a bomb | 422 |", "| broken JSON | 400 |",
        "| dropped | none |", "| halts | 408 |", "| resumes | 200 |", "| wrong shape | 422 |",
        "| good | 200 | 90 |", "wrong texts 0, unexpected answers 0",
    ):  # fmt: skip
        assert line in printed


def test_soak_tells_wrong_texts_and_answers(onnx, monkeypatch, capsys):
    pictures, texts, reader = service.drawn_and_read(str(onnx), 1, 4)
    monkeypatch.setattr(soak, "MOST", 10.0)
    monkeypatch.setattr(soak, "drawn_and_read", lambda *_: (pictures, ["?"] * 4, reader))
    with pytest.raises(UserError, match="wrong texts"):
        soak.main(["--model_path", str(onnx), "--count", "20", *SHORT])
    load = soak.Soak(soak.Options(), 0, 0, pictures, texts)
    load.seen.update({("good", 200): 5, ("good", 503): 1, ("halts", 408): 1})
    assert load.unexpected() == 0
    load.seen.update({("good", 500): 2, ("a bomb", 200): 1})
    assert load.unexpected() == 3
