"""Fine-tuning: stages that thaw one by one, and a small set that is gone through many times."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import run, weights

import train
from models.config import ModelConfig
from models.registry import build_model
from models.transfer import fit_picture, freeze
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.picture import LUMA, ImageSpec
from utils.text.charset import preset_charset
from utils.training import state
from utils.training.batch import Block
from utils.training.data import Data
from utils.training.order import EpochBatches
from utils.training.pictures import TrainingPictures


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


@pytest.mark.parametrize("backbone", ["light", "basic"])
@pytest.mark.parametrize("heights", [(36, 60), (60, 32), (60, 60)])
def test_a_model_of_another_height_takes_over_the_rest_as_it_is(backbone, heights):
    old, new = (build_model(ModelConfig(backbone, 11, img_height=height)) for height in heights)
    before, after = old.state_dict(), fit_picture(old.state_dict(), new, LUMA)
    new.load_state_dict(after)
    other = [name for name, value in before.items() if not torch.equal(value, after[name])]
    spanning = [name for name in other if after[name].shape != before[name].shape]
    assert other == spanning
    assert len(spanning) <= 1
    assert bool(spanning) == (backbone == "light" and heights != (60, 60))
    for name in spanning:  # what a column of one brightness gives
        torch.testing.assert_close(after[name].sum(dim=2), before[name].sum(dim=2))


@pytest.mark.parametrize("backbone", ["light", "basic", "resnet18"])
def test_grey_and_coloured_models_read_grey_pictures_alike(backbone):
    grey, coloured = (
        build_model(ModelConfig(backbone, 11, img_height=32, img_channels=channels)).eval()
        for channels in (1, 3)
    )
    picture = torch.rand(2, 1, 32, 80, generator=torch.Generator().manual_seed(0))
    for old, new in ((grey, coloured), (coloured, grey)):
        new.load_state_dict(fit_picture(old.state_dict(), new, LUMA))
        with torch.inference_mode():
            one, _ = grey(picture)
            three, _ = coloured(picture.expand(-1, 3, -1, -1))
        torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)


def test_a_coloured_model_begins_by_what_the_grey_one_read():
    grey, coloured = (
        build_model(ModelConfig("light", 11, img_height=32, img_channels=channels)).eval()
        for channels in (1, 3)
    )
    coloured.load_state_dict(fit_picture(grey.state_dict(), coloured, LUMA))
    picture = torch.rand(2, 3, 32, 80, generator=torch.Generator().manual_seed(0))
    shares = torch.tensor(LUMA)[:, None, None]
    with torch.inference_mode():
        one, _ = grey((picture * shares).sum(dim=1, keepdim=True))
        three, _ = coloured(picture)
    torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)


def test_a_run_starts_from_a_model_of_other_pictures(tiny_data, tiny_checkpoint, tmp_path):
    flags = ["--init_from", str(tiny_checkpoint), "--img_height", "60", "--img_channels", "3"]
    flags += ["--freeze_backbone", "all", "--num_epochs", "1"]
    assert run(tiny_data, tmp_path / "run", *flags) == 0
    image = load_checkpoint(tmp_path / "run" / "last.pth").header.image
    assert (image.height, image.channels) == (60, 3)
    before, after = weights(tiny_checkpoint), weights(tmp_path / "run" / "last.pth")
    first, last = (f"backbone.{name}.convs.0.weight" for name in ("stage1", "stage4"))
    assert (before[first].shape[1], before[last].shape[2]) == (4, 2)
    assert (after[first].shape[1], after[last].shape[2]) == (12, 5)


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


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--old_root", "d"], "--old_root d: it goes with --init_from"),
        (["--replay", "0.2"], "--replay 0.2: nothing to replay"),
        (["--replay", "0.95"], "--replay 0.95: expected 0 to 0.9"),
        (["--init_from", "m", "--old_root", "d", "--replay", "0.2", "--fresh", "1"], "fights"),
        (["--init_from", "m", "--old_root", "d", "--replay", "0.2", "--select", "a"], "fights"),
        (["--fresh_root", "d"], "--fresh_root d: nothing is drawn; add --fresh"),
        (["--unfreeze_every", "2"], "--unfreeze_every: nothing is frozen"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path, flags, told):
    with pytest.raises(UserError, match=told):
        train.main([*flags, "--save_dir", str(tmp_path)])
