"""examples/cpp, built here: it reads PNG files as Python does, each pixel and each text."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from lively import scribble, write_checkpoint
from PIL import Image
from raw_png import raw_png

from utils.checkpoint import load_checkpoint
from utils.export.aoti_file import write_aoti
from utils.picture import ImageSpec, prepare
from utils.recognizer import Recognizer

ROOT = Path(__file__).resolve().parent.parent
MODES = ("L", "RGB", "1", "P", "LA", "RGBA", "I;16", "clear colour", "clear grey", "clear entry")
NO_COMPILER = not (shutil.which("cmake") and shutil.which("c++"))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="examples/cpp is for Linux and macOS"),
    pytest.mark.skipif(NO_COMPILER, reason="no cmake, or no C++ compiler, on this machine"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs in it, made from the project's root as the README has it."""
    folder = tmp_path_factory.mktemp("a build")
    python = Path(sys.executable)
    if python.is_relative_to(ROOT):
        python = python.relative_to(ROOT)
    source = ["-S", "examples/cpp", "-B", folder, f"-DPython3_EXECUTABLE={python}"]
    subprocess.run(["cmake", *source], cwd=ROOT, check=True)
    subprocess.run(["cmake", "--build", folder], check=True)
    return folder


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


def assert_prepared_alike(built: Path, model: tuple[Path, Path], paths: list[Path]) -> None:
    checkpoint, package = model
    spec = load_checkpoint(checkpoint).header.image
    words = [built / "prepare_picture", package, *paths]
    done = subprocess.run(words, capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.float32)
    for path in paths:
        wanted = prepare(path, spec).ravel()
        np.testing.assert_array_equal(found[: wanted.size], wanted, err_msg=path.name)
        found = found[wanted.size :]
    assert not found.size


def test_every_pixel_is_as_in_python(built, model, mixed):
    assert_prepared_alike(built, model, mixed)


def test_what_pillow_does_not_write_is_read_alike_too(built, model, tmp_path: Path):
    rng = np.random.default_rng(0)

    def noise(top: int, channels: int) -> np.ndarray:
        return rng.integers(0, top, (37, 61, channels))

    grey4, rgb16 = noise(16, 1), noise(65536, 3)
    rgb16[::3] &= 0x00FF  # some are the transparent colour, in the byte that Pillow looks at
    rgb16[::5] = 0x0303
    palette = rng.integers(0, 256, 48, np.uint8).tobytes()
    files = {
        "grey 1": raw_png(noise(2, 1), 0, 1),
        "grey 2": raw_png(noise(4, 1), 0, 2, interlaced=True),
        "grey 4": raw_png(grey4, 0, 4),
        "clear in grey 1": raw_png(noise(2, 1), 0, 1, tRNS=struct.pack(">H", 1)),
        "clear in grey 4": raw_png(grey4, 0, 4, tRNS=struct.pack(">H", 5)),
        "clear in grey 8": raw_png(noise(4, 1), 0, 8, tRNS=struct.pack(">H", 3)),
        "grey 16": raw_png(noise(65536, 1), 0, 16, interlaced=True),
        "RGB 8": raw_png(noise(256, 3), 2, 8, interlaced=True),
        "RGB 16": raw_png(rgb16, 2, 16),
        "clear in RGB 16": raw_png(rgb16, 2, 16, tRNS=struct.pack(">HHH", 3, 3, 3)),
        "palette 4": raw_png(noise(16, 1), 3, 4, PLTE=palette, tRNS=b"\0\x80\xff"),
        "grey and alpha 16": raw_png(noise(65536, 2), 4, 16),
        "RGB and alpha 16": raw_png(noise(65536, 4), 6, 16, interlaced=True),
    }
    for name, data in files.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    for orientation in range(9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        scribble(orientation, 90, 40).save(tmp_path / f"lies {orientation}.png", exif=exif)
    assert_prepared_alike(built, model, sorted(tmp_path.iterdir()))


def test_what_cannot_be_read_is_named(built, model, mixed, tmp_path: Path):
    _, package = model
    half, text = tmp_path / "half.png", tmp_path / "text.png"
    half.write_bytes(mixed[0].read_bytes()[:200])
    text.write_text("no picture")
    bad = [half, text, tmp_path / "gone.png", tmp_path]
    words = [built / "read_pictures", package, *bad, mixed[0]]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [str(mixed[0])]
    first, second, third, fourth = done.stderr.splitlines()
    assert re.fullmatch(re.escape(str(half)) + r": damaged \(.+\)", first)
    assert re.fullmatch(re.escape(str(text)) + r": not a whole PNG file \(.+\)", second)
    assert third == f"{tmp_path / 'gone.png'}: no such file"
    assert fourth == f"{tmp_path}: it is a folder"
    done = subprocess.run(words[:-1], capture_output=True, text=True)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 4)
    done = subprocess.run([built / "read_pictures"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_output_that_does_not_arrive_is_an_error(built, model, mixed):
    for program in ("read_pictures", "prepare_picture"):
        with Path("/dev/full").open("w") as full:
            words = [built / program, model[1], mixed[0]]
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert done.stderr == "stdout cannot be written to; is the disk full?\n"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"crnn.torch": "1.0"}, "compiled with torch 1.0, and this is "),
        ({"crnn.cpu_capability": "AVX9"}, "compiled for a processor with AVX9, and this has "),
        ({"crnn.height": None}, "not a package that export.py --format aoti wrote"),
        ({"crnn.height": "x"}, "what it says of its pictures makes no sense"),
        ({"crnn.channels": "2"}, "what it says of its pictures makes no sense"),
        ({"crnn.std": "0"}, "what it says of its pictures makes no sense"),
        ({"crnn.characters": "01"}, "the package has not as many characters as classes"),
    ],
)
def test_other_packages_are_refused(built, model, mixed, tmp_path, change, sentence):
    with zipfile.ZipFile(model[1]) as whole, zipfile.ZipFile(tmp_path / "m.pt2", "w") as other:
        for entry in whole.infolist():
            data = whole.read(entry)
            if entry.filename.endswith("_metadata.json"):
                known = json.loads(data) | change
                data = json.dumps({k: v for k, v in known.items() if v is not None}).encode()
            other.writestr(entry.filename, data)
    words = [built / "read_pictures", tmp_path / "m.pt2", mixed[0]]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert sentence in done.stderr


def test_what_is_no_package_is_refused(built, mixed, tmp_path: Path):
    for path, reason in (
        (mixed[0], "not a package that export.py --format aoti wrote"),
        (tmp_path / "gone.pt2", "no such file; export.py --format aoti writes one"),
    ):
        words = [built / "read_pictures", path, mixed[0]]
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [f"{path}: {reason}"]
