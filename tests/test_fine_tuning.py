"""Fine-tuning: stages that thaw one by one, old pictures among the new, and what is forgotten."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_split
from small_run import run, weights

import train
from models.config import ModelConfig
from models.registry import build_model
from models.transfer import freeze
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.picture import ImageSpec
from utils.synth.captcha import CaptchaRecipe
from utils.text.charset import preset_charset
from utils.training import state
from utils.training.batch import Block
from utils.training.batches import EpochBatches
from utils.training.data import Data, with_replay
from utils.training.pictures import TrainingPictures


@pytest.fixture
def old_data(tmp_path: Path) -> Path:
    """A root of 20 + 5 captchas of two digits, as `tiny_checkpoint` knows them."""
    root = tmp_path / "old data"
    recipe = CaptchaRecipe("0123456789", "digits", 2, 2, 80, 32)
    for seed, (name, count) in enumerate({"train": 20, "val": 5}.items(), start=50):
        write_split(root / name, recipe, count, seed)
    return root


def changed_stages(before: Path, after: Path) -> set[str]:
    """Stages of the backbone of which a weight is another one."""
    one, other = weights(before), weights(after)
    model = load_checkpoint(after).build()
    moved = {name for name in one if not torch.equal(one[name], other[name])}
    return {
        stage
        for stage, modules in model.backbone.stages.items()
        if any(name.startswith(f"backbone.{module}.") for name in moved for module in modules)
    }


def test_the_last_stages_thaw_first():
    model = build_model(ModelConfig("resnet18", 11, img_height=32))
    names = ["stem", "layer1", "layer2", "layer3", "layer4"]
    for thawed, frozen in [(0, names[:3]), (1, names[:2]), (3, []), (9, [])]:
        freeze(model, "early", thawed)
        assert list(model.frozen_stages) == frozen
        for stage in names:
            parameters = [p for m in model.backbone.stage_modules(stage) for p in m.parameters()]
            assert all(p.requires_grad == (stage not in frozen) for p in parameters)


def test_stages_thaw_during_a_run_and_after_a_resume(tiny_data, tiny_checkpoint, tmp_path):
    flags = ["--init_from", str(tiny_checkpoint), "--freeze_backbone", "all"]
    flags += ["--scheduler", "constant", "--early_stop", "0"]
    stages = list(load_checkpoint(tiny_checkpoint).build().backbone.stages)
    for epochs, thawed in (("2", 0), ("3", 1), ("5", 2)):
        save_dir = tmp_path / epochs
        more = ["--unfreeze_every", "2", "--num_epochs", epochs]
        assert run(tiny_data, save_dir, *flags, *more) == 0
        changed = changed_stages(tiny_checkpoint, save_dir / "last.pth")
        assert changed == set(stages[len(stages) - thawed :])


def test_a_stopped_run_thaws_as_an_unbroken_one(tiny_data, tiny_checkpoint, tmp_path, monkeypatch):
    flags = ["--init_from", str(tiny_checkpoint), "--freeze_backbone", "all"]
    flags += ["--unfreeze_every", "1", "--num_epochs", "4"]
    assert run(tiny_data, tmp_path / "whole", *flags) == 0
    count_step = state.Progress.count_step

    def count_and_stop(progress: state.Progress, pictures: int) -> None:
        count_step(progress, pictures)
        if (progress.epoch, progress.step) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(state.Progress, "count_step", count_and_stop)
        assert run(tiny_data, tmp_path / "broken", *flags) == 128 + signal.SIGTERM
    assert train.main(["--resume", "auto", "--save_dir", str(tmp_path / "broken")]) == 0
    one, other = weights(tmp_path / "whole/last.pth"), weights(tmp_path / "broken/last.pth")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_share_of_each_batch_is_old(tiny_data, old_data):
    new = open_dataset(tiny_data, BadRows(0)).split("train")
    old = open_dataset(old_data, BadRows(0)).split("train")
    data = with_replay(Data(tiny_data, new, [], None, len(new)), old, 0.25)
    assert (len(data.train), data.epoch_size) == (32, 16)  # 12 new ones, and 4 old
    order = EpochBatches(data.epoch_size, 8, 2, 0, shares=data.shares, num_places=32)
    batches = [set(block.pictures) for block in order]
    assert [sum(place % 32 >= 12 for place in batch) for batch in batches] == [2, 2, 2, 2]
    assert {place % 32 for place in batches[0] | batches[1]} >= set(range(12))


@pytest.mark.parametrize("widths", [None, np.arange(12) * 10])
def test_an_epoch_may_go_through_a_small_set_several_times(tiny_data, widths):
    """A picture's second time in an epoch has another number, and is changed in another way."""
    rows = open_dataset(tiny_data, BadRows(0)).split("train")
    data = Data(tiny_data, rows, [], None, 32)
    order = EpochBatches(32, 4, 3, 0, widths=widths, shares=data.shares, num_places=12)
    blocks = list(order)
    assert [len(block.pictures) for block in blocks] == [4] * 24
    numbers = sum((block.pictures for block in blocks), [])
    assert len(set(numbers)) == 96
    assert Counter(number % 12 for number in numbers) == dict.fromkeys(range(12), 8)
    pictures = TrainingPictures(
        rows, ImageSpec(32, 80), preset_charset("digits"), 0, augment="heavy", color_jitter=0.2
    )
    first = [pictures[Block(0, 0, [place])].images for place in (3, 15, 3)]
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert Data(tiny_data, rows, [], None, 12).shares == []


