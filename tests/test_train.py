"""train.py: what a run leaves, how it goes on exactly where it was, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from conftest import write_split

import train
from models.registry import BACKBONES
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe
from utils.training import state
from utils.training.setup import COMMON_DEFAULTS

SMALL = ["--img_width", "80", "--img_height", "32", "--hidden_size", "16", "--batch_size", "4"]
SMALL += ["--num_workers", "0", "--num_threads", "1", "--device", "cpu"]


def run(data: Path, save_dir: Path, *flags: str) -> int:
    return train.main(["--data_root", str(data), "--save_dir", str(save_dir), *SMALL, *flags])


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


@pytest.mark.parametrize("num_workers", ["0", "1"])
def test_a_stopped_run_goes_on_to_the_same_weights(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: str
) -> None:
    flags = ["--num_epochs", "3", "--fresh", "0.5", "--num_workers", num_workers]
    flags += ["--num_layers", "2"]  # so that dropout draws at random
    assert run(tiny_data, tmp_path / "whole", *flags) == 0
    count_step = state.Progress.count_step

    def count_and_stop(progress: state.Progress, pictures: int, loss: float | None) -> None:
        count_step(progress, pictures, loss)
        if (progress.epoch, progress.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(state.Progress, "count_step", count_and_stop)
        assert run(tiny_data, tmp_path / "broken", *flags) == 128 + signal.SIGTERM
    stopped = load_checkpoint(tmp_path / "broken" / "last.pth").training
    assert stopped is not None
    assert (stopped["progress"]["epoch"], stopped["progress"]["step"]) == (1, 2)
    assert train.main(["--resume", "auto", "--save_dir", str(tmp_path / "broken")]) == 0
    assert_equal_weights(tmp_path / "whole" / "last.pth", tmp_path / "broken" / "last.pth")
    assert_equal_weights(tmp_path / "whole" / "best.pth", tmp_path / "broken" / "best.pth")
    history = [(tmp_path / name / "history.csv").read_text("utf-8") for name in ("whole", "broken")]
    without_seconds = [[line.rsplit(",", 1)[0] for line in text.split()] for text in history]
    assert without_seconds[0] == without_seconds[1]


def test_resume_names_every_flag_that_it_would_change(trained: Path) -> None:
    with pytest.raises(UserError) as error:
        train.main(["--resume", str(trained / "last.pth"), "--lr", "0.5", "--seed", "7"])
    sentences = str(error.value).splitlines()
    assert len(sentences) == 2
    assert "--lr 0.5" in sentences[0]
    assert "--seed 7" in sentences[1]


def test_resume_needs_a_training_state(trained: Path) -> None:
    with pytest.raises(UserError, match="no training state"):
        train.main(["--resume", str(trained / "best.pth")])


def test_resume_refuses_a_data_set_that_has_changed(tiny_data: Path, trained: Path) -> None:
    edit_labels(tiny_data, "train", "000.png\t12\n")
    with pytest.raises(UserError, match="the data set has changed since that run began"):
        train.main(["--resume", str(trained / "last.pth")])


def test_a_run_that_was_moved_goes_on_where_it_lies(trained: Path, tmp_path: Path) -> None:
    moved = trained.rename(tmp_path / "moved")
    assert train.main(["--resume", str(moved / "last.pth")]) == 0
    assert not trained.exists()


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
    monkeypatch.setattr(
        "models.losses.ctc_loss", lambda logits, *rest: logits.sum() * torch.tensor(float("nan"))
    )
    monkeypatch.setattr(state, "MAX_NON_FINITE", 4)
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "3", "--num_layers", "1") == 1
    captured = capsys.readouterr()
    assert "3 steps skipped so far" in captured.out
    assert "4 steps had no finite loss or gradient" in captured.err
    assert all(value.isfinite().all() for value in weights(tmp_path / "run" / "last.pth").values())


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


def edit_labels(data: Path, split: str, row: str) -> None:
    with (data / split / "labels.txt").open("a", encoding="utf-8", newline="") as file:
        file.write(row)


def test_labels_outside_the_charset_are_all_listed(tiny_data: Path, tmp_path: Path) -> None:
    edit_labels(tiny_data, "train", "000.png\tÄ1\n001.png\tÄß\n")
    with pytest.raises(UserError) as error:
        run(tiny_data, tmp_path / "run")
    assert "'Ä' x 2" in str(error.value)
    assert "'ß' x 1" in str(error.value)
    assert "labels.txt:13" in str(error.value)


def test_a_label_too_long_names_the_width_that_would_do(tiny_data: Path, tmp_path: Path) -> None:
    edit_labels(tiny_data, "val", f"000.png\t{'12' * 10}33\n")  # 22 characters and one repeat
    with pytest.raises(UserError, match=r"needs 23 time steps .* gives 20 .* --img_width 91 "):
        run(tiny_data, tmp_path / "run")


def test_bad_pictures_are_named_or_skipped_up_to_the_limit(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_data / "train" / "003.png").write_bytes(b"")
    (tiny_data / "val" / "002.png").write_bytes(b"not a picture")
    with pytest.raises(UserError) as error:
        run(tiny_data, tmp_path / "run")
    assert "train" in str(error.value)
    assert "labels.txt:4: 003.png: the file is empty (0 bytes)" in str(error.value)
    assert "--max_bad_rows 2" in str(error.value)
    assert not (tmp_path / "run").exists()
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1", "--max_bad_rows", "2") == 0
    assert "skipped 2 bad rows" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run" / "best.pth").header.metrics["val"]["n"] == 5


def test_a_picture_that_goes_bad_during_the_run_is_named_from_a_worker(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.training.data.check_pictures", lambda rows, bad_rows: rows)
    (tiny_data / "train" / "003.png").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"^\S.*labels\.txt:4: 003\.png: the file is empty"
    ) as error:
        run(tiny_data, tmp_path / "run", "--num_workers", "1")
    assert "Traceback" not in str(error.value)


def test_a_killed_worker_is_told_in_one_sentence(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from utils.training.batches import TrainingPictures

    def die(self: TrainingPictures, key: tuple[int, int]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(TrainingPictures, "__getitem__", die)
    with pytest.raises(UserError, match="a process that prepares pictures was killed"):
        run(tiny_data, tmp_path / "run", "--num_workers", "1")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--data_root", "nowhere"], "nowhere: no such folder"),
        (["--device", "cuda"], "--device cuda: not on this machine"),
        (["--pretrained_path", "nowhere.pth"], "--pretrained_path nowhere.pth: no such file"),
        (["--init_from", "nowhere.pth"], "nowhere.pth: no such file"),
        (["--freeze_backbone", "early"], "weights of light would be random"),
        (["--img_channels", "2"], "expected 1 (grey) or 3 (RGB)"),
        (["--lr", "0"], "expected more than 0"),
        (["--fresh", "1.5"], "expected 0 to 1"),
        (["--charset", "digits", "--charset_file", "x"], "--charset and --charset_file fight"),
        (["--resume", "auto", "--init_from", "x"], "--resume and --init_from fight"),
    ],
)
def test_what_cannot_work_gets_one_sentence(
    tiny_data: Path, tmp_path: Path, flags: list[str], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        run(tiny_data, tmp_path / "run", *flags)
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_offline_pretrained_names_the_ways_out(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    flags = ["--backbone", "resnet", "--img_channels", "3"]
    with pytest.raises(UserError, match="--no-pretrained .* --pretrained_path .* --init_from"):
        run(tiny_data, tmp_path / "run", *flags)


def test_one_split_is_not_enough(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is one split"):
        run(tiny_data / "train", tmp_path / "run")


def test_an_empty_split_is_told(tiny_data: Path, tmp_path: Path) -> None:
    (tiny_data / "val" / "labels.txt").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="split 'val' is empty"):
        run(tiny_data, tmp_path / "run")


def test_splits_of_one_picture_are_trained_on(tiny_data: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        labels = tiny_data / split / "labels.txt"
        labels.write_text(labels.read_text("utf-8").split("\n")[0], encoding="utf-8")
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1") == 0


def test_fresh_needs_the_recipe_of_the_set(tiny_data: Path, tmp_path: Path) -> None:
    (tiny_data / "dataset.json").unlink()
    with pytest.raises(UserError, match=r"has no dataset\.json to draw by"):
        run(tiny_data, tmp_path / "run", "--fresh", "1")


def test_fresh_may_not_draw_what_the_charset_lacks(tiny_data: Path, tmp_path: Path) -> None:
    content = json.loads((tiny_data / "dataset.json").read_text("utf-8"))
    content["recipe"]["characters"] = "0123456789ABC"
    (tiny_data / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="draws 'ABC', which charset digits lacks"):
        run(tiny_data, tmp_path / "run", "--fresh", "1", "--charset", "digits")
