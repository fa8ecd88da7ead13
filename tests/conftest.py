"""Small data sets and checkpoints that the tests make for themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.config import ModelConfig
from utils.checkpoint import Header, save_checkpoint, versions
from utils.picture import ImageSpec
from utils.synth.captcha import CaptchaRecipe, CaptchaRenderer
from utils.text.charset import preset_charset


def write_split(folder: Path, recipe: CaptchaRecipe, count: int, seed: int) -> None:
    folder.mkdir(parents=True)
    renderer = CaptchaRenderer(recipe)
    rows = []
    for index in range(count):
        picture, text = renderer.draw(seed, index)
        picture.save(folder / f"{index:03d}.png")
        rows.append(f"{index:03d}.png\t{text}\n")
    (folder / "labels.txt").write_text("".join(rows), encoding="utf-8")


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A data root of 12 + 6 + 6 captchas of two digits, 80 x 32, with a space in its path."""
    root = tmp_path / "tiny data"
    recipe = CaptchaRecipe("0123456789", "digits", 2, 2, 80, 32)
    for seed, (name, count) in enumerate({"train": 12, "val": 6, "test": 6}.items()):
        write_split(root / name, recipe, count, seed)
    content = {"recipe": recipe.to_json()}
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return root


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Path:
    """An untrained `light` over the digits, for 80 x 32 pictures, as .pth."""
    import torch

    from models.registry import build_model

    torch.manual_seed(0)
    config = ModelConfig("light", 11, img_height=32, hidden_size=16, num_layers=1)
    header = Header(
        config, ImageSpec(height=32, width=80), preset_charset("digits"), versions=versions()
    )
    path = tmp_path / "tiny model" / "best.pth"
    save_checkpoint(path, header, build_model(config).state_dict())
    return path


@pytest.fixture
def trained(tiny_data: Path, tmp_path: Path) -> Path:
    """The save_dir of a run of two epochs."""
    from small_run import run

    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2") == 0
    return tmp_path / "run"


@pytest.fixture
def stored(tiny_data: Path, tmp_path: Path) -> Path:
    """tiny_data with each split as an LMDB, and the same dataset.json."""
    from stored_lmdb import call

    root = tmp_path / "as lmdb"
    for name in ("train", "val", "test"):
        assert call("make", tiny_data / name, "--output_dir", root / name) == 0
    shutil.copy(tiny_data / "dataset.json", root)
    return root


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "some words.txt"
    path.write_text("the quick,  Brown\nfox's naïve OO\tantidisestablishmentarianism", "utf-8-sig")
    return path


@pytest.fixture
def old_data(tmp_path: Path) -> Path:
    """A root of 20 + 5 captchas of two digits, as `tiny_checkpoint` knows them."""
    root = tmp_path / "old data"
    recipe = CaptchaRecipe("0123456789", "digits", 2, 2, 80, 32)
    for seed, (name, count) in enumerate({"train": 20, "val": 5}.items(), start=50):
        write_split(root / name, recipe, count, seed)
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A grey one for each of the readings of report_case."""
    from PIL import Image
    from report_case import READ

    paths = [tmp_path / f"{i}.png" for i in range(len(READ))]
    for shade, path in enumerate(paths):
        Image.new("L", (1000, 40), 60 * shade).save(path)
    return paths


@pytest.fixture(scope="module")
def mixed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.pth, which reads pictures of up to 160 x 32 that keep their ratio."""
    from lively import write_checkpoint

    image = ImageSpec(height=32, width=160, keep_ratio=True)
    path = tmp_path_factory.mktemp("a model") / "digits.pth"
    return write_checkpoint(path, image=image, spread=3)


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.onnx, of a reader of 80 x 32 pictures."""
    from lively import scribble, write_checkpoint

    from utils.checkpoint import load_checkpoint
    from utils.export.onnx_file import write_onnx

    folder = tmp_path_factory.mktemp("on nx")
    checkpoint = load_checkpoint(write_checkpoint(folder / "digits.pth", spread=3))
    write_onnx(checkpoint, folder / "digits.onnx", [scribble(0)])
    return folder / "digits.onnx"
