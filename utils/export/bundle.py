"""A folder that reads by itself: model, a reader in one file, what it needs, how to use it."""

from __future__ import annotations

import ast
import io
import shutil
import zipfile
from pathlib import Path

from models import __version__
from utils.checkpoint import Header
from utils.errors import UserError
from utils.files import check_output_file, whole_folder
from utils.picture import Source, open_picture

ROOT = Path(__file__).parent.parent.parent
MAIN = ROOT / "utils" / "export" / "bundle_main.py"
NEEDED = ("numpy", "pillow", "onnxruntime")

README = """\
# A reader of pictures of text

`model.onnx` and a reader in one file, of the project CRNN reader {version}. Made for {charset}.

    python -m venv .venv
    .venv/bin/pip install -r requirements.txt
    .venv/bin/python reader.pyz example.png

prints a line for each picture: its name, the text, and the probability of the text. On Windows it
is `.venv\\Scripts\\python`. From Python:

    import sys; sys.path.insert(0, "reader.pyz")
    from utils.recognizer import Recognizer
    for prediction in Recognizer.load("model.onnx").read(["example.png"]):
        print(prediction.text, prediction.confidence)

Pictures are scaled to {width} x {height} pixels, {channels}. For systems that you own or are
entitled to test. The code is under the Apache License 2.0, see LICENSE.
"""


def modules() -> list[Path]:
    """The project's files that the reader needs: what is imported at the top of what it imports."""
    found: list[Path] = []
    waiting = [MAIN]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.append(path)
        for node in ast.parse(path.read_text("utf-8")).body:
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in ("utils", "models"):
                    waiting += _files_of(name)
    return sorted(set(found) - {MAIN})


def _files_of(name: str) -> list[Path]:
    """A module's own file, and the packages around it."""
    parts = name.split(".")
    places = [ROOT.joinpath(*parts[:count]) / "__init__.py" for count in range(1, len(parts) + 1)]
    return [path for path in [*places, ROOT.joinpath(*parts).with_suffix(".py")] if path.is_file()]


def reader_file() -> bytes:
    """An archive that Python runs, the same bytes whenever it is made."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [MAIN, *modules()]:
            name = "__main__.py" if path == MAIN else path.relative_to(ROOT).as_posix()
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return b"#!/usr/bin/env python3\n" + data.getvalue()


def check_bundle_folder(folder: Path) -> None:
    """UserError where it cannot come to stand, or there is something already."""
    if folder.resolve() == Path.cwd():
        raise UserError(f"{folder}: it is the folder that this runs in; give a new one")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: there is something in it already; give a new folder")
    check_output_file(folder / "model.onnx")


def write_bundle(folder: Path, model: Path, header: Header, example: Source) -> None:
    """With one picture as an example."""
    image, charset = header.image, header.charset
    told = README.format(
        version=__version__,
        charset=f"texts of {len(charset)} characters ({charset.name})",
        width=f"up to {image.width}" if image.keep_ratio else image.width,
        height=image.height,
        channels="grey" if image.channels == 1 else "RGB",
    )
    needed = [
        line
        for line in (ROOT / "requirements-deploy.txt").read_text("utf-8").splitlines()
        if line.startswith(NEEDED)
    ]
    with whole_folder(folder) as made:
        shutil.copy(model, made / "model.onnx")
        open_picture(example, 3).save(made / "example.png")
        shutil.copy(ROOT / "LICENSE", made)
        (made / "reader.pyz").write_bytes(reader_file())
        (made / "requirements.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")
        (made / "README.md").write_text(told, encoding="utf-8")
