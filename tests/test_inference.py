"""inference.py on one picture and on a folder: what is printed and written, read back."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint
from PIL import Image

import inference
from utils import reading_options
from utils.checkpoint import SHIPPED_MODEL, load_checkpoint, save_checkpoint
from utils.errors import UserError, run_script
from utils.recognizer import Prediction, Recognizer
from utils.show.cases import Case, to_csv, to_jsonl, to_tsv

NAMES = ["img1.png", "img2.jpg", "img10.png", "图片 3.bmp"]  # in natural order


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "a model" / "m.pth")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four good pictures, a bad one, a file that is none, and one more in a sub-folder."""
    folder = tmp_path / "some pictures"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate([*NAMES, "sub/img4.png"]):
        scribble(seed).save(folder / name)
    (folder / "img3.png").write_bytes(b"no picture")
    (folder / "notes.md").write_text("no picture")
    return folder


def run(*arguments: object) -> int:
    return inference.main([*map(str, arguments), "--device", "cpu", "--num_threads", "1"])


def read_folder(model: Path, folder: Path, output: Path, *more: object) -> str:
    batch = ("--mode", "batch", "--image_dir", folder, "--output_path", output)
    assert run("--model_path", model, *batch, *more) == 0
    return output.read_text(encoding="utf-8")


def expected_readings(model: Path, folder: Path, names: list[str]) -> list[tuple]:
    predictions = Recognizer.load(model, "cpu").read([folder / name for name in names])
    return [
        (name, prediction.text, pytest.approx(prediction.confidence, abs=2e-6))
        for name, prediction in zip(names, predictions, strict=True)
    ]


def test_single_prints_text_and_confidence(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
):
    [expected] = Recognizer.load(model, "cpu").read([folder / NAMES[3]])
    assert run("--model_path", model, "--image_path", folder / NAMES[3]) == 0
    line = f"text: {expected.text}   confidence: {expected.confidence:.4f}\n"
    assert capsys.readouterr().out == line
    assert expected.text


def test_single_visualize_saves_a_picture(model: Path, folder: Path, tmp_path: Path):
    single = ("--model_path", model, "--image_path", folder / "img1.png", "--visualize")
    assert run(*single) == 0
    Image.open("output/img1_reading.png").load()
    assert run(*single, "--output_path", tmp_path / "new" / "r.png") == 0
    Image.open(tmp_path / "new" / "r.png").load()


def test_single_takes_a_charset_of_chinese_characters(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
):
    model = write_checkpoint(tmp_path / "m.pth", "天地玄黄宇宙洪荒")
    picture = folder / "img1.png"
    assert run("--model_path", model, "--image_path", picture, "--visualize") == 0
    text = capsys.readouterr().out.split()[1]
    assert set(text) <= set("天地玄黄宇宙洪荒")


def test_single_unreadable_picture(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]):
    single = ("--model_path", model, "--image_path", folder / "img3.png", "--visualize")
    assert run_script(lambda: run(*single)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "img3.png: not a picture that Pillow can read; give another picture" in captured.err
    assert not Path("output").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("gone.png", "no such file"), ("sub", "it is a folder, which --mode batch reads")],
)
def test_single_path_that_is_no_file(name: str, sentence: str, model: Path, folder: Path):
    with pytest.raises(UserError, match=sentence):
        run("--model_path", model, "--image_path", folder / name)


# the model


def test_default_model_is_the_newer_one(folder: Path, capsys: pytest.CaptureFixture[str]):
    pth = write_checkpoint(Path("checkpoints/best.pth"))
    assert run("--image_path", folder / "img1.png") == 0
    assert f"model: {pth}\n" in capsys.readouterr().err
    checkpoint = load_checkpoint(pth)
    newer = Path("checkpoints/best.safetensors")
    save_checkpoint(newer, checkpoint.header, checkpoint.state_dict)
    os.utime(pth, (1, 1))
    assert run("--image_path", folder / "img1.png") == 0
    assert f"model: {newer} (the newer of two)" in capsys.readouterr().err
    os.utime(newer, (0, 0))
    assert run("--image_path", folder / "img1.png") == 0
    assert f"model: {pth} (the newer of two)" in capsys.readouterr().err


def test_without_a_model_of_ones_own_the_shipped_one_reads(
    capsys: pytest.CaptureFixture[str],
):
    example = SHIPPED_MODEL.parents[1] / "examples" / "captcha_1.png"
    assert run("--image_path", example) == 0  # in a folder that is not the project's
    captured = capsys.readouterr()
    assert captured.err == f"model: {SHIPPED_MODEL} (comes with the project)\n"
    assert captured.out.startswith("text: uLZk4EB ")


