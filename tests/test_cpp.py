"""examples/cpp, built here: it reads PNG files as Python does, each pixel and each text."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lively import scribble, write_checkpoint
from PIL import Image

from utils.checkpoint import load_checkpoint
from utils.export.aoti_file import write_aoti
from utils.picture import ImageSpec, prepare
from utils.recognizer import Recognizer

ROOT = Path(__file__).resolve().parent.parent
MODES = ("L", "RGB", "1", "P", "LA", "RGBA", "I;16", "clear colour", "clear grey", "clear entry")
NO_COMPILER = not (shutil.which("cmake") and (shutil.which("c++") or shutil.which("cl")))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(NO_COMPILER, reason="no cmake, or no C++ compiler, on this machine"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs in it."""
    folder = tmp_path_factory.mktemp("a build")
    source = ["-S", ROOT / "examples" / "cpp", "-B", folder]
    subprocess.run(["cmake", *source, f"-DPython3_EXECUTABLE={sys.executable}"], check=True)
    subprocess.run(["cmake", "--build", folder, "--config", "Release"], check=True)
    return folder if (folder / "read_pictures").exists() else folder / "Release"


def packaged(folder: Path, image: ImageSpec, characters: str) -> tuple[Path, Path]:
    """A checkpoint, and its package."""
    path = write_checkpoint(folder / "model.pth", characters, image, spread=3)
    write_aoti(load_checkpoint(path), folder / "model.pt2", [scribble(seed) for seed in range(8)])
    return path, folder / "model.pt2"


@pytest.fixture(scope="module", params=["grey", "colour, running down"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("a model")
    if request.param == "grey":
        return packaged(folder, ImageSpec(32, 160, keep_ratio=True), "0123456789")
    colour = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    return packaged(
        folder, ImageSpec(40, 120, 3, *colour, direction="vertical"), "永和九年歲在癸丑"
    )


def draw(mode: str, dice: random.Random, path: Path) -> None:
    """A PNG file of that mode, of any size."""
    width, height = dice.randint(3, 700), dice.randint(3, 300)
    coarse = (max(width // dice.randint(1, 30), 1), max(height // dice.randint(1, 30), 1))
    noise = np.random.default_rng(dice.getrandbits(30)).integers(
        0, 256, (*coarse[::-1], 4), np.uint8
    )
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    more: dict = {}
    if mode == "I;16":
        deep = np.asarray(image.convert("L")).astype(np.uint16) * dice.choice((1, 200, 257)) + 3
        image = Image.fromarray(deep)
    elif mode.startswith("clear"):
        image = image.convert({"colour": "RGB", "grey": "L", "entry": "P"}[mode.split()[1]])
        clear = image.getpixel((width // 2, height // 2))
        more = {"transparency": bytes(range(0, 250, 5)) if image.mode == "P" else clear}
    elif mode != "RGBA":
        image = image.convert(mode)
    image.save(path, **more)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A hundred, ten of each mode."""
    folder, dice = tmp_path_factory.mktemp("mixed pictures"), random.Random(7)
    paths = [
        folder / f"{place:02d} {mode.replace(';', '')}.png" for place in range(10) for mode in MODES
    ]
    for path, mode in zip(paths, MODES * 10, strict=True):
        draw(mode, dice, path)
    return paths


def test_a_hundred_mixed_pictures_read_as_in_python(built, model, mixed):
    checkpoint, package = model
    done = subprocess.run(
        [built / "read_pictures", package, *mixed], capture_output=True, check=True
    )
    wanted = [prediction.text for prediction in Recognizer.load(checkpoint, "cpu").read(mixed)]
    lines = done.stdout.decode("utf-8").splitlines()
    assert [line.split("\t") for line in lines] == [
        [str(path), text] for path, text in zip(mixed, wanted, strict=True)
    ]
    assert len({text for text in wanted if text}) > 50  # they say something


def test_every_pixel_is_as_in_python(built, model, mixed):
    checkpoint, package = model
    spec = load_checkpoint(checkpoint).header.image
    for path in mixed:
        words = [built / "prepare_picture", package, path]
        done = subprocess.run(words, capture_output=True, check=True)
        found = np.frombuffer(done.stdout, np.float32)
        wanted = prepare(path, spec)
        np.testing.assert_allclose(found, wanted.ravel(), atol=1e-6, err_msg=path.name)


def test_what_cannot_be_read_is_named(built, model, mixed, tmp_path: Path):
    _, package = model
    half, text = tmp_path / "half.png", tmp_path / "text.png"
    half.write_bytes(mixed[0].read_bytes()[:200])
    text.write_text("no picture")
    words = [built / "read_pictures", package, half, mixed[0], text, tmp_path / "gone.png"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [str(mixed[0])]
    first, second, third = done.stderr.splitlines()
    assert first.startswith(f"{half}: damaged (")
    assert second.startswith(f"{text}: not a whole PNG file (")
    assert third == f"{tmp_path / 'gone.png'}: no such file"
    for words in ([built / "read_pictures"], [built / "read_pictures", text, mixed[0]]):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
