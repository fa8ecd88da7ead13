"""The slow half, run with `python -m pytest -m long`: kills, learning by heart, the quick start."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import write_split

from utils.checkpoint import load_checkpoint
from utils.synth.captcha import CaptchaRecipe

pytestmark = pytest.mark.long
ROOT = Path(__file__).parent.parent


def script(name: str, *flags: str, **settings) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(ROOT / name), *flags], **settings)


def make_data(root: Path, recipe: CaptchaRecipe, **counts: int) -> Path:
    for seed, (name, count) in enumerate(counts.items()):
        write_split(root / name, recipe, count, seed)
    content = {"recipe": recipe.to_json()}
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return root


@pytest.mark.parametrize("num_workers", ["0", "2"])
def test_ten_kills_and_the_same_weights(tmp_path: Path, num_workers: str) -> None:
    """Kills in a step, in a save, and of a worker alone."""
    data = make_data(
        tmp_path / "data", CaptchaRecipe("0123456789", "digits", 2, 3, 80, 32), train=640, val=64
    )
    flags = ["--data_root", str(data), "--img_width", "80", "--img_height", "32", "--fresh", "0.5"]
    flags += ["--num_layers", "2", "--num_epochs", "40", "--num_threads", "1", "--device", "cpu"]
    flags += ["--num_workers", num_workers, "--early_stop", "0"]
    whole = script("train.py", *flags, "--save_dir", str(tmp_path / "whole"))
    assert whole.wait() == 0
    training = load_checkpoint(tmp_path / "whole" / "last.pth").training
    assert training is not None
    epoch_seconds = training["progress"]["seconds"] / 40

    broken = tmp_path / "broken"
    rng = random.Random(int(num_workers))
    for kill in range(10):
        resume = ["--save_dir", str(broken), "--resume", "auto"]
        process = script("train.py", *flags, *resume, stderr=subprocess.PIPE, text=True)
        wait_for_a_new_save(broken / "last.pth", process)
        if kill % 3 == 0:
            wait_for_a_save_under_way(broken, process)
        else:
            time.sleep(rng.uniform(0, 2 * epoch_seconds))
        assert process.poll() is None, "it ended before it could be killed"
        workers = children_of(process.pid)
        if kill % 3 == 2 and num_workers != "0":  # a worker alone: the run ends by itself
            os.kill(rng.choice(workers), signal.SIGKILL)
            assert process.wait() == 2
            assert process.stderr is not None
            assert "a process that prepares pictures was killed" in process.stderr.read()
        else:
            process.kill()
            process.wait()
    assert script("train.py", *flags, *resume).wait() == 0
    for name in ("last.pth", "best.pth"):
        one = load_checkpoint(tmp_path / "whole" / name).state_dict
        other = load_checkpoint(broken / name).state_dict
        assert all(torch.equal(one[key], other[key]) for key in one), name
    assert not list(broken.glob(".*.tmp"))


def wait_for_a_new_save(path: Path, process: subprocess.Popen) -> None:
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None and not (path.exists() and path.stat().st_mtime_ns > before):
        time.sleep(0.01)


def wait_for_a_save_under_way(folder: Path, process: subprocess.Popen) -> None:
    while process.poll() is None and not list(folder.glob(".last.pth.*.tmp")):
        time.sleep(0.0002)


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("backbone", ["light", "basic", "resnet"])
def test_each_backbone_learns_64_pictures_by_heart(tmp_path: Path, backbone: str) -> None:
    characters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    data = make_data(tmp_path, CaptchaRecipe(characters, "alnum62"), train=64, val=1)
    flags = ["--data_root", str(data), "--backbone", backbone, "--no-pretrained", "--device", "cpu"]
    flags += ["--img_height", "32", "--img_width", "80"]  # a quarter of the time
    process = script("train.py", *flags, "--overfit_batch", "--batch_size", "64")
    assert process.wait() == 0


def test_the_quick_start_reaches_its_bars_in_twelve_minutes(tmp_path: Path) -> None:
    places = ["--data_root", str(tmp_path / "data"), "--save_dir", str(tmp_path / "run")]
    places += ["--output_path", str(tmp_path / "shown.png")]
    started = time.monotonic()
    process = script("quick_start.py", *places, stdout=subprocess.PIPE, text=True)
    printed, _ = process.communicate()
    seconds = time.monotonic() - started
    assert process.returncode == 0
    report = tmp_path / "report.json"
    scored = script(
        "inference.py", "--mode", "evaluate", "--data_root", str(tmp_path / "data"),
        "--model_path", str(tmp_path / "run" / "best.pth"), "--output_path", str(report),
    )  # fmt: skip
    assert scored.wait() == 0
    metrics = json.loads(report.read_text(encoding="utf-8"))["metrics"]
    assert metrics["n"] >= 1000
    assert metrics["sequence_accuracy"] >= 0.90
    assert metrics["sequence_accuracy_ignoring_case"] >= 0.95
    assert (tmp_path / "shown.png").is_file()
    assert seconds <= 12 * 60, printed
