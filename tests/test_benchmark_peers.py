"""The comparison with other readers, by stand-ins of the same interfaces."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from benchmark_tables import run
from lively import scribble

from benchmarks import peers, readers
from benchmarks.pictures import draw_folder, recipe_of
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.export.onnx_file import write_onnx


@pytest.fixture
def fake_ddddocr(monkeypatch, tmp_path):
    """A module of that name that reads every picture right, in lower case, but for the digit 7."""
    labels = {}
    for preset, shortest, longest in (("alnum62", 4, 8), ("digits", 4, 4)):
        recipe = recipe_of(preset, shortest, longest)
        for path, label in draw_folder(tmp_path / preset, recipe, 6, 3):
            labels[path.read_bytes()] = label

    class DdddOcr:
        def __init__(self, show_ad: bool, beta: bool):
            self.beta = beta

        def set_ranges(self, characters: str) -> None:
            assert characters in (recipe_of("alnum62", 1, 1).characters, "0123456789")

        def classification(self, data: bytes) -> str:
            if self.beta:
                raise ValueError("a | b")
            return " " + labels[data].lower()

    model = tmp_path / "common_old.onnx"
    model.write_bytes(bytes(2_500_000))
    fake = SimpleNamespace(DdddOcr=DdddOcr, __file__=str(tmp_path / "__init__.py"))
    monkeypatch.setitem(sys.modules, "ddddocr", fake)
    return labels


def test_peers(tiny_checkpoint, fake_ddddocr, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "captix", None)  # as if it were not installed
    letters, digits = run(
        peers.main, "peers", capsys, "--model_path", str(tiny_checkpoint), "--n", "6",
        "--timed", "2", "--seed", "3", "--only", "ddddocr", "**this", "captix",
    )  # fmt: skip
    lower = sum(label == label.lower() for label in fake_ddddocr.values() if not label.isdigit())
    version, size, exact, ignoring_case, characters, *times = letters["ddddocr, set_ranges"]
    assert (size, exact, ignoring_case) == ("2.5", f"{lower / 6:.1%}", "100.0%")
    assert 0 < float(characters.rstrip("%")) < 100
    assert all(float(ms) >= 0 for ms in times)
    assert digits["ddddocr"][2:5] == ["100.0%"] * 3
    assert "failed on 6, such as ValueError: a / b" in digits["ddddocr, beta"][0]
    assert digits["ddddocr, beta"][2] == "0.0%"
    assert {"**this project**, PyTorch", "**this project**, ONNX"} <= set(digits)
    assert digits["captix"][0] == "not installed: `pip install captix`"


def test_onnx_sessions_get_threads_and_only_in_here(tiny_checkpoint, tmp_path):
    import onnxruntime

    path = tmp_path / "model.onnx"
    write_onnx(load_checkpoint(tiny_checkpoint), path, [scribble(0)])
    counts = []
    for threads in (1, None):
        with readers.onnx_threads(threads):
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        counts.append(session.get_session_options().intra_op_num_threads)
    with readers.onnx_threads(1):
        pass
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    counts.append(session.get_session_options().intra_op_num_threads)
    assert counts == [1, 0, 0]


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "1.png"
    path.write_bytes(b"picture")
    return path


@pytest.mark.parametrize("detect", [True, False])
def test_rapidocr_is_used_whole_or_for_recognition_only(detect, picture):
    class RapidOCR:
        def __init__(self, params: dict):
            assert params["EngineConfig.onnxruntime.intra_op_num_threads"] == 1

        def __call__(self, data: bytes, **use: bool) -> SimpleNamespace:
            assert use == {"use_det": detect, "use_cls": detect, "use_rec": True}
            return SimpleNamespace(txts=("ab", data.decode()) if detect else None)

    read = readers.start_rapidocr(SimpleNamespace(RapidOCR=RapidOCR), "ab", 1, detect)
    assert read(picture) == ("abpicture" if detect else "")


def test_captcha_whisperer_is_told_the_threads(picture):
    class CaptchaRecognizer:
        def __init__(self, threads: int | None):
            self.threads = threads

        def recognize_bytes(self, data: bytes) -> dict[str, str]:
            return {"text": f"{data.decode()} {self.threads}"}

    module = SimpleNamespace(CaptchaRecognizer=CaptchaRecognizer)
    assert readers.start_whisperer(module, "ab", 1)(picture) == "picture 1"


def test_captix_is_told_the_characters(picture):
    def decrypt(path: Path, model: str, mask: list[str]) -> list[str]:
        return [f"{path.name} {model} {mask} {torch.get_num_threads()}"]

    before = torch.get_num_threads()
    module = SimpleNamespace(from_pretrained=lambda: "weights", decrypt=decrypt)
    assert readers.start_captix(module, "ab", 1)(picture) == "1.png weights ['a', 'b'] 1"
    torch.set_num_threads(before)
    with pytest.raises(UserError, match="could not be downloaded .*AttributeError"):
        readers.start_captix(SimpleNamespace(), "ab", 1)


def test_tesseract_is_told_the_characters_and_the_threads(picture, monkeypatch):
    def run(command: list[str], env: dict[str, str], **_: object) -> SimpleNamespace:
        return SimpleNamespace(stdout=f"{command[1:]} {env['OMP_THREAD_LIMIT']}")

    monkeypatch.setattr(readers.subprocess, "run", run)
    text = readers.start_tesseract("tesseract", "ab", 1)(picture)
    words = ["--psm", "8", "-c", "tessedit_char_whitelist=ab"]
    assert text == f"{[str(picture), 'stdout', *words]} 1"
