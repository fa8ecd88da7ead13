"""A lock on a folder that only one process is to write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from utils.errors import UserError


@contextmanager
def locked(file: Path, taken: str, patience: float) -> Iterator[None]:
    """Inside, this process holds `file`, which is made where it is missing. The system frees it
    with the process, however that ends. UserError of the sentence `taken` where another one still
    holds it after `patience` seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, is_singleton=False, thread_local=False)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise UserError(taken) from None
    if hasattr(os, "register_at_fork"):  # a worker that outlives this process would keep it
        os.register_at_fork(after_in_child=lambda: _forget(lock))
    try:
        yield
    finally:
        lock.release(force=True)


def _forget(lock: FileLock) -> None:
    """Close a lock in a process that was forked from the one which holds it."""
    descriptor = lock._context.lock_file_fd
    if descriptor is not None:
        os.close(descriptor)
        lock._context.lock_file_fd = None
