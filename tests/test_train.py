"""train.py: what a run leaves, how it goes on exactly where it was, and what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from conftest import write_split
from small_run import SMALL, edit_labels, run

import train
from models.losses import ctc_loss
from models.registry import BACKBONES
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe
from utils.training import state
from utils.training.data import FRESH_EPOCH, read_data
from utils.training.setup import COMMON_DEFAULTS


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).state_dict


def assert_equal_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def trained(tiny_data: Path, tmp_path: Path) -> Path:
    """The save_dir of a run of two epochs."""
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2") == 0
    return tmp_path / "run"


def test_a_run_leaves_checkpoints_history_and_pictures(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {"best.pth", "last.pth", "history.csv", "curves.png", "predictions.png"}
    header = load_checkpoint(trained / "best.pth").header
    assert header.charset.characters == "0123456789"
    assert (header.image.height, header.image.width) == (32, 80)
    assert header.metrics["val"]["n"] == 6
    assert header.train["batch_size"] == 4
    with (trained / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[-1]["pictures"] == "24"
    assert not any("aux" in name for name in weights(trained / "best.pth"))


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
    """`stop_at` 3 is the last step of the epoch, which is then brought to its end."""
    flags = ["--num_epochs", "3", "--fresh", "0.5", "--num_workers", num_workers]
    flags += ["--renderer", renderer]
    flags += ["--num_layers", "2"]  # so that dropout draws at random
    assert run(tiny_data, tmp_path / "whole", *flags) == 0
    count_step = state.Progress.count_step

    def count_and_stop(progress: state.Progress, pictures: int) -> None:
        count_step(progress, pictures)
        if (progress.epoch, progress.step) == (1, stop_at):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(state.Progress, "count_step", count_and_stop)
        assert run(tiny_data, tmp_path / "broken", *flags) == 128 + signal.SIGTERM
    stopped = load_checkpoint(tmp_path / "broken" / "last.pth").training
    assert stopped is not None
    position = (stopped["progress"]["epoch"], stopped["progress"]["step"])
    assert position == ((1, 2) if stop_at == 2 else (2, 0))
    assert train.main(["--resume", "auto", "--save_dir", str(tmp_path / "broken")]) == 0
    assert_equal_weights(tmp_path / "whole" / "last.pth", tmp_path / "broken" / "last.pth")
    assert_equal_weights(tmp_path / "whole" / "best.pth", tmp_path / "broken" / "best.pth")
    history = [(tmp_path / name / "history.csv").read_text("utf-8") for name in ("whole", "broken")]
    without_seconds = [[line.rsplit(",", 1)[0] for line in text.split()] for text in history]
    assert without_seconds[0] == without_seconds[1]


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


def test_fresh_pictures_need_no_training_split(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tiny_data / "train")
    with pytest.raises(UserError, match="no split 'train'"):
        run(tiny_data, tmp_path / "run", "--fresh", "0.9")
    flags = ["--fresh", "1", "--epoch_size", "10", "--num_epochs", "2"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    history = (tmp_path / "run" / "history.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[1] for line in history] == ["pictures", "10", "20"]
    assert "epochs of 10 pictures, 100% of them drawn anew (fast)" in capsys.readouterr().out


def test_an_epoch_is_the_training_split_unless_a_size_is_given(tiny_data: Path) -> None:
    options = train.TrainOptions(data_root=str(tiny_data), fresh=1.0)
    assert read_data(options).epoch_size == 12
    assert read_data(dataclasses.replace(options, epoch_size=5)).epoch_size == 5
    shutil.rmtree(tiny_data / "train")
    assert read_data(options).epoch_size == FRESH_EPOCH


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


def test_flags_without_effect_are_told(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--num_epochs", "1", "--gamma", "0.1", "--charset_change", "extend", "--pretrained"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if "no effect" in line]
    assert [line.split()[1] for line in warnings] == ["--charset_change", "--gamma", "--pretrained"]


def test_what_a_killed_save_left_is_cleared_away(tiny_data: Path, tmp_path: Path) -> None:
    left = tmp_path / "run" / ".last.pth.123.tmp"
    left.parent.mkdir()
    left.write_bytes(b"half")
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1") == 0
    assert not left.exists()


def test_resume_auto_without_a_run_is_a_new_one(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_data, tmp_path / "new", "--num_epochs", "1", "--resume", "auto") == 0
    assert "so this is a new run" in capsys.readouterr().out


def test_a_new_run_keeps_the_earlier_checkpoints(tiny_data: Path, trained: Path) -> None:
    before = weights(trained / "best.pth")
    assert run(tiny_data, trained, "--num_epochs", "1", "--seed", "1") == 0
    kept = weights(trained / "previous_best.pth")
    assert all(torch.equal(before[name], kept[name]) for name in before)


def test_overfit_batch_learns_one_batch_and_writes_nothing(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--overfit_batch", "--hidden_size", "48", "--lr", "0.004"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    assert "4 pictures learned by heart, 100.0% exact" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_fine_tuning_keeps_frozen_weights_and_known_characters(
    tiny_data: Path, trained: Path, tmp_path: Path
) -> None:
    other = tmp_path / "letters"
    for seed, name in enumerate(("train", "val")):
        write_split(other / name, CaptchaRecipe("0123AB", "custom", 2, 2, 80, 32), 8, seed)
    base = ["--init_from", str(trained / "best.pth"), "--num_epochs", "1"]
    flags = [flag for flag in SMALL if flag not in ("--hidden_size", "16")] + base
    start = ["--data_root", str(other), "--save_dir", str(tmp_path / "tuned"), *flags]
    with pytest.raises(UserError, match="lacks 2 characters of the labels"):
        train.main(start)
    frozen = ["--freeze_backbone", "partial", "--charset_change", "extend"]
    assert train.main([*start, *frozen]) == 0
    tuned = load_checkpoint(tmp_path / "tuned" / "best.pth")
    assert tuned.header.charset.characters == "0123456789AB"
    before = weights(trained / "best.pth")
    for name, value in tuned.state_dict.items():
        stage = name.split(".")[1]
        if stage in ("stage1", "stage2", "stage3"):
            assert torch.equal(value, before[name]), name
    assert train.main([*start, "--charset_change", "replace"]) == 0
    assert load_checkpoint(tmp_path / "tuned" / "best.pth").header.charset.characters == "0123AB"


def test_a_loss_that_is_not_finite_is_skipped_and_too_many_end_the_run(
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    def failing_loss(*batch: torch.Tensor) -> torch.Tensor:
        calls.append(1)  # two calls a step, three steps an epoch
        return ctc_loss(*batch) * (1.0 if len(calls) <= 4 else float("nan"))

    monkeypatch.setattr("models.losses.ctc_loss", failing_loss)
    monkeypatch.setattr(state, "MAX_NON_FINITE", 3)
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "3") == 1
    captured = capsys.readouterr()
    assert "whose loss or gradient was not finite: 1" in captured.out
    assert "3 steps of one epoch had no finite loss or gradient" in captured.err
    last = load_checkpoint(tmp_path / "run" / "last.pth")
    assert last.training is not None
    assert last.training["progress"]["epoch"] == 1
    assert all(value.isfinite().all() for value in last.state_dict.values())


def test_a_stall_is_told_once() -> None:
    progress = state.Progress(pictures=state.STALL_PICTURES, blank_share=1.0)
    assert [progress.told_stall(), progress.told_stall()] == [True, False]
    assert not state.Progress(pictures=state.STALL_PICTURES, blank_share=0.8).told_stall()


def test_backbones_set_only_what_train_fills_in() -> None:
    for name, entry in BACKBONES.items():
        assert entry.defaults.keys() <= COMMON_DEFAULTS.keys(), name


def test_safetensors_is_another_form_of_best(tiny_data: Path, tmp_path: Path) -> None:
    assert (
        run(tiny_data, tmp_path / "run", "--num_epochs", "1", "--save_format", "safetensors") == 0
    )
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").header.charset.name == "digits"
    assert not (tmp_path / "run" / "best.pth").exists()
