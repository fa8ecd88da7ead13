"""train.py: what a run leaves, what it learns from, and how it ends."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import write_split
from small_run import SMALL, run, weights

import train
from models.losses import ctc_loss
from models.registry import BACKBONES
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.metrics import Score
from utils.ranks import Ranks
from utils.synth.captcha import CaptchaRecipe
from utils.training import state
from utils.training.console import idle_flags
from utils.training.data import FRESH_EPOCH, read_data
from utils.training.resolve import COMMON_DEFAULTS
from utils.training.weights import RANDOM_WEIGHTS


def test_a_run_leaves_checkpoints_history_and_pictures(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    states = {"best.pth", "last.pth", "before_last.pth", ".train.lock"}
    assert names == {*states, "history.csv", "curves.png", "predictions.png"}
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
    assert (
        "epochs of 10 pictures, 100% of them drawn anew (captchas, fast)" in capsys.readouterr().out
    )


def test_an_epoch_is_the_training_split_unless_a_size_is_given(tiny_data: Path) -> None:
    options = train.TrainOptions(data_root=str(tiny_data), fresh=1.0)
    assert read_data(options).epoch_size == 12
    assert read_data(dataclasses.replace(options, epoch_size=5)).epoch_size == 5
    hard = read_data(dataclasses.replace(options, hard_characters="05", hard_weight=2))
    assert hard.fresh_recipe is not None
    assert hard.fresh_recipe.characters == "012345678905"
    assert hard.recipe is not None
    assert hard.recipe.characters == "0123456789"
    shutil.rmtree(tiny_data / "train")
    assert read_data(options).epoch_size == FRESH_EPOCH


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


def test_epochs_of_milliseconds_have_times_of_their_own() -> None:
    progress = state.Progress()
    for seconds in (0.011, 0.052):
        progress.seconds = seconds
        progress.end_epoch(Score(), 0.0, 1e-3)
    assert [row["seconds"] for row in progress.history] == [0.011, 0.052]


@pytest.mark.parametrize(("device", "told"), [("cpu", 0), ("cuda", 1)])
def test_workers_are_idle_where_the_gpu_draws(device: str, told: int) -> None:
    data = SimpleNamespace(dropped={})
    run = SimpleNamespace(options=train.TrainOptions(), origin=RANDOM_WEIGHTS, data=data)
    run.drawing_device, run.ranks, run.global_batch_size = torch.device(device), Ranks(), 32
    assert len(idle_flags(run, frozenset({"num_workers"}))) == told
