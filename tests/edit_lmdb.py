"""Change what stands in an LMDB, for the tests."""

from __future__ import annotations

from pathlib import Path

import lmdb

from utils.data import lmdb_set


def edit(folder: Path, **changes: str | bytes | None) -> None:
    """Set or delete keys, whose hyphens are written as _."""
    lmdb_set.close_all()
    with lmdb.open(str(folder)) as store, store.begin(write=True) as transaction:
        for name, value in changes.items():
            key = name.replace("_", "-").encode()
            if value is None:
                transaction.delete(key)
            else:
                transaction.put(key, value.encode() if isinstance(value, str) else value)
