"""What reads files of others: each target takes the bytes of one, and may raise a UserError.

Anything else that gets out would be a traceback for a user.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.config import ModelConfig
from utils.checkpoint import Header, load_checkpoint, save_checkpoint, versions
from utils.dataset import BadRows, open_dataset, read_recipe
from utils.options import parse
from utils.picture import ImageSpec, PictureError, open_picture, picture_size, prepare
from utils.synth.captcha import CaptchaRecipe
from utils.text.charset import Charset, preset_charset, read_charset_file
from utils.text.ngram import FORMAT, FORMAT_VERSION, NgramCounts, NgramModel

SPEC = ImageSpec(32, 80)
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Target:
    """`read` takes bytes and an empty folder; `seeds` are what mutations begin with."""

    read: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    share: int = 1
    """How many cases it gets of those that all get, times: quick ones get more."""


def picture(data: bytes, folder: Path) -> None:
    for read in (lambda: picture_size(data), lambda: prepare(data, SPEC)):
        with contextlib.suppress(PictureError):
            read()


def pictures() -> list[bytes]:
    from PIL import Image

    found = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO"):
        for mode in ("L", "RGB", "RGBA", "P"):
            buffer = io.BytesIO()
            image = Image.linear_gradient("L").resize((24, 16)).convert(mode)
            with contextlib.suppress(OSError):  # a mode that this kind has not
                image.save(buffer, kind)
                found.append(buffer.getvalue())
    return found


def labels(data: bytes, folder: Path) -> None:
    (folder / "labels.txt").write_bytes(data)
    (folder / "a.png").touch()
    bad_rows = BadRows(10**9)
    data_set = open_dataset(folder, bad_rows)
    for row in data_set.splits["train"]:
        assert row.path.resolve().parent == folder.resolve(), row


def lmdb_value(data: bytes, folder: Path) -> None:
    """The first byte says which value is replaced."""
    import lmdb

    from utils.data import lmdb_set

    keys = [lmdb_set.image_key(1), lmdb_set.label_key(2), lmdb_set.NUM_SAMPLES]
    key = keys[(data or b"\0")[0] % len(keys)]
    (folder / "set").mkdir()
    (folder / "set" / "data.mdb").write_bytes(sound_lmdb())
    opened = lmdb.open(str(folder / "set"), lock=False, sync=False)
    with opened as store, store.begin(write=True) as change:
        change.put(key, data[1:] or b"x")
    try:
        for row in open_dataset(folder / "set", BadRows(10**9)).splits["train"][:5]:
            with contextlib.suppress(PictureError):
                open_picture(row.picture, 1)
    finally:
        lmdb_set.close_all()


@cache
def sound_lmdb() -> bytes:
    import tempfile

    from utils.data.lmdb_writer import write_lmdb

    with tempfile.TemporaryDirectory() as folder:
        write_lmdb(Path(folder) / "set", [(pictures()[0], "12"), (pictures()[1], "34")])
        return (Path(folder) / "set" / "data.mdb").read_bytes()


def lmdb_values() -> list[bytes]:
    sound_lmdb()  # it is made outside the folder of a case
    return [bytes([key]) + value for key, value in enumerate((pictures()[0], b"34", b"2"))]


def checkpoint(data: bytes, folder: Path) -> None:
    (folder / "model.pth").write_bytes(data)
    load_checkpoint(folder / "model.pth").build()


@cache
def checkpoints(ending: str) -> list[bytes]:
    import tempfile

    from models.registry import build_model

    config = ModelConfig("light", 11, img_height=32, hidden_size=4, num_layers=1)
    header = Header(config, SPEC, preset_charset("digits"), versions=versions())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{ending}"
        training = {"progress": {"epoch": 1}, "options": {}} if ending == ".pth" else None
        save_checkpoint(path, header, build_model(config).state_dict(), training)
        return [path.read_bytes()]


def header(data: bytes, folder: Path) -> None:
    """The text in a checkpoint, and a model by it, of weights that are those of the seed."""
    weights = load_seed()
    found = Header.from_json(data.decode("utf-8", "replace"), "model.pth")
    type(weights)(weights.path, found, weights.state_dict).build()


@cache
def load_seed():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(checkpoints(".safetensors")[0])
        return load_checkpoint(path)


def onnx(data: bytes, folder: Path) -> None:
    from utils.recognizer import Recognizer

    (folder / "model.onnx").write_bytes(data)
    Recognizer.load(folder / "model.onnx", "cpu", 1)


@cache
def onnx_files() -> list[bytes]:
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(checkpoints(".safetensors")[0])
        made = path.with_suffix(".onnx")
        command = [sys.executable, "export.py", str(path), "--output_path", str(made)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return [made.read_bytes()]


def recipe(data: bytes, folder: Path) -> None:
    from utils.training.options import TrainOptions

    (folder / "recipe.toml").write_bytes(data)
    parse(TrainOptions, ["--config", str(folder / "recipe.toml")], "")


def recipes() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.toml"))]


def charset(data: bytes, folder: Path) -> None:
    (folder / "charset.txt").write_bytes(data)
    found = read_charset_file(folder / "charset.txt")
    assert found.decode(found.encode(found.characters)) == found.characters


def language_model(data: bytes, folder: Path) -> None:
    (folder / "texts.json").write_bytes(data)
    model = NgramModel(NgramCounts.load(folder / "texts.json"), Charset("0123456789"))
    model.log_prob("123")


def language_models() -> list[bytes]:
    counts = NgramCounts.of(["12", "123", "904"], "0123456789", 3)
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, **vars(counts)}
    return [json.dumps(content).encode()]


def description(data: bytes, folder: Path) -> None:
    (folder / "dataset.json").write_bytes(data)
    read_recipe(folder)


def descriptions() -> list[bytes]:
    known = CaptchaRecipe("0123456789", "digits", 2, 4, 80, 32).to_json()
    line = {"kind": "line", "characters": "ab", "charset_name": "x", "min_length": 1,
            "max_length": 3, "height": 32, "width": 64, "fonts": [], "corpus": None,
            "direction": "horizontal", "tight": 0.5, "augment": "none"}  # fmt: skip
    return [json.dumps({"recipe": each}).encode() for each in (known, line)]


TARGETS = {
    "picture": Target(picture, pictures, 4),
    "labels": Target(
        labels, lambda: [b"a.png\t12\n../../etc/passwd\tx\n", b"b/../a.png\t1\r\n"], 6
    ),
    "lmdb": Target(lmdb_value, lmdb_values),
    "pth": Target(checkpoint, lambda: checkpoints(".pth"), 2),
    "safetensors": Target(checkpoint, lambda: checkpoints(".safetensors"), 3),
    "header": Target(header, lambda: [load_seed().header.to_json().encode()], 4),
    "onnx": Target(onnx, onnx_files),
    "recipe": Target(recipe, recipes, 2),
    "charset": Target(charset, lambda: ["一\n二\na\n \n".encode(), b"\xef\xbb\xbfa\r\nb"], 10),
    "lm": Target(language_model, language_models, 8),
    "description": Target(description, descriptions, 9),
}  # fmt: skip
