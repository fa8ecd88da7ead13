"""generate_data.py over what is there: never a mixed set, and after any end the unbroken bytes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import captcha
import matplotlib
import pytest
from small_set import SCRIPT, contents, flags, make

from utils.errors import UserError
from utils.synth.captcha import CaptchaRenderer
from utils.synth.drawing import Chunk, draw_all


def test_refuses_to_write_over_a_set(tmp_path, capsys):
    make(tmp_path / "data")
    before = contents(tmp_path / "data")
    assert make(tmp_path / "data", seed=1) == 2
    assert "--resume" in capsys.readouterr().err
    assert contents(tmp_path / "data") == before


@pytest.mark.parametrize(
    ("more", "reason"), [([], "go on with it by --resume"), (["--resume"], "says what made them")]
)
def test_refuses_to_mix_with_pictures_of_others(tmp_path, capsys, more, reason):
    stranger = tmp_path / "val" / "mine.png"
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    assert make(tmp_path, *more) == 2
    assert reason in capsys.readouterr().err
    assert contents(tmp_path) == {"val/mine.png": b"mine"}


def test_resume_after_ctrl_c_gives_the_unbroken_bytes(tmp_path, capsys, monkeypatch):
    make(tmp_path / "unbroken")
    draw, count = CaptchaRenderer.draw, 0

    def interrupted(self, *seed):
        nonlocal count
        count += 1
        if count == 18:
            raise KeyboardInterrupt
        return draw(self, *seed)

    monkeypatch.setattr(CaptchaRenderer, "draw", interrupted)
    assert make(tmp_path / "broken") == 130
    assert "--resume goes on" in capsys.readouterr().err
    assert (tmp_path / "broken/train/labels.txt").exists()
    assert not (tmp_path / "broken/val/labels.txt").exists()
    assert make(tmp_path / "broken", "--resume") == 0
    assert count == 18 + 20 - 17, "pictures that were there are not drawn again"
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


@pytest.mark.parametrize("renderer", ["package", "fast"])
def test_resume_mends_what_a_kill_or_a_power_cut_left(tmp_path, renderer):
    make(tmp_path / "unbroken", renderer=renderer)
    root = tmp_path / "broken"
    make(root, renderer=renderer)
    (root / "train/000001.png").write_bytes(b"")
    whole = (root / "train/000002.png").read_bytes()
    (root / "train/000002.png").write_bytes(whole[:-1])
    (root / "train/000003.png").write_bytes(whole[:200] + bytes(len(whole) - 212) + whole[-12:])
    (root / "train/.000004.png.77.tmp").write_bytes(whole[:50])
    (root / "train/labels.txt").unlink()
    (root / "test/000000.png").unlink()
    assert make(root, "--resume", renderer=renderer) == 0
    assert contents(root) == contents(tmp_path / "unbroken")


def test_resume_after_a_full_disk(tmp_path, capsys, monkeypatch):
    make(tmp_path / "unbroken")
    replace, count = os.replace, 0

    def full(source, target):
        nonlocal count
        count += 1
        if count == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    root = tmp_path / "broken"
    assert make(root) == 2
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    assert not list(root.rglob("*.tmp"))
    assert make(root, "--resume") == 0
    assert contents(root) == contents(tmp_path / "unbroken")


def start(root: Path, num_samples: int) -> subprocess.Popen[str]:
    """The script with two workers in a process group of its own, when it has begun to draw."""
    command = [sys.executable, str(SCRIPT), *flags(root, num_samples=num_samples, num_workers=2)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, if it was
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not list(root.glob("train/*.png")) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_ctrl_c_pressed_twice_ends_every_process_in_order(tmp_path):
    process = start(tmp_path / "data", num_samples=5000)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.endswith("stopped; the same command with --resume goes on from here\n")
    assert "Traceback" not in printed
    assert len(list(tmp_path.rglob("*.png"))) < 2000
    assert not list(tmp_path.rglob("*.tmp"))


def test_sigkill_with_two_workers_then_resume(tmp_path):
    """communicate() returns only when the workers, who share the pipe, have ended too."""
    root = tmp_path / "killed"
    process = start(root, num_samples=1000)
    process.kill()
    process.communicate(timeout=60)
    assert not json.loads((root / "dataset.json").read_text(encoding="utf-8"))["complete"]
    assert make(root, "--resume", num_samples=1000) == 0
    make(tmp_path / "unbroken", num_samples=1000)
    assert contents(root) == contents(tmp_path / "unbroken")


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_killed_worker_is_told(tmp_path):
    chunks = [Chunk(tmp_path, "train", 0, start, start + 1) for start in range(4)]
    with pytest.raises(UserError, match="killed.*--resume"):
        list(draw_all(Deadly(), chunks, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize(("renderer", "sizes"), [("package", (15, 33)), ("fast", (60, 130))])
def test_resume_adds_to_a_set(tmp_path, renderer, sizes):
    make(tmp_path / "grown", num_samples=sizes[0], renderer=renderer)
    assert make(tmp_path / "grown", "--resume", num_samples=sizes[1], renderer=renderer) == 0
    make(tmp_path / "whole", num_samples=sizes[1], renderer=renderer)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


def test_resume_starts_where_nothing_is(tmp_path):
    assert make(tmp_path / "new", "--resume") == 0
    assert (tmp_path / "new/test/labels.txt").exists()


def test_resume_names_every_difference(tmp_path, capsys):
    root = tmp_path / "data"
    make(root)
    path = root / "dataset.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"pillow": "', '"pillow": "0.'))
    before = contents(root)
    font = "no-such-font.ttf"
    changes = {"charset": "lower", "min_length": 1, "max_length": 2, "width": 81, "height": 33}
    more = ["--resume", "--split_ratio", "0.5", "0.25", "0.25"]
    assert make(root, *more, **changes, seed=9, num_samples=19) == 2
    sentences = capsys.readouterr().err
    names = [*changes, "split_ratio", "seed", "num_samples"]
    for name in [*(f"--{name}" for name in names), "package pillow"]:
        assert f"error: {name} " in sentences
    assert "--seed 9: the set" in sentences
    assert "was made with 0\n" in sentences
    assert "package captcha" not in sentences
    assert contents(root) == before
    assert make(root, "--resume", fonts=font) == 2
    assert "no such file" in capsys.readouterr().err


def test_resume_knows_a_changed_font(tmp_path, capsys):
    font = tmp_path / "font.ttf"
    font.write_bytes((Path(captcha.__path__[0]) / "data/DroidSansMono.ttf").read_bytes())
    assert make(tmp_path / "data", fonts=font) == 0
    other = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    font.write_bytes(other.read_bytes())
    assert make(tmp_path / "data", "--resume", fonts=font) == 2
    assert "--fonts font.ttf sha256:" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"recipe": {}}', "\xff"])
def test_resume_over_a_damaged_description(tmp_path, capsys, text):
    (tmp_path / "dataset.json").write_bytes(text.encode("latin-1"))
    assert make(tmp_path, "--resume") == 2
    assert "dataset.json: not a data set's description" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "dataset.json"]
