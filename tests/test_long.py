"""The slow half, run with `python -m pytest -m long`: kills, learning by heart, the quick start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_split

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


@pytest.mark.parametrize("backbone", ["light", "basic", "resnet"])
def test_each_backbone_learns_64_pictures_by_heart(tmp_path: Path, backbone: str) -> None:
    characters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    data = make_data(tmp_path, CaptchaRecipe(characters, "alnum62"), train=64, val=1)
    flags = ["--data_root", str(data), "--backbone", backbone, "--no-pretrained", "--device", "cpu"]
    flags += ["--img_height", "32", "--img_width", "80"]  # a quarter of the time
    flags += ["--lr", "3e-4"] if backbone == "resnet" else []  # at 1e-3 its BatchNorm swings
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
