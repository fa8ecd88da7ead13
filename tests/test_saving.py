"""last.pth: written beside the training, one before it kept, and a folder for one run alone."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from lively import write_checkpoint
from small_run import run, weights

import train
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.lock import locked
from utils.training import saving, setup, start, state
from utils.training.saving import Saver


def epoch_of(path: Path) -> int:
    training = load_checkpoint(path).training
    assert training is not None
    return training["progress"]["epoch"]


@pytest.mark.parametrize("how", ["auto", "last.pth"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_last_is_replaced_by_the_one_before(
    trained: Path, capsys: pytest.CaptureFixture[str], damage: str, how: str
) -> None:
    last = trained / "last.pth"
    assert (epoch_of(last), epoch_of(trained / "before_last.pth")) == (2, 1)
    content = last.read_bytes()
    if damage == "gone":
        last.unlink()
    else:
        last.write_bytes(content[: len(content) // 2] if damage == "cut" else b"PK\x03\x04 junk")
    resume = how if how == "auto" else str(last)
    assert train.main(["--resume", resume, "--save_dir", str(trained)]) == 0
    told = capsys.readouterr().out
    assert f"{last}: " in told
    assert f"going on from the one before, {trained / 'before_last.pth'}" in told
    assert epoch_of(last) == 2
    assert epoch_of(trained / "before_last.pth") == 1  # not what was damaged


def test_a_new_run_does_not_fall_back_to_an_earlier_one(trained: Path, tiny_data: Path) -> None:
    assert run(tiny_data, trained, "--num_epochs", "1") == 0
    assert epoch_of(trained / "previous_last.pth") == 2
    assert epoch_of(trained / "previous_before_last.pth") == 1  # in case the other is damaged
    assert not (trained / "before_last.pth").exists()
    assert run(tiny_data, trained, "--num_epochs", "1") == 0
    assert not (trained / "previous_before_last.pth").exists()  # not that of the first run


def test_a_run_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="nowhere"):
        run(tmp_path / "nowhere", tmp_path / "mine")
    assert not list((tmp_path / "mine").iterdir())


def test_a_state_is_saved_as_it_was_while_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint(write_checkpoint(tmp_path / "some.pth"))
    may_write = threading.Event()
    save_checkpoint = saving.save_checkpoint
    monkeypatch.setattr(
        saving, "save_checkpoint", lambda *a: (may_write.wait(60), save_checkpoint(*a))
    )
    state = {"progress": {"epoch": 1}, "optimizer": [torch.ones(2)], "random": (torch.zeros(1),)}
    name, values = next(iter(checkpoint.state_dict.items()))
    before = values.clone()
    with Saver(tmp_path) as saver:
        saver.save(checkpoint.header, checkpoint.state_dict, state)
        values += 1  # the next step
        state["optimizer"][0] += 1  # type: ignore[index]
        assert not (tmp_path / "last.pth").exists()
        may_write.set()
    saved = load_checkpoint(tmp_path / "last.pth")
    assert torch.equal(saved.state_dict[name], before)
    assert saved.training is not None
    assert saved.training["optimizer"][0].tolist() == [1, 1]


def test_what_goes_wrong_while_saving_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_checkpoint", full)
    checkpoint = load_checkpoint(write_checkpoint(tmp_path / "some.pth"))
    with pytest.raises(OSError, match="No space left"), Saver(tmp_path) as saver:
        saver.save(checkpoint.header, checkpoint.state_dict, {})
    saver = Saver(tmp_path)
    saver.save(checkpoint.header, checkpoint.state_dict, {})
    with pytest.raises(OSError, match="No space left"):
        saver.save(checkpoint.header, checkpoint.state_dict, {})


def test_states_of_steps_in_between_are_gone_on_from(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the weights of a run that was not ended, though nothing was saved at its end."""
    flags = ["--num_epochs", "3", "--save_every_steps", "2", "--fresh", "0.5"]
    assert run(tiny_data, tmp_path / "whole", *flags) == 0
    counted = state.Progress.count_step

    def killed(progress: state.Progress, pictures: int) -> None:
        counted(progress, pictures)
        if (progress.epoch, progress.step) == (1, 2):
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(state.Progress, "count_step", killed)
        with pytest.raises(MemoryError):
            run(tiny_data, tmp_path / "broken", *flags)
    training = load_checkpoint(tmp_path / "broken" / "last.pth").training
    assert training is not None
    assert (training["progress"]["epoch"], training["progress"]["step"]) == (1, 1)
    assert train.main(["--resume", "auto", "--save_dir", str(tmp_path / "broken")]) == 0
    one, other = (weights(tmp_path / name / "last.pth") for name in ("whole", "broken"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows = [
        [row.rsplit(",", 1)[0] for row in (tmp_path / name / "history.csv").read_text().split()]
        for name in ("whole", "broken")
    ]
    assert rows[0] == rows[1]


def test_a_folder_is_for_one_training(
    trained: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PATIENCE", 0.1)
    before = (trained / "last.pth").read_bytes()
    lock = locked(trained / start.LOCK, "", 0)
    with lock, pytest.raises(UserError, match="another training is writing to it"):
        run(tiny_data, trained, "--num_epochs", "1")
    assert (trained / "last.pth").read_bytes() == before
    assert not (trained / "previous_last.pth").exists()
    assert run(tiny_data, trained, "--num_epochs", "1") == 0


def test_no_other_training_writes_to_what_a_resume_reads(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_run = setup.prepare_run

    def prepare_alone(*arguments: Any) -> Any:
        with pytest.raises(UserError, match="taken"):
            locked(trained / start.LOCK, "taken", 0).__enter__()
        return prepare_run(*arguments)

    monkeypatch.setattr(setup, "prepare_run", prepare_alone)
    assert train.main(["--resume", str(trained / "last.pth")]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the other systems have no such workers")
def test_a_worker_that_outlives_its_training_does_not_keep_the_folder(tmp_path: Path) -> None:
    """Forked while it was locked; the one who locked it is gone, without a word."""
    read_end, write_end = os.pipe()
    if not (child := os.fork()):
        lock = locked(tmp_path / "lock", "", 0)
        lock.__enter__()
        if not os.fork():  # the worker
            os.read(read_end, 1)
        os._exit(0)
    os.waitpid(child, 0)
    with locked(tmp_path / "lock", "", 0):
        pass
    os.write(write_end, b"!")
    os.close(read_end)
    os.close(write_end)
