"""One case of a target, which may raise a UserError, and open files of its folder alone: but for
what Python and its packages read of their own. What C code opens by itself is not seen."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from targets import ROOT, Target

from utils.errors import UserError

OWN = tuple(
    str(Path(path).resolve())
    for path in {sys.prefix, sys.base_prefix, str(ROOT), "/usr/lib", "/usr/share", "/lib", "/proc",
                 "/sys", "/dev/null", "/dev/urandom", "/etc/mime.types", *sys.path}
    if path
)  # fmt: skip
_folder: list[str] = []
_elsewhere: list[str] = []
_is_watched: list[bool] = []


def _watch(event: str, arguments: tuple) -> None:
    """Notes what is opened elsewhere: an error raised here might be caught by what is tested."""
    if event != "open" or not _folder or not isinstance(arguments[0], (str, bytes)):
        return
    path, mode, flags = os.fsdecode(arguments[0]), arguments[1] or "", arguments[2] or 0
    full = os.path.realpath(path)
    writes = any(letter in mode for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR)
    own = full == "/dev/null" or (not writes and full.startswith(OWN))
    if not own and not full.startswith(_folder[-1]):
        _elsewhere.append(path)


def run(target: Target, data: bytes, folder: Path) -> None:
    """Raises what is neither expected nor within the folder."""
    if not _is_watched:
        sys.addaudithook(_watch)
        _is_watched.append(True)
    _elsewhere.clear()
    _folder.append(os.path.realpath(folder))
    try:
        with contextlib.suppress(UserError):
            target.read(data, folder)
    finally:
        _folder.clear()
    assert not _elsewhere, f"it opened {_elsewhere}"
