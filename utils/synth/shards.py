"""One of several shards of a set, which other machines may draw at the same time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.data.lmdb_writer import write_lmdb
from utils.dataset import LMDB_FILE
from utils.errors import UserError
from utils.files import write_text
from utils.synth.drawing import file_name

FORMATS = ("files", "lmdb")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count`, from 1. Pictures keep the numbers that they have in the whole
    set, so that all shards together are the set, whatever their count."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`3/8`; UserError for anything else."""
        found = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", text)
        if found is None or int(found[1]) > int(found[2]):
            raise UserError(f"--shard {text}: expected I/N, such as 3/8, with I from 1 to N")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number:05d}-of-{self.count:05d}"

    @property
    def others(self) -> list[Shard]:
        """All of them, this one too."""
        return [Shard(number, self.count) for number in range(1, self.count + 1)]

    def indices(self, size: int) -> range:
        """Which pictures of a split are its own."""
        return range(size * (self.number - 1) // self.count, size * self.number // self.count)

    def folder(self, root: Path, split: str) -> Path:
        """Where its pictures of a split go; a set that is not cut has them in the split itself."""
        return root / split / str(self) if self.count > 1 else root / split


@dataclass(frozen=True)
class Place:
    """Where a shard's pictures of a split are drawn, and where they end."""

    split: str
    indices: range
    drawn: Path
    folder: Path
    format: str

    @classmethod
    def of(cls, shard: Shard, root: Path, split: str, size: int, format: str) -> Place:
        folder = shard.folder(root, split)
        drawn = folder.with_name(f".{folder.name}.drawn") if format == "lmdb" else folder
        return cls(split, shard.indices(size), drawn, folder, format)

    @property
    def is_done(self) -> bool:
        return (self.folder / ("labels.txt" if self.format == "files" else LMDB_FILE)).is_file()

    def finish(self, labels: Sequence[str]) -> None:
        """labels.txt, or an LMDB in place of the files."""
        names = [file_name(index) for index in self.indices]
        if self.format == "files":
            rows = [f"{name}\t{label}\n" for name, label in zip(names, labels, strict=True)]
            write_text(self.folder / "labels.txt", "".join(rows))
            return
        write_lmdb(self.folder, self._pictures(names, labels))

    def clear(self) -> None:
        """What was drawn to be packed, and is."""
        if self.drawn != self.folder and self.is_done:
            shutil.rmtree(self.drawn, ignore_errors=True)

    def _pictures(self, names: Sequence[str], labels: Sequence[str]) -> Iterable[tuple[bytes, str]]:
        for name, label in zip(names, labels, strict=True):
            yield (self.drawn / name).read_bytes(), label