def test_no_model_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading_options, "SHIPPED_MODEL", tmp_path / "deleted.safetensors")
    with pytest.raises(UserError, match=r"no --model_path .*deleted.* give one, or make one"):
        run("--image_path", folder / "img1.png")


# batch


@pytest.mark.parametrize("ending", [".tsv", ".txt"])
def test_batch_writes_tab_separated_rows_in_natural_order(
    ending: str, model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text = read_folder(model, folder, tmp_path / f"texts{ending}", "--batch_size", 2)
    expected = expected_readings(model, folder, NAMES)
    expected.insert(2, ("img3.png", "", 0.0))
    rows = [line.split("\t") for line in text.splitlines()]
    assert [(name, text, float(confidence)) for name, text, confidence in rows] == expected
    assert len({text for _, text, _ in rows}) == 5
    captured = capsys.readouterr()
    assert "bad: img3.png: not a picture that Pillow can read" in captured.err
    assert captured.out.startswith("read 4 pictures, 1 bad, ")
    assert captured.out.rstrip().endswith(f"pictures/s: {tmp_path / f'texts{ending}'}")


def test_batch_writes_csv(model: Path, folder: Path, tmp_path: Path):
    text = read_folder(model, folder, tmp_path / "texts.csv", "--recursive")
    rows = list(csv.DictReader(text.splitlines()))
    names = [*NAMES[:3], "sub/img4.png", NAMES[3]]
    good = [
        (row["file"], row["text"], float(row["confidence"])) for row in rows if not row["error"]
    ]
    assert good == expected_readings(model, folder, names)
    [bad] = [row for row in rows if row["error"]]
    assert bad["file"] == "img3.png"
    assert bad["text"] == ""
    assert "not a picture" in bad["error"]


def test_batch_writes_json_lines(model: Path, folder: Path, tmp_path: Path):
    text = read_folder(model, folder, tmp_path / "texts.JSONL")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["file"] for row in rows] == [*NAMES[:2], "img3.png", *NAMES[2:]]
    assert NAMES[3] in text  # as it is, not as escapes
    predictions = Recognizer.load(model, "cpu").read([folder / row["file"] for row in rows])
    assert [(row["text"], row["confidence"], row["error"]) for row in rows] == [
        (prediction.text, prediction.confidence, prediction.error) for prediction in predictions
    ]


def test_batch_size_is_what_the_network_gets(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sizes = []
    steps = Recognizer.steps

    def spy(self: Recognizer, pictures: list, whole: bool) -> tuple:
        sizes.append(len(pictures))
        return steps(self, pictures, whole)

    monkeypatch.setattr(Recognizer, "steps", spy)
    read_folder(model, folder, tmp_path / "t.tsv", "--batch_size", 3)
    assert sizes == [2, 2]  # the third of the five pictures is bad


def test_batch_writes_to_output_by_default(model: Path, folder: Path):
    assert run("--model_path", model, "--mode", "batch", "--image_dir", folder) == 0
    assert len(Path("output/predictions.tsv").read_text(encoding="utf-8").splitlines()) == 5


def test_awkward_names_and_texts_stay_one_row():
    names = ["a\tb.png", 'c"d,\n.png', "e\udcff.png"]
    cases = [Case.of(name, Prediction('t\t"', 0.5)) for name in names]
    assert to_tsv(cases).splitlines() == [
        'a\\tb.png\tt\\t"\t0.500000',
        'c"d,\\n.png\tt\\t"\t0.500000',
        'e\\udcff.png\tt\\t"\t0.500000',
    ]
    rows = list(csv.reader(io.StringIO(to_csv(cases), newline="")))
    assert rows[1:] == [[name, 't\t"', "0.500000", "", ""] for name in [*names[:2], "e\\udcff.png"]]
    assert [json.loads(line)["file"] for line in to_jsonl(cases).splitlines()][:2] == names[:2]
    to_jsonl(cases).encode("utf-8")


def test_batch_of_nothing_but_bad_pictures_ends_with_1(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").touch()
    assert run("--model_path", model, "--mode", "batch", "--image_dir", tmp_path / "bad") == 1
    assert "read 0 pictures, 1 bad" in capsys.readouterr().out


def test_batch_folder_without_pictures(model: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no pictures in this folder; --recursive"):
        run("--model_path", model, "--mode", "batch", "--image_dir", tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        run("--model_path", model, "--mode", "batch", "--image_dir", tmp_path / "gone")