def test_a_run_over_a_small_set_again_and_again(tiny_data, tiny_checkpoint, tmp_path):
    flags = ["--init_from", str(tiny_checkpoint), "--num_epochs", "2", "--epoch_size", "50"]
    flags += ["--augment", "light"]
    assert run(tiny_data, tmp_path / "one", *flags) == 0
    assert run(tiny_data, tmp_path / "two", *flags, "--num_workers", "2") == 0
    training = load_checkpoint(tmp_path / "one/last.pth").training
    assert training is not None
    assert training["progress"]["pictures"] == 100
    one, other = weights(tmp_path / "one/last.pth"), weights(tmp_path / "two/last.pth")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_old_set_is_scored_before_and_after(
    tiny_data, old_data, tiny_checkpoint, tmp_path, capsys
):
    flags = ["--init_from", str(tiny_checkpoint), "--old_root", str(old_data), "--num_epochs", "2"]
    assert run(tiny_data, tmp_path / "run", *flags, "--replay", "0.5") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if str(old_data) in line]
    assert lines[0] == f"on {old_data}: 0.00% exact before (n = 5, validation)"
    assert lines[1].startswith(f"on {old_data}: 0.00% exact before, ")
    assert lines[1].endswith("% after (n = 5, validation)")
    training = load_checkpoint(tmp_path / "run/last.pth").training
    assert training is not None
    assert training["progress"]["old_score"]["n"] == 5
    assert training["progress"]["pictures"] == 2 * 24  # 12 new ones and as many old, twice
    capsys.readouterr()
    assert train.main(["--resume", str(tmp_path / "run/last.pth")]) == 0
    assert "exact before, " in capsys.readouterr().out


def test_characters_that_the_new_charset_lacks_are_errors_of_the_old_set(
    tiny_data, tiny_checkpoint, old_data, tmp_path, capsys
):
    labels = tiny_data / "train/labels.txt"
    for split in ("train", "val"):
        labels = tiny_data / split / "labels.txt"
        rows = labels.read_text("utf-8").splitlines()
        labels.write_text("".join(row.split("\t")[0] + "\tab\n" for row in rows), "utf-8")
    flags = ["--init_from", str(tiny_checkpoint), "--charset_change", "replace"]
    flags += ["--charset_file", str(tmp_path / "ab.txt"), "--num_epochs", "1"]
    (tmp_path / "ab.txt").write_text("a\nb\n", "utf-8")
    assert run(tiny_data, tmp_path / "run", *flags, "--old_root", str(old_data)) == 0
    assert "before, 0.00% after (n = 5" in capsys.readouterr().out
    with pytest.raises(UserError, match="characters that are not in charset"):
        run(tiny_data, tmp_path / "r", *flags, "--old_root", str(old_data), "--replay", "0.5")


def test_forgetting_is_never_unawares(tiny_data, tiny_checkpoint, tmp_path, capsys):
    flags = ["--init_from", str(tiny_checkpoint), "--num_epochs", "1"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    assert "may be forgotten: --old_root tells, --replay keeps it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--old_root", "d"], "--old_root d: it goes with --init_from"),
        (["--replay", "0.2"], "--replay 0.2: nothing to replay"),
        (["--replay", "0.95"], "--replay 0.95: expected 0 to 0.9"),
        (["--init_from", "m", "--old_root", "d", "--replay", "0.2", "--fresh", "1"], "fights"),
        (["--init_from", "m", "--old_root", "d", "--replay", "0.2", "--select", "a"], "fights"),
        (["--init_from", "m", "--old_root", "d", "--replay", "0.2", "--epoch_size", "9"], "fights"),
        (["--fresh_root", "d"], "--fresh_root d: nothing is drawn; add --fresh"),
        (["--unfreeze_every", "2"], "--unfreeze_every: nothing is frozen"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path, flags, told):
    with pytest.raises(UserError, match=told):
        train.main([*flags, "--save_dir", str(tmp_path)])


def test_an_old_set_without_a_split_is_told(tiny_data, tiny_checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    flags = ["--init_from", str(tiny_checkpoint), "--old_root"]
    with pytest.raises(UserError, match="no labels.txt, no LMDB and no folder"):
        run(tiny_data, tmp_path / "run", *flags, str(tmp_path / "empty"))
    with pytest.raises(UserError, match="no such folder"):
        run(tiny_data, tmp_path / "run", *flags, str(tmp_path / "nowhere"))
