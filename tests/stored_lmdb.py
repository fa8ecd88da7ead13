"""utils.lmdb as a user calls it, and the rows of an LMDB."""

from __future__ import annotations

from pathlib import Path

import utils.lmdb
from utils.data.lmdb_set import LmdbRows, read_lmdb
from utils.dataset import BadRows


def call(*words: object) -> int:
    return utils.lmdb.main([str(word) for word in words])


def rows_of(folder: Path, allowed: int = 0) -> LmdbRows:
    bad_rows = BadRows(allowed)
    rows = read_lmdb(folder, bad_rows)
    bad_rows.settle()
    return rows
