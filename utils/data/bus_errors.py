"""A page of a mapped file that cannot be read ends a process by SIGBUS, without a word: here, with
a sentence."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import tell

SIGBUS = int(getattr(signal, "SIGBUS", 0))
"""0 on Windows, which ends the process in its own way."""

SENTENCE = (
    "{}: a page of it cannot be read: the disk fails, or the file was cut while it was in use; "
    "look at it with python -m utils.lmdb check, and go on with --resume"
)


class _Watch:
    """A thread that ends the process when a byte SIGBUS comes: Python's own handlers would wait for
    the instruction that fails, which is tried over and over."""

    def __init__(self) -> None:
        self.process, self.folder = os.getpid(), Path()
        self._read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            if os.read(self._read_end, 1) == bytes([SIGBUS]):
                tell(SENTENCE.format(self.folder))
                os._exit(2)


_watch: _Watch | None = None


@contextmanager
def bus_errors_told(folder: Path) -> Iterator[None]:
    """Inside, such an error of this process ends it with a sentence about the folder, and 2.

    What reads must let other threads run, as lmdb does, which touches each page before it copies.
    Signals belong to the main thread: in another one, nothing is changed.
    """
    global _watch
    if not SIGBUS or threading.current_thread() is not threading.main_thread():
        yield
        return
    if _watch is None or _watch.process != os.getpid():  # threads do not outlive a fork
        _watch = _Watch()
    _watch.folder = folder
    signal.signal(SIGBUS, _nothing)
    try:
        yield
    finally:
        signal.signal(SIGBUS, signal.SIG_DFL)  # where nobody watches, it is to end the process


def _nothing(number: int, frame: object) -> None:
    """Python writes to the wakeup descriptor only where there is a handler."""
