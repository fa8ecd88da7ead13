"""The benchmarks of training: rates of train.py's own epochs, and the time to an accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_tables import run

from benchmarks import time_to_accuracy, training

SMALL = ["--num_threads", "1", "--num_workers", "0", "--device", "cpu"]


def test_training_times_every_way_beside_its_floor(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--ways", "default", "files", "--epoch_size", "64", "--batch_size", "8"]
    (table,) = run(training.main, "training", capsys, *flags, "--rounds", "1", *SMALL)
    default, files = table["`--fresh 1`"], table["`--fresh 0`"]
    assert default[2] == "1.00 (1.00 to 1.00)"
    assert int(files[1].replace(",", "")) > 0
    assert int(files[4].removesuffix("%")) > 0


def test_an_unknown_way_is_named() -> None:
    options = training.Options(ways=("default", "faster"))
    assert "--ways faster" in options.problems()[0]


def test_flops_are_three_times_those_of_reading() -> None:
    """Of `light`'s convolutions alone, at 160 x 60, by hand: 2 * out * in * kernel * places."""
    places = [30 * 80, 30 * 80, 15 * 40, 15 * 40, 5 * 40, 1 * 40]
    channels = [4, 16, 32, 48, 64, 96, 128]
    kernels = [9, 9, 9, 9, 9, 15]
    convolutions = sum(2 * channels[i] * channels[i + 1] * kernels[i] * places[i] for i in range(6))
    lstm = 2 * 2 * 4 * 96 * (128 + 96) * 40
    head = 2 * 192 * 63 * 40
    assert training.training_flops("light") == 3 * (convolutions + lstm + head)


def test_time_to_accuracy_tells_when_a_goal_was_reached(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    curve = tmp_path / "a curve.png"
    flags = ["--num_pictures", "16", "--num_epochs", "2", "--val_pictures", "4", *SMALL]
    flags += ["--goals", "0", "0.9", "--curve", str(curve), "--output", str(tmp_path / "t.md")]
    (table,) = run(time_to_accuracy.main, "time_to_accuracy", capsys, *flags)
    assert list(table)[2:] == ["8", "16"]
    text = (tmp_path / "t.md").read_text("utf-8")
    assert "0% exact: after " in text
    assert "90% exact: not reached" in text
    assert curve.read_bytes().startswith(b"\x89PNG")
