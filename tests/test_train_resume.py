"""train.py --resume: a run goes on exactly where it was, or says why it cannot."""

from __future__ import annotations

import os
import shutil
import signal
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import edit_labels, run, weights

import train
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.training import state, validation
from utils.training.pictures import TrainingPictures


def assert_equal_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def assert_equal_runs(one: Path, other: Path) -> None:
    """But for the seconds."""
    for name in ("last.pth", "best.pth"):
        assert_equal_weights(one / name, other / name)
    history = [(path / "history.csv").read_text("utf-8") for path in (one, other)]
    without_seconds = [[line.rsplit(",", 1)[0] for line in text.split()] for text in history]
    assert without_seconds[0] == without_seconds[1]


@pytest.mark.parametrize(
    ("num_workers", "stop_at", "renderer"),
    [("0", 2, "package"), ("1", 2, "fast"), ("0", 2, "fast"), ("0", 3, "fast")],
)
def test_a_stopped_run_goes_on_to_the_same_weights(
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_workers: str,
    stop_at: int,
    renderer: str,
) -> None:
    """`stop_at` 3 is the last step of the epoch, which is validated when the run goes on."""
    flags = ["--num_epochs", "3", "--fresh", "0.5", "--num_workers", num_workers]
    flags += ["--renderer", renderer]
    flags += ["--num_layers", "2"]  # so that dropout draws at random
    assert run(tiny_data, tmp_path / "whole", *flags) == 0
    count_step = state.Progress.count_step

    def count_and_stop(progress: state.Progress, pictures: int) -> None:
        count_step(progress, pictures)
        if (progress.epoch, progress.step) == (1, stop_at):
            for process in (os.getpid(), *(each.pid for each in active_children())):
                os.kill(process or 0, signal.SIGTERM)  # as SLURM does

    with monkeypatch.context() as patch:
        patch.setattr(state.Progress, "count_step", count_and_stop)
        assert run(tiny_data, tmp_path / "broken", *flags) == 128 + signal.SIGTERM
    stopped = load_checkpoint(tmp_path / "broken" / "last.pth").training
    assert stopped is not None
    assert (stopped["progress"]["epoch"], stopped["progress"]["step"]) == (1, stop_at)
    assert train.main(["--resume", "auto", "--save_dir", str(tmp_path / "broken")]) == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("batch_size", ["4", "5"])
def test_a_run_that_is_stopped_while_it_validates_goes_on_with_that(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: str
) -> None:
    """At once, and without learning anything of that epoch again."""
    monkeypatch.setattr(validation, "BATCH_SIZE", 1)
    flags = ["--num_epochs", "2"]
    assert run(tiny_data, tmp_path / "whole", *flags) == 0
    decode, times = validation.greedy_decode, 0

    def decode_and_stop(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        os.kill(os.getpid(), signal.SIGTERM)
        return decode(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "greedy_decode", decode_and_stop)
        assert run(tiny_data, tmp_path / "broken", *flags) == 128 + signal.SIGTERM
    assert times == 1
    stopped = load_checkpoint(tmp_path / "broken" / "last.pth").training
    assert stopped is not None
    assert (stopped["progress"]["epoch"], stopped["progress"]["step"]) == (0, 3)
    seen = stopped["progress"]["pictures"]
    again = ["--resume", "auto", "--save_dir", str(tmp_path / "broken"), "--batch_size", batch_size]
    assert train.main(again) == 0
    history = [(tmp_path / name / "history.csv").read_text("utf-8") for name in ("whole", "broken")]
    firsts = [text.splitlines()[1].split(",") for text in history]
    assert firsts[0][:-1] == firsts[1][:-1]  # all but seconds
    ended = load_checkpoint(tmp_path / "broken" / "last.pth").training
    assert ended is not None
    assert ended["progress"]["pictures"] == 2 * seen
    if batch_size == "4":
        assert_equal_runs(tmp_path / "whole", tmp_path / "broken")


def test_a_run_from_before_there_was_a_choice_goes_on_with_the_package(
    tiny_data: Path, tmp_path: Path
) -> None:
    flags = ["--num_epochs", "2", "--fresh", "1", "--renderer", "package"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    last = tmp_path / "run" / "last.pth"
    old = torch.load(last, weights_only=True)
    del old["training"]["options"]["renderer"]
    torch.save(old, last)
    with pytest.raises(UserError, match="--renderer fast: the run in .* has package"):
        train.main(["--resume", str(last), "--renderer", "fast"])


def test_a_resumed_run_keeps_its_hard_characters(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_by = []

    class Watched(TrainingPictures):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            assert self.recipe is not None
            drawn_by.append(self.recipe.characters)

    monkeypatch.setattr("utils.training.pictures.TrainingPictures", Watched)
    flags = ["--num_epochs", "1", "--fresh", "1", "--hard_characters", "05"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    last = str(tmp_path / "run" / "last.pth")
    assert train.main(["--resume", last]) == 0
    assert drawn_by == ["01234567890505"] * 2
    with pytest.raises(UserError, match="--hard_characters 7: the run in .* has 05"):
        train.main(["--resume", last, "--hard_characters", "7"])


def test_resume_names_every_flag_that_it_would_change(trained: Path) -> None:
    with pytest.raises(UserError) as error:
        train.main(["--resume", str(trained / "last.pth"), "--lr", "0.5", "--seed", "7"])
    sentences = str(error.value).splitlines()
    assert len(sentences) == 2
    assert "--lr 0.5" in sentences[0]
    assert "--seed 7" in sentences[1]


def test_resume_needs_a_training_state(trained: Path) -> None:
    with pytest.raises(UserError, match="no whole training state"):
        train.main(["--resume", str(trained / "best.pth")])


def test_resume_refuses_a_data_set_that_has_changed(tiny_data: Path, trained: Path) -> None:
    edit_labels(tiny_data, "train", "000.png\t12\n")
    with pytest.raises(UserError, match="the data set has changed since that run began"):
        train.main(["--resume", str(trained / "last.pth")])


def test_a_run_that_was_moved_goes_on_where_it_lies(trained: Path, tmp_path: Path) -> None:
    moved = trained.rename(tmp_path / "moved")
    assert train.main(["--resume", str(moved / "last.pth")]) == 0
    assert not trained.exists()


def test_a_copied_data_set_is_the_same_data_set(
    tiny_data: Path, trained: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(tiny_data, tmp_path / "copy")
    assert train.main(["--resume", str(trained / "last.pth"), "--data_root", str(copied)]) == 0


def test_resume_auto_without_a_run_is_a_new_one(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_data, tmp_path / "new", "--num_epochs", "1", "--resume", "auto") == 0
    assert "so this is a new run" in capsys.readouterr().out


def test_a_clock_that_goes_back_harms_nothing(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an hour at each look; a file that is saved later looks older, too."""
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    replace = os.replace

    def replaced_before(source: Path, target: Path) -> None:
        os.utime(source, (moment := time.time(), moment))
        replace(source, target)

    monkeypatch.setattr(os, "replace", replaced_before)
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2") == 0
    rows = (tmp_path / "run" / "history.csv").read_text("utf-8").splitlines()
    seconds = [float(row.split(",")[-1]) for row in rows[1:]]
    assert 0 < seconds[0] < seconds[1] < 600
    last = (tmp_path / "run" / "last.pth").read_bytes()
    assert train.main(["--resume", "auto", "--save_dir", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "last.pth").read_bytes() == last  # nothing was left to learn
