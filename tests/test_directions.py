"""Readers of lines across and down: which of two reads a picture, and pictures that lie wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import inference
from models.config import ModelConfig
from models.registry import build_model
from utils.by_shape import Reader
from utils.checkpoint import Header, load_checkpoint, save_checkpoint
from utils.data.widths import misdirected
from utils.errors import run_script
from utils.export import onnx_file
from utils.picture import ImageSpec
from utils.recognizer import Recognizer
from utils.text.charset import Charset
from utils.text.reading import Decoder


def checkpoint(path: Path, direction: str, seed: int, characters: str = "abc") -> str:
    torch.manual_seed(seed)
    charset = Charset(characters)
    config = ModelConfig("light", charset.num_classes, 32, 1, 16, 1)
    model = build_model(config)
    with torch.no_grad():
        model.head.bias[0] -= 9  # so that it reads something
    spec = ImageSpec(32, 96, mean=(0.5,), std=(0.5,), direction=direction)
    save_checkpoint(path, Header(config, spec, charset), model.state_dict())
    return str(path)


@pytest.fixture
def pair(tmp_path) -> dict[str, str]:
    return {
        name: checkpoint(tmp_path / f"{name} lines.pth", name, seed)
        for seed, name in enumerate(("horizontal", "vertical"))
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, (height, width) in enumerate([(96, 32), (32, 96), (40, 90), (90, 40), (32, 32)]):
        levels = rng.integers(0, 255, (height, width), dtype=np.uint8)
        Image.fromarray(levels).save(folder / f"{index}.png")
    (folder / "5.png").write_bytes(b"not a picture")
    return folder


def flags(pair: dict[str, str]) -> list[str]:
    return [word for name, path in pair.items() for word in (f"--{name}", path)]


def test_each_picture_goes_to_the_reader_for_its_shape(pair, folder, tmp_path, capsys):
    pair["vertical"] = checkpoint(tmp_path / "down.pth", "vertical", 3, "xyz")
    output = tmp_path / "texts.jsonl"
    batch = ["--mode", "batch", "--image_dir", str(folder), "--output_path", str(output)]
    assert inference.main([*batch, *flags(pair)]) == 0
    captured = capsys.readouterr()
    assert "bad: 5.png" in captured.err
    assert "warning" not in captured.err
    found = [json.loads(line)["text"] for line in output.read_text("utf-8").splitlines()]
    across, down = (Recognizer.load(pair[name], "cpu") for name in ("horizontal", "vertical"))
    paths = [folder / f"{index}.png" for index in range(5)]
    wanted = [
        reader.read([path])[0].text
        for reader, path in zip([down, across, across, down, across], paths, strict=True)
    ]
    assert found == [*wanted, ""]
    assert [bool(set("xyz") & set(text)) for text in wanted] == [True, False, False, True, False]
    for path, text in zip(paths, wanted, strict=True):
        assert inference.main(["--image_path", str(path), *flags(pair)]) == 0
        assert capsys.readouterr().out.startswith(f"text: {text} ")
    reader = Reader((across, Decoder(across.charset)), (down, Decoder(down.charset)))
    some = list(reader.stream(paths, 2, 0.0, False))
    assert [each.text for each in some] == wanted


def test_one_of_the_two_may_be_asked_for(pair, folder, tmp_path, capsys):
    output = tmp_path / "texts.jsonl"
    batch = ["--mode", "batch", "--image_dir", str(folder), "--output_path", str(output)]
    assert inference.main([*batch, *flags(pair), "--direction", "vertical"]) == 0
    found = [json.loads(line)["text"] for line in output.read_text("utf-8").splitlines()]
    down = Recognizer.load(pair["vertical"], "cpu")
    assert found[:5] == [each.text for each in down.read(sorted(folder.glob("[0-4].png")))]


def test_a_labelled_set_of_both_shapes_is_scored(pair, folder, tmp_path, capsys):
    (folder / "5.png").unlink()
    across, down = (Recognizer.load(pair[name], "cpu") for name in ("horizontal", "vertical"))
    readers = [down, across, across, down, across]
    texts = [r.read([folder / f"{i}.png"])[0].text or "a" for i, r in enumerate(readers)]
    rows = "".join(f"{index}.png\t{text}\n" for index, text in enumerate(texts))
    (folder / "labels.txt").write_text(rows, encoding="utf-8")
    evaluate = ["--mode", "evaluate", "--data_root", str(folder), *flags(pair)]
    assert inference.main(evaluate) == 0
    output = capsys.readouterr().out
    assert "horizontal lines.pth and " in output
    assert "100.00%" in output
    pair["vertical"] = checkpoint(tmp_path / "other.pth", "vertical", 3, "abcd")
    evaluate = ["--mode", "evaluate", "--data_root", str(folder), *flags(pair)]
    assert run_script(lambda: inference.main(evaluate)) == 2
    assert "their charsets (custom and custom) differ" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda pair: {"horizontal": pair["horizontal"]}, "go together: give both"),
        (lambda pair: {**pair, "model_path": pair["vertical"]}, "fight --model_path"),
        (
            lambda pair: {"horizontal": pair["vertical"], "vertical": pair["horizontal"]},
            "vertical lines.pth: it was trained on vertical lines; change the two",
        ),
    ],
)
def test_a_pair_that_is_none_is_told(pair, folder, change, told, capsys):
    argv = ["--image_path", str(folder / "0.png"), *flags(change(pair))]
    assert run_script(lambda: inference.main(argv)) == 2
    assert told in capsys.readouterr().err


def test_direction_without_two_readers_is_told(pair, folder, capsys):
    argv = ["--image_path", str(folder / "1.png"), "--model_path", pair["horizontal"]]
    assert inference.main([*argv, "--direction", "horizontal"]) == 0
    assert (
        "--direction has no effect without --horizontal and --vertical" in capsys.readouterr().err
    )


def test_pictures_that_lie_otherwise_are_told(pair, folder, capsys):
    for name in ("2.png", "3.png", "4.png", "5.png"):
        (folder / name).unlink()
    for direction, wrong, told in (
        (
            "vertical",
            1,
            "1 of 1 pictures are more than 2 times as wide as high, and this reader reads",
        ),
        ("horizontal", 0, "1 of 1 pictures are more than 2 times as high as wide"),
    ):
        argv = ["--image_path", str(folder / f"{wrong}.png"), "--model_path", pair[direction]]
        assert inference.main(argv) == 0
        assert told in capsys.readouterr().err
        argv[1] = str(folder / f"{1 - wrong}.png")
        assert inference.main(argv) == 0
        assert capsys.readouterr().err == ""
    spec = ImageSpec(direction="vertical")
    tall, wide = str(folder / "0.png"), str(folder / "1.png")
    assert misdirected([tall, wide], spec) == []
    assert "2 of 3 pictures" in misdirected([wide, tall, wide], spec)[0]
    assert "lines like these need one of --direction horizontal" in misdirected([wide], spec)[0]
    assert misdirected([], spec) == []
    batch = ["--mode", "batch", "--image_dir", str(folder), "--model_path", pair["horizontal"]]
    (folder / "1.png").unlink()
    assert inference.main(batch) == 0
    assert "warning: 1 of 1 pictures" in capsys.readouterr().err


def test_exported_readers_read_the_same(pair, folder, tmp_path):
    (folder / "5.png").unlink()
    exported = {}
    for name, path in pair.items():
        exported[name] = str(tmp_path / f"{name}.onnx")
        picture = str(folder / "0.png")
        onnx_file.write_onnx(load_checkpoint(path), Path(exported[name]), [picture])
    texts = []
    for readers in (pair, exported):
        output = tmp_path / "texts.jsonl"
        batch = ["--mode", "batch", "--image_dir", str(folder), "--output_path", str(output)]
        assert inference.main([*batch, *flags(readers)]) == 0
        texts.append([json.loads(row)["text"] for row in output.read_text("utf-8").splitlines()])
    assert texts[0] == texts[1]
    assert any(texts[0])
