"""A disk of a few KiB, which fills up: a tmpfs in a mount namespace of its own (Linux)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MOUNTED = """
mount -t tmpfs -o size={kib}k tmpfs "$0" && echo ready || exit 1
while read -r size; do mount -o remount,size="$size"k "$0" && echo ready || exit 1; done
"""
"""Ends with its stdin; each line of that is a new size."""


class SmallDisk:
    """A full disk is ENOSPC from the system itself, wherever a script happens to write."""

    def __init__(self, holder: subprocess.Popen[str], folder: Path):
        self._holder = holder
        self.folder = Path(f"/proc/{holder.pid}/root{folder}")  # only in there it is the tmpfs

    def grow(self, kib: int) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.write(f"{kib}\n")
        self._holder.stdin.flush()
        assert self.is_ready(), "it was not resized"

    def is_ready(self) -> bool:
        assert self._holder.stdout is not None
        return self._holder.stdout.readline() == "ready\n"


@contextmanager
def small_disk(place: Path, kib: int) -> Iterator[SmallDisk]:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, of util-linux")
    folder = place / "small disk"
    folder.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    holder = subprocess.Popen(
        [*command, "sh", "-c", MOUNTED.format(kib=kib), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:  # it closes its stdin
        disk = SmallDisk(holder, folder)
        if not disk.is_ready():
            pytest.skip("this system lets nobody mount a disk in a namespace of their own")
        yield disk
