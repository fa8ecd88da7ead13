"""Fifty kills at random moments, run with `python -m pytest -m long`: of a whole job, of a process
that prepares pictures, of a rank, and while a state is being saved."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lively import write_checkpoint
from test_long import make_data, script

from utils.checkpoint import load_checkpoint
from utils.synth.captcha import CaptchaRecipe

pytestmark = pytest.mark.long
ROOT = Path(__file__).parent.parent
EPOCHS = 60
FLAGS = ["--img_width", "80", "--img_height", "32", "--fresh", "0.5", "--num_threads", "1"]
FLAGS += ["--num_epochs", str(EPOCHS), "--device", "cpu", "--early_stop", "0"]
FLAGS += ["--save_every_steps", "7"]


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    recipe = CaptchaRecipe("0123456789", "digits", 2, 3, 80, 32)
    return ["--data_root", str(make_data(tmp_path / "data", recipe, train=640, val=64))]


@pytest.mark.parametrize("num_workers", ["0", "2"])
def test_twenty_kills_and_the_same_weights(
    data: list[str], tmp_path: Path, num_workers: str
) -> None:
    flags = [*data, *FLAGS, "--num_layers", "2", "--num_workers", num_workers]
    seconds = unbroken([sys.executable, "train.py", *flags], tmp_path / "whole")
    broken, rng = tmp_path / "broken", random.Random(int(num_workers))
    for kill in range(20):
        resume = ["--save_dir", str(broken), "--resume", "auto"]
        process = script("train.py", *flags, *resume, stderr=subprocess.PIPE, text=True)
        wait_for_a_new_save(broken / "last.pth", process)
        if kill % 3 == 0:
            wait_for_a_save_under_way(broken, process)
        else:
            time.sleep(rng.uniform(0, 2 * seconds / EPOCHS))
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
        check_states(broken)
    assert script("train.py", *flags, *resume).wait() == 0
    assert_same_run(tmp_path / "whole", broken)


def test_ten_kills_of_ranks_and_the_same_weights(data: list[str], tmp_path: Path) -> None:
    """Of one rank, which torchrun starts again with the other, and now and then of torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
                "2", "--max_restarts", "20", "train.py"]  # fmt: skip
    flags = [*data, *FLAGS, "--num_workers", "0", "--batch_size", "16"]
    seconds = unbroken([*torchrun, *flags], tmp_path / "whole")
    broken, rng = tmp_path / "broken", random.Random(2)
    command = [*torchrun, *flags, "--save_dir", str(broken), "--resume", "auto"]
    process = subprocess.Popen(command, cwd=ROOT)
    for kill in range(10):
        wait_for_a_new_save(broken / "last.pth", process)
        time.sleep(rng.uniform(0, 2 * seconds / EPOCHS))
        assert process.poll() is None, "it ended before it could be killed"
        ranks = children_of(process.pid)
        if kill % 5 == 4:  # all of them, as a machine that fails
            for pid in (process.pid, *ranks):
                os.kill(pid, signal.SIGKILL)
            process.wait()
            check_states(broken)
            process = subprocess.Popen(command, cwd=ROOT)
        else:
            os.kill(rng.choice(ranks), signal.SIGKILL)
    assert process.wait() == 0
    assert_same_run(tmp_path / "whole", broken)


def test_ten_kills_of_a_run_over_100_000_pictures(tmp_path: Path) -> None:
    """The file is that of an unbroken run, and no part is written twice."""
    size = ["--width", "64", "--height", "32", "--charset", "digits", "--renderer", "fast"]
    size += ["--num_samples", "100000", "--split_ratio", "1", "0", "0"]
    assert script("generate_data.py", *size, "--output_dir", str(tmp_path / "set")).wait() == 0
    flags = ["--mode", "batch", "--image_dir", str(tmp_path / "set" / "train"), "--model_path",
             str(write_checkpoint(tmp_path / "model.pth"))]  # fmt: skip
    whole, broken = tmp_path / "whole.tsv", tmp_path / "broken.tsv"
    assert script("inference.py", *flags, "--output_path", str(whole)).wait() == 0
    parts, rng = tmp_path / "broken.tsv.parts", random.Random(3)
    written: dict[Path, int] = {}
    for _ in range(10):
        process = script("inference.py", *flags, "--output_path", str(broken), "--resume")
        count = len(written)
        while process.poll() is None and len(list(parts.glob("0*.json"))) <= count:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1))
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()
        found = {path: path.stat().st_mtime_ns for path in parts.glob("0*.json")}
        assert all(found[path] == time_ for path, time_ in written.items())
        written = found
    assert not broken.exists()
    assert script("inference.py", *flags, "--output_path", str(broken), "--resume").wait() == 0
    assert broken.read_bytes() == whole.read_bytes()
    assert len(whole.read_text().splitlines()) == 100_000
    assert not parts.exists()


def unbroken(command: list[str], save_dir: Path) -> float:
    """Its seconds."""
    assert subprocess.run([*command, "--save_dir", str(save_dir)], cwd=ROOT).returncode == 0
    training = load_checkpoint(save_dir / "last.pth").training
    assert training is not None
    return training["progress"]["seconds"]


def check_states(folder: Path) -> None:
    """No checkpoint is ever unreadable."""
    found = [load_checkpoint(path) for path in folder.glob("*.pth")]
    assert any(each.training for each in found)


def assert_same_run(whole: Path, broken: Path) -> None:
    for name in ("last.pth", "best.pth"):
        one, other = (load_checkpoint(folder / name).state_dict for folder in (whole, broken))
        assert all(torch.equal(one[key], other[key]) for key in one), name
    histories = [(folder / "history.csv").read_text().splitlines() for folder in (whole, broken)]
    one, other = ([row.rsplit(",", 1)[0] for row in rows] for rows in histories)  # no seconds
    assert one == other
    assert not list(broken.glob(".*.tmp"))


def wait_for_a_new_save(path: Path, process: subprocess.Popen) -> None:
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None:
        try:
            if path.stat().st_mtime_ns > before:
                return
        except FileNotFoundError:  # not yet, or just being replaced
            pass
        time.sleep(0.01)


def wait_for_a_save_under_way(folder: Path, process: subprocess.Popen) -> None:
    while process.poll() is None and not list(folder.glob(".last.pth.*.tmp")):
        time.sleep(0.0002)


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in text.split()]
