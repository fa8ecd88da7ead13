"""train.py: what cannot work is told in one sentence, before anything is written."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_run import edit_labels, run

from utils.checkpoint import load_checkpoint
from utils.errors import UserError


@pytest.fixture(autouse=True)
def no_loader_is_left_behind() -> Iterator[None]:
    """A traceback keeps a DataLoader, whose dead worker torch would report in a later test."""
    yield
    gc.collect()


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
    assert not multiprocessing.active_children()  # whose end the run's would wait for


@pytest.mark.parametrize("moment", ["while the loop waits for it", "while a step computes"])
def test_a_killed_worker_is_told_in_one_sentence(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    from utils.training.batches import TrainingPictures

    def die(self: TrainingPictures, key: tuple[int, int]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def slow_loss(*batch: torch.Tensor) -> torch.Tensor:
        for worker in multiprocessing.active_children():
            worker.kill()
        time.sleep(5)
        raise AssertionError("nobody noticed")

    if moment == "while a step computes":
        monkeypatch.setattr("models.losses.ctc_loss", slow_loss)
    else:
        monkeypatch.setattr(TrainingPictures, "__getitem__", die)
    with pytest.raises(UserError, match="a process that prepares pictures was killed"):
        run(tiny_data, tmp_path / "run", "--num_workers", "1")


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "reset"), EOFError(), FileNotFoundError(2, "no socket")]
)
def test_a_worker_that_is_killed_while_it_hands_on_a_batch(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Then it is a connection that breaks, in the process that takes the batch."""

    class Broken:
        def __init__(self, *words, **more) -> None:
            pass

        def __iter__(self):
            return self

        def __next__(self):
            raise error

    monkeypatch.setattr("utils.training.batches.DataLoader", Broken)
    with pytest.raises(UserError, match="a process that prepares pictures was killed"):
        run(tiny_data, tmp_path / "run")


def test_an_error_of_ours_in_a_worker_is_not_called_a_kill(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from utils.training.batches import TrainingPictures

    def fail(self: TrainingPictures, key: tuple[int, int]) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(TrainingPictures, "__getitem__", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run(tiny_data, tmp_path / "run", "--num_workers", "1")
    assert not multiprocessing.active_children()


def test_random_weights_are_not_frozen_where_there_is_nothing_to_resume(
    tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--freeze_backbone all: the weights of light would be"):
        run(tiny_data, tmp_path / "run", "--resume", "auto", "--freeze_backbone", "all")


def test_a_save_dir_that_cannot_be_one_is_told_before_the_first_step(
    tiny_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="is a file, not a folder"):
        run(tiny_data, tmp_path / "run")


def test_a_dataset_json_of_the_users_own_does_not_matter(tiny_data: Path, tmp_path: Path) -> None:
    (tiny_data / "dataset.json").write_text('{"mine": 1}', encoding="utf-8")
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1") == 0


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
    with pytest.raises(UserError, match="draws 'ABC' .3 characters., which charset digits"):
        run(tiny_data, tmp_path / "run", "--fresh", "1", "--charset", "digits")
