"""export.py --format ddddocr: the pair that the real ddddocr loads, and reads with."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint

import export
from utils.checkpoint import SHIPPED_MODEL, load_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.export import ddddocr as made
from utils.export.ddddocr import charset_json
from utils.picture import ImageSpec
from utils.recognizer import Recognizer
from utils.text.charset import Charset

EXAMPLES = Path(__file__).parent.parent / "examples"


def texts(onnx: Path, pictures: list[bytes]) -> list[str]:
    from ddddocr import DdddOcr

    reader = DdddOcr(
        det=False, ocr=False, show_ad=False, import_onnx_path=str(onnx),
        charsets_path=str(onnx.with_suffix(".json")),
    )  # fmt: skip
    return [reader.classification(picture) for picture in pictures]


def test_the_shipped_model_reads_its_examples_in_ddddocr(tmp_path: Path, capsys):
    folder = tmp_path / "my models"
    folder.mkdir()
    shutil.copy(SHIPPED_MODEL, folder / "m.safetensors")
    assert export.main([str(folder / "m.safetensors"), "--format", "ddddocr"]) == 0
    output = folder / "m-ddddocr.onnx"
    assert f"charsets_path='{output.with_suffix('.json')}'" in capsys.readouterr().out
    rows = (EXAMPLES / "labels.txt").read_text("utf-8").splitlines()
    names, labels = zip(*(row.split("\t") for row in rows), strict=True)
    found = texts(output, [(EXAMPLES / name).read_bytes() for name in names])
    assert found == list(labels)
    with pytest.raises(UserError, match=r"but not one that export\.py --format onnx"):
        Recognizer.load(output, "cpu")


def test_pictures_that_keep_their_ratio_and_chinese(tmp_path: Path):
    image = ImageSpec(height=32, width=160, keep_ratio=True)
    path = write_checkpoint(tmp_path / "m.pth", "甲乙丙丁", image, spread=3)
    assert export.main([str(path), "--format", "ddddocr"]) == 0
    output = tmp_path / "m-ddddocr.onnx"
    values = json.loads(output.with_suffix(".json").read_text("utf-8"))
    assert values == {"charset": ["", *"甲乙丙丁"], "word": False, "image": [-1, 32], "channel": 1}
    pictures = []
    for width in (40, 64, 160):  # of the height already, so that both scale nothing
        file = io.BytesIO()
        scribble(width, width).save(file, "PNG")
        pictures.append(file.getvalue())
    wanted = [prediction.text for prediction in Recognizer.load(path, "cpu").read(pictures)]
    assert texts(output, pictures) == wanted
    assert any(wanted)


def test_the_size_of_a_fixed_picture_is_told():
    spec = ImageSpec(height=60, width=160, channels=3)
    values = json.loads(charset_json(Charset("ab"), spec))
    assert (values["image"], values["channel"]) == ([160, 60], 3)


def test_what_differs_or_reads_downwards_is_not_written(tmp_path: Path, monkeypatch):
    path = write_checkpoint(tmp_path / "m.pth")
    monkeypatch.setattr(made, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match=r"as ddddocr's file differ by .*; nothing was written"):
        export.main([str(path), "--format", "ddddocr"])
    checkpoint = load_checkpoint(path)
    image = replace(checkpoint.header.image, direction="vertical")
    down = tmp_path / "down.pth"
    save_checkpoint(down, replace(checkpoint.header, image=image), checkpoint.state_dict)
    with pytest.raises(UserError, match="it reads downwards, which ddddocr does not"):
        export.main([str(down), "--format", "ddddocr"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["down.pth", "m.pth"]
