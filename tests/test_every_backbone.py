"""train.py for an epoch, with every backbone, every way to freeze it, and every neck."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import run, weights

from models.config import ModelConfig
from models.registry import BACKBONES, NECKS, build_model
from models.transfer import FREEZE_STRATEGIES, stages_to_freeze
from utils.checkpoint import Header, load_checkpoint, save_checkpoint, versions
from utils.picture import ImageSpec
from utils.text.charset import preset_charset


@pytest.fixture(scope="module")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An untrained checkpoint of each backbone."""
    torch.manual_seed(0)
    charset, paths = preset_charset("digits"), {}
    for name, entry in BACKBONES.items():
        channels = entry.defaults.get("img_channels", 1)
        assert isinstance(channels, int)
        config = ModelConfig(name, charset.num_classes, 32, channels, 16, 1)
        grey = ImageSpec(32, 80, channels, (0.5,) * channels, (0.5,) * channels)
        paths[name] = tmp_path_factory.mktemp(name) / "begin.pth"
        header = Header(config, grey, charset, versions=versions())
        save_checkpoint(paths[name], header, build_model(config).state_dict())
    return paths


@pytest.mark.parametrize("strategy", FREEZE_STRATEGIES)
@pytest.mark.parametrize("name", BACKBONES)
def test_an_epoch(beginnings, name: str, strategy: str, tiny_data: Path, tmp_path: Path) -> None:
    words = ("--init_from", str(beginnings[name]), "--freeze_backbone", strategy)
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1", *words) == 0
    before, after = weights(beginnings[name]), weights(tmp_path / "run" / "last.pth")
    model = load_checkpoint(tmp_path / "run" / "best.pth").build()
    assert model.config.backbone == name
    frozen = stages_to_freeze(list(model.backbone.stages), strategy)
    for stage, modules in model.backbone.stages.items():
        prefixes = tuple(f"backbone.{module}." for module in modules)
        own = [key for key in before if key.startswith(prefixes)]
        assert own
        same = [torch.equal(before[key], after[key]) for key in own]
        assert all(same) if stage in frozen else not all(same), stage
    assert not torch.equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize("neck", NECKS)
def test_an_epoch_with_another_neck(neck: str, tiny_data: Path, tmp_path: Path) -> None:
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1", "--neck", neck) == 0
    assert load_checkpoint(tmp_path / "run" / "best.pth").build().config.neck == neck
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "1", "--resume", "auto") == 0
