"""Writing files whole or not at all, and listing pictures in a natural order."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from utils.errors import DISK_ERRORS, UserError


@contextmanager
def atomic_write(
    path: str | Path, flushed: bool = True, keep_as: Path | None = None
) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` only when it is complete and flushed to disk.

    Written beside it under a temporary name and renamed; an error leaves nothing behind, a kill
    at most the temporary file. `flushed=False` is for many small files that can be made again:
    it saves a wait for the disk on each, and only a power cut can then leave one incomplete. A file
    that stood under `path` is renamed to `keep_as`; between the two a kill leaves only that one.
    """
    path = Path(path)
    check_output_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of several machines may have the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            if flushed:
                file.flush()
                os.fsync(file.fileno())
        if keep_as is not None and path.exists():
            os.replace(path, keep_as)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        names = None, str(temporary)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS and error.filename in names:
            error.filename = str(path)  # what a user is told
        raise


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of `atomic_write` that a kill left in a folder."""
    for temporary in folder.glob(".*.[0-9]*.tmp"):
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes its own name at the end; an error leaves nothing behind. What an
    earlier one left that was killed is removed."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.[0-9]*.tmp"):
        if not is_running(int(left.suffixes[-2][1:])):
            shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.is_dir():
            folder.rmdir()  # an empty one; of another, this is an error
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def is_running(process: int) -> bool:
    """Whether there is a process of that number; always, where that cannot be asked."""
    if os.name == "nt":
        return True  # there a signal would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_text(path: str | Path, text: str) -> None:
    """UTF-8 with LF line ends, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_output_file(path: str | Path) -> None:
    """UserError where a file cannot come to stand under that name."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: it is a folder; give the name of a file")
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise UserError(f"{path}: {parent} is a file, not a folder; choose another path")


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts img2 before img10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def find_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Every file with a name that Pillow reads, in natural order; UserError where there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; expected a folder with pictures")
    Image.init()
    suffixes = {suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    found = (path for path in (folder.rglob("*") if recursive else folder.iterdir()))
    pictures = [path for path in found if path.suffix.lower() in suffixes and path.is_file()]
    if not pictures:
        deeper = "" if recursive else "; --recursive also looks into its sub-folders"
        raise UserError(f"{folder}: no pictures in this folder{deeper}")
    return sorted(sorted(pictures), key=natural_key)  # img01 and img1 have the same natural key
