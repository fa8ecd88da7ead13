"""Writing labelled pictures into an LMDB, in the layout of utils.data.lmdb_set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from utils.data.lmdb_set import NUM_SAMPLES, image_key, label_key, need_lmdb
from utils.errors import MAKE_ROOM, UserError
from utils.files import whole_folder

FIRST_SIZE = 2**26
"""Bytes of the map of a new one, which doubles when it is full."""

AT_ONCE = 1000
"""Pictures of one transaction."""


def write_lmdb(folder: Path, rows: Iterable[tuple[bytes, str]]) -> int:
    """Encoded pictures and their labels as an LMDB, whole or not at all; returns how many."""
    lmdb = need_lmdb()
    with whole_folder(folder) as temporary, _told(folder):
        count, pairs = 0, iter(rows)
        with lmdb.open(str(temporary), map_size=FIRST_SIZE) as store:
            while some := list(islice(pairs, AT_ONCE)):
                items = {}
                for picture, label in some:
                    count += 1
                    items[image_key(count)] = picture
                    items[label_key(count)] = label.encode("utf-8")
                _put(store, items)
            _put(store, {NUM_SAMPLES: str(count).encode()})
        (temporary / "lock.mdb").unlink(missing_ok=True)
    return count


def _put(store: Any, items: dict[bytes, bytes]) -> None:
    """All of them in one transaction, in a map that grows where it is full."""
    lmdb = need_lmdb()
    while True:
        try:
            with store.begin(write=True) as transaction:
                for key, value in items.items():
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            store.set_mapsize(2 * store.info()["map_size"])


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """UserError for what LMDB cannot write: of a full disk it says only "Input/output error"."""
    try:
        yield
    except need_lmdb().Error as error:
        raise UserError(
            f"{folder}: cannot be written ({error}); look whether the disk is full, and if so, "
            f"{MAKE_ROOM}"
        ) from None
