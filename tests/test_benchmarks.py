"""Every benchmark runs, tells where it was taken, and prints figures that are right."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_tables import run

from benchmarks import (
    backbones,
    ctc,
    generation,
    inference,
    input_pipeline,
    loading,
    report,
)
from models.config import ModelConfig
from utils.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")


def test_importing_a_benchmark_needs_no_torch():
    code = (
        "import importlib, sys\nfor n in sys.argv[1:]: importlib.import_module('benchmarks.' + n)"
    )
    code += "\nprint(sorted({'torch', 'onnx', 'onnxruntime', 'captcha'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, *NAMES], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_measures_take_turns_and_ratios_are_those_of_a_round():
    order = []
    measures = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    found = report.in_turn(measures, 3)
    assert order == ["a", "b"] * 3
    assert found == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}
    assert report.ratio(found["b"], found["a"]) == "1.33 (1.20 to 2.00)"


def test_warm_up_does_not_count(monkeypatch):
    clock = iter([0.0, 9.0, 9.0, 10.0, 10.0, 13.0, 13.0, 15.0])  # 9 s, then 1, 3 and 2
    monkeypatch.setattr(report.time, "perf_counter", lambda: next(clock))
    assert report.median_ms(lambda: None, 3, warm_up=1) == 2000


def test_output_is_what_was_printed(tmp_path, capsys):
    path = tmp_path / "a table.md"
    flags = ["--rounds", "1", "--seconds", "0.001", "--block", "2", "--output", str(path)]
    assert generation.main(flags) == 0
    assert path.read_text(encoding="utf-8") == capsys.readouterr().out


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path):
    with pytest.raises(UserError, match="it is a folder"):
        report.Report("generation", [], str(tmp_path))


def test_generation(capsys):
    (table,) = run(
        generation.main, "generation", capsys, "--rounds", "2", "--seconds", "0.01", "--block", "4"
    )
    package, *ours = list(table.values())[2:]
    assert package[1] == "1.00 (1.00 to 1.00)"
    assert len(ours) == 3
    assert all(int(row[0].replace(",", "")) > 0 for row in [package, *ours])


def test_generation_refuses_lengths_that_contradict_each_other():
    with pytest.raises(UserError, match="--max_length 8: expected 9 "):
        generation.main(["--min_length", "9"])


def test_loading(tiny_checkpoint, monkeypatch, capsys):
    in_a_process = loading.fresh_load  # takes seconds: one of the two is enough

    def load(path: Path, whole: list[float]) -> float:
        if path.suffix == ".safetensors":
            return in_a_process(path, whole)
        whole.append(2.0)
        return 0.5

    monkeypatch.setattr(loading, "fresh_load", load)
    (table,) = run(
        loading.main, "loading", capsys,
        "--model_path", str(tiny_checkpoint), "--processes", "1", "--loads", "3",
    )  # fmt: skip
    assert list(table)[2:] == [".pth", ".safetensors"]
    for size, first, _, process, later, _ in list(table.values())[2:]:
        assert float(size) > 0
        assert float(later) > 0
        assert float(process) > float(first) / 1000


def test_backbones_with_onnx(monkeypatch, capsys):
    small = ModelConfig("light", 63, img_height=32, hidden_size=16, num_layers=1)
    network = backbones.Network(small, 64)
    monkeypatch.setattr(backbones.Network, "of", lambda *names: network)
    monkeypatch.setattr(backbones, "median_ms", lambda work, count: work() and 64.0)
    found = run(
        backbones.main, "backbones", capsys,
        "--backbones", "basic", "vgg7", "--rounds", "1", "--steps", "1", "--batch_size", "1",
        "--onnx",
    )  # fmt: skip
    assert found[0]["basic"][:2] == ["bilstm", "32 x 64, grey"]
    assert found[0]["basic"][5] == found[0]["basic"][7] == "1.00 (1.00 to 1.00)"
    assert found[1]["basic"] == ["bilstm", "64.00", "1.00"]


def test_each_backbone_is_timed_on_its_own_pictures():
    assert backbones.Network.of("vgg7").width == 100
    assert backbones.Network.of("resnet18").pictures(2).shape == (2, 3, 60, 160)
    assert backbones.Network.of("light").config.hidden_size == 96


def test_networks_are_compared_with_basic_or_the_first(capsys):
    options = backbones.Options(("light", "basic"), ("none", "bilstm"))
    assert options.reference == ("basic", "none")
    assert options.networks[:2] == [("light", "none"), ("light", "bilstm")]
    assert replace(options, backbones=("light",)).reference == ("light", "none")
    assert backbones.Network.of("light", "bigru").config.neck == "bigru"
    with pytest.raises(UserError, match="--backbones light2: not one of .*\n.*--necks x: not one"):
        backbones.main(["--backbones", "light2", "--necks", "x"])


def test_ctc(capsys):
    (table,) = run(
        ctc.main, "ctc", capsys,
        "--rounds", "1", "--steps", "1", "--batch_size", "2", "--num_classes", "3000",
    )  # fmt: skip
    assert list(table)[2:] == ["full", "chunked"]
    assert table["full"][1] == "1.00 (1.00 to 1.00)"
    assert float(table["chunked"][4]) < 1e-4  # of float64's gradients


def test_inference(tiny_checkpoint, capsys):
    latency, folder = run(
        inference.main, "inference", capsys,
        "--model_path", str(tiny_checkpoint), "--rounds", "1", "--calls", "2",
        "--batch_size", "3", "--num_samples", "5",
    )  # fmt: skip
    assert latency["what"][2] == "ms a picture, 3 at once"
    assert len(latency) == 6
    assert list(folder)[2:] == ["PyTorch", "ONNX"]


def test_input_pipeline(capsys):
    (table,) = run(
        input_pipeline.main, "input_pipeline", capsys,
        "--rounds", "1", "--steps", "2", "--batch_size", "3", "--num_samples", "4",
        "--num_workers", "0",
    )  # fmt: skip
    assert list(table)[2:] == ["PNG files", "fresh, package", "fresh, fast"]
    for workers, ms, rate, _ in list(table.values())[2:]:
        assert workers == "0"
        rounded = pytest.approx(float(ms), rel=0.1, abs=0.06)
        assert 3000 / float(rate.replace(",", "")) == rounded


def test_the_input_pipeline_draws_what_it_says(tmp_path):
    options = input_pipeline.Options(steps=1, batch_size=2, num_samples=3)
    found = input_pipeline.sources(tmp_path, options)
    assert [pictures.fresh for pictures in found.values()] == [0.0, 1.0, 1.0]
    at_once = [pictures.steps_at_once(2) for pictures in found.values()]
    assert at_once == [1, 1, 64]
    assert len(found["PNG files"].rows) == 6  # three whole batches, of three files
