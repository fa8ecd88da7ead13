"""What a file of weights is, by its content."""

from __future__ import annotations

import zipfile
from pathlib import Path

from utils.errors import UserError


def file_kind(path: str | Path) -> str:
    """`pth`, `safetensors` or `onnx`, by content; UserError for what is none of them."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: it is a folder; expected a .pth, .safetensors or .onnx file")
    if not path.is_file():
        raise UserError(f"{path}: no such file; train.py writes checkpoints/best.pth")
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise UserError(f"{path}: the file is empty (0 bytes); expected a checkpoint")
    if start.startswith(b"PK\x03\x04"):
        if is_compiled(path):
            raise UserError(
                f"{path}: compiled for programs in C++; give the checkpoint it was made from"
            )
        return "pth"
    if start[8:9] == b"{":  # behind the length of the header
        return "safetensors"
    if start.startswith(b"\x08"):  # field 1 of the protobuf: the version of its format
        return "onnx"
    raise UserError(
        f"{path}: neither a .pth nor a .safetensors checkpoint of this project, nor an .onnx file"
    )


def is_compiled(path: Path) -> bool:
    """Whether the zip file is a package of export.py --format aoti."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/archive_format") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def is_packed(path: Path) -> bool:
    """Whether a zip file would come to more bytes than it has; torch packs nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(each.file_size for each in archive.infolist()) > path.stat().st_size
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # torch says what is wrong with it
