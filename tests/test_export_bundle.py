"""export.py --bundle: a folder that reads far from the project, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint

import export
from utils.errors import UserError
from utils.export.bundle import ROOT, modules, reader_file
from utils.recognizer import Recognizer

ONLY_NAMED = """
import sys

LEFT_OUT = {"torch", "torchvision", "tqdm", "rapidfuzz", "filelock", "safetensors", "captcha",
            "matplotlib"}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a folder elsewhere, with no way to the project's own files, nor to what its
    requirements.txt does not name."""
    (folder / "sitecustomize.py").write_text(ONLY_NAMED, "utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True,
        encoding="utf-8",
    )  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Path]:
    """The folder, and the checkpoint that it was made from."""
    path = write_checkpoint(tmp_path / "m.pth", "甲乙丙丁", spread=3)
    folder = tmp_path / "a far place" / "bundle"
    assert export.main([str(path), "--bundle", str(folder)]) == 0
    return folder, path


def test_a_bundle_reads_by_itself(bundle):
    folder, path = bundle
    names = ["README.md", "LICENSE", "example.png", "model.onnx", "reader.pyz", "requirements.txt"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)
    scribble(7).save(folder / "图 7.png")
    wanted = Recognizer.load(path, "cpu").read([folder / "example.png", folder / "图 7.png"])
    done = run(folder, "reader.pyz", "example.png", "图 7.png")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["example.png", wanted[0].text], ["图 7.png", wanted[1].text],
    ]  # fmt: skip
    assert [float(line[2]) for line in lines] == pytest.approx(
        [prediction.confidence for prediction in wanted], abs=2e-4
    )


def test_its_readme_is_true(bundle):
    folder, path = bundle
    text = (folder / "README.md").read_text("utf-8")
    assert "texts of 4 characters" in text
    assert "80 x 32 pixels, grey" in text
    start = text.index("    import sys")
    code = "\n".join(line[4:] for line in text[start : text.index("Pictures are")].splitlines())
    done = run(folder, "-c", code)
    [wanted] = Recognizer.load(path, "cpu").read([folder / "example.png"])
    assert done.stdout.split()[0] == wanted.text, done.stderr
    needed = [line.split(">")[0] for line in (folder / "requirements.txt").read_text().split()]
    assert needed == ["numpy", "pillow", "onnxruntime"]


def test_what_goes_wrong_with_it_is_told(bundle):
    folder, _ = bundle
    bad = run(folder, "reader.pyz", "gone.png", "example.png")
    assert bad.returncode == 1
    assert "gone.png: no such file" in bad.stderr.splitlines()  # ONNX Runtime may warn, too
    assert "Traceback" not in bad.stderr
    assert bad.stdout.startswith("example.png\t")
    assert run(folder, "reader.pyz").returncode == 2
    assert "Read pictures with the model beside this file" in run(folder, "reader.pyz", "-h").stdout
    (folder / "model.onnx").unlink()
    assert "the model is gone" in run(folder, "reader.pyz", "example.png").stderr


def test_the_reader_holds_what_it_needs_and_no_more():
    names = [path.relative_to(ROOT).as_posix() for path in modules()]
    assert {"utils/recognizer.py", "utils/networks.py", "models/__init__.py"} <= set(names)
    assert not [name for name in names if name.startswith(("utils/training", "utils/synth"))]
    assert reader_file() == reader_file()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path):
    path = write_checkpoint(tmp_path / "m.pth")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="--bundle .*full: there is something in it already"):
        export.main([str(path), "--bundle", str(tmp_path / "full")])
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "m.onnx").exists()  # told before any work
    with pytest.raises(UserError, match="--bundle fights --format ddddocr"):
        export.main([str(path), "--bundle", str(tmp_path / "b"), "--format", "ddddocr"])
