"""Labelled pictures in an LMDB, in the layout that the field shares.

`num-samples` holds their number n as text, `image-000000001` to n an encoded picture each, and
`label-000000001` to n its text in UTF-8. The package lmdb is installed apart:
requirements-lmdb.txt.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.dataset import LMDB_FILE, BadRows, LazyRows, Row
from utils.errors import UserError
from utils.picture import PictureError

NUM_SAMPLES = b"num-samples"


def image_key(index: int) -> bytes:
    return b"image-%09d" % index


def label_key(index: int) -> bytes:
    return b"label-%09d" % index


def need_lmdb() -> Any:
    """The package; UserError names the pip line."""
    try:
        import lmdb
    except ImportError:
        raise UserError(
            "the package lmdb is missing; run pip install -r requirements-lmdb.txt"
        ) from None
    return lmdb


_environments: dict[str, Any] = {}
"""Open ones of this process, by every name that they were asked for."""


def close_all() -> None:
    """What was opened before a fork must not be used after it."""
    for opened in _environments.values():
        opened.close()
    _environments.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=close_all)


def environment(folder: Path) -> Any:
    """The LMDB of a folder, open to read; UserError where it is none."""
    name = str(folder)
    if name not in _environments:
        place = str(folder.resolve())
        if place not in _environments:
            _environments[place] = _opened(folder)
        _environments[name] = _environments[place]
    return _environments[name]


def _opened(folder: Path) -> Any:
    lmdb = need_lmdb()
    try:
        opened = lmdb.open(
            str(folder), readonly=True, lock=False, readahead=False, max_spare_txns=64
        )
    except (lmdb.Error, OSError) as error:
        raise UserError(
            f"{folder}: not an LMDB that can be opened ({error}); copy or make it anew"
        ) from None
    # It is mapped into memory: to read past its end would end the process.
    least = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    size = (folder / LMDB_FILE).stat().st_size
    if size < least:
        opened.close()
        raise UserError(
            f"{folder}: truncated, {size:,} bytes where it needs {least:,}; copy it anew"
        )
    return opened


def value_of(folder: Path, key: bytes) -> bytes | None:
    """UserError where the file is damaged."""
    lmdb = need_lmdb()
    try:
        with environment(folder).begin() as transaction:
            return transaction.get(key)
    except lmdb.Error as error:
        raise UserError(f"{folder}: damaged at {key.decode()} ({error}); copy it anew") from None


def read_through(folder: Path) -> None:
    """Read every entry, for nothing: damage may end the process, so this one is to be spared. What
    raises instead is told elsewhere."""
    with suppress(UserError, need_lmdb().Error), environment(folder).begin() as transaction:
        for _, value in transaction.cursor():
            zlib.crc32(value)


@dataclass(frozen=True, slots=True)
class LmdbPicture:
    """One picture of an LMDB; opened where and when it is read, so that it travels to workers."""

    folder: Path
    index: int

    @property
    def path(self) -> Path:
        """What it is called: no file has that name."""
        return self.folder / image_key(self.index).decode()

    def read_bytes(self) -> bytes:
        """PictureError where there is none."""
        try:
            value = value_of(self.folder, image_key(self.index))
        except UserError as error:
            raise PictureError(str(error)) from None
        if value is None:
            raise PictureError(f"{self.folder} has no {image_key(self.index).decode()}")
        return value


class LmdbRows(LazyRows):
    """Rows of an LMDB: labels lie side by side in one array, and a Row is made when it is asked
    for, so that ten million of them fit into memory and travel to workers."""

    def __init__(self, folder: Path, indices: np.ndarray, ends: np.ndarray, text: bytes):
        self.folder = folder
        self._indices, self._ends, self._text = indices, ends, text

    @classmethod
    def of(cls, folder: Path, labels: Iterator[tuple[int, str]]) -> LmdbRows:
        """From (index, label) pairs."""
        indices, ends, parts, end = [], [0], [], 0
        for index, label in labels:
            encoded = label.encode("utf-8")
            end += len(encoded)
            indices.append(index)
            ends.append(end)
            parts.append(encoded)
        return cls(folder, np.array(indices, np.int32), np.array(ends, np.int64), b"".join(parts))

    def __len__(self) -> int:
        return len(self._indices)

    def row(self, place: int) -> Row:
        index = int(self._indices[place])
        label = self._text[self._ends[place] : self._ends[place + 1]].decode("utf-8")
        where = f"{self.folder}: {label_key(index).decode()}"
        return Row(LmdbPicture(self.folder, index), label, where)

    def fingerprint(self, root: Path) -> list[object]:
        parts = (self._indices.tobytes(), self._ends.tobytes(), self._text)
        return [hashlib.sha256(part).hexdigest() for part in parts]

    def __iter__(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def kept(self, mask: np.ndarray) -> LmdbRows:
        places = np.flatnonzero(mask)
        rows = map(self.row, places.tolist())
        pairs = zip(self._indices[places].tolist(), rows, strict=True)
        return LmdbRows.of(self.folder, ((index, row.label) for index, row in pairs))

    def relabelled(self, change: Callable[[str], str]) -> LmdbRows:
        pairs = zip(self._indices.tolist(), self, strict=True)
        changed = ((index, change(row.label)) for index, row in pairs)
        return LmdbRows.of(self.folder, ((index, label) for index, label in changed if label))


def read_lmdb(folder: Path, bad_rows: BadRows) -> LmdbRows:
    """Every row that has a label; the others go to `bad_rows`. Pictures are not looked at."""
    count = count_of(folder)

    def labels() -> Iterator[tuple[int, str]]:
        with environment(folder).begin() as transaction:
            for index in range(1, count + 1):
                value = transaction.get(label_key(index))
                where = f"{folder}: {label_key(index).decode()}"
                if value is None:
                    bad_rows.add(f"{where}: missing, and num-samples says {count:,}; make it anew")
                    continue
                try:
                    label = value.decode("utf-8")
                except UnicodeDecodeError as error:
                    bad_rows.add(f"{where}: not UTF-8 ({error.reason}); make it anew")
                    continue
                if label:
                    yield index, label
                else:
                    bad_rows.add(f"{where}: an empty label; expected its text")
            for key in _beyond(transaction, count):
                bad_rows.add(
                    f"{folder}: {key.decode()}: beyond num-samples, which says {count:,}; make the "
                    "set anew"
                )

    lmdb = need_lmdb()
    try:
        return LmdbRows.of(folder, labels())
    except lmdb.Error as error:
        raise UserError(f"{folder}: damaged ({error}); copy or make it anew") from None


def _beyond(transaction: Any, count: int) -> Iterator[bytes]:
    """Keys of labels that num-samples leaves out."""
    cursor = transaction.cursor()
    found = cursor.set_range(label_key(count + 1))
    while found and cursor.key().startswith(b"label-"):
        yield bytes(cursor.key())
        found = cursor.next()


def count_of(folder: Path) -> int:
    """What num-samples says."""
    value = value_of(folder, NUM_SAMPLES)
    if value is None or not value.isdigit() or int(value) > 999_999_999:
        said = "no num-samples" if value is None else f"num-samples {value[:20]!r}"
        raise UserError(
            f"{folder}: {said}; expected num-samples, image-000000001, label-000000001, ..., which "
            "python -m utils.lmdb make writes"
        )
    count, entries = int(value), environment(folder).stat()["entries"]
    if count >= entries:
        raise UserError(
            f"{folder}: num-samples says {count:,}, and it has {entries - 1:,} other entries; "
            "expected two for each; copy or make it anew"
        )
    return count
