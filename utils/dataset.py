"""Data sets on disk: `open_dataset(path)`, labels.txt, dataset.json, and their checks.

data/{train,val,test}/   pictures (sub-folders too) and labels.txt: `file name<TAB>text`, UTF-8,
                         or an LMDB (utils.data.lmdb_set)
data/dataset.json        what made the set, where generate_data.py did
"""

from __future__ import annotations

import json
import os
from codecs import BOM_UTF8
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from utils.data.rows import BadRows as BadRows
from utils.data.rows import LazyRows as LazyRows
from utils.data.rows import Row as Row
from utils.data.rows import facts as facts
from utils.data.rows import kept as kept
from utils.data.rows import relabelled as relabelled
from utils.errors import UserError
from utils.picture import PictureError, open_picture
from utils.synth.recipes import Recipe, recipe_from_json

SPLITS = ("train", "val", "test")
ALSO_CALLED = {"train": "training", "val": "validation", "test": "evaluation"}
"""As in data_lmdb_release."""


@dataclass(frozen=True)
class DataSet:
    """A root with splits, each a list of rows; `recipe` is None where dataset.json is missing.

    A root that is itself one split stands under every name, and says so in `is_one_split`.
    """

    root: Path
    splits: dict[str, Sequence[Row]]
    recipe: Recipe | None
    is_one_split: bool = False

    def split(self, name: str) -> Sequence[Row]:
        """The rows of a split; UserError where there is none of that name, or it is empty."""
        if name not in self.splits:
            there = [
                called for other in SPLITS for called in (other, ALSO_CALLED[other])
                if (self.root / called).is_dir()
            ]  # fmt: skip
            raise UserError(
                f"{self.root}: no split {name!r} with a labels.txt or an LMDB; it has "
                f"{', '.join(there)} (generate_data.py makes train, val and test)"
            )
        if not self.splits[name]:
            raise UserError(f"{self.root}: the split {name!r} is empty; expected 1 picture or more")
        return self.splits[name]


def open_dataset(path: str | Path, bad_rows: BadRows, only: Sequence[str] = SPLITS) -> DataSet:
    """A root with splits; or one split, which then has every name: a folder with labels.txt, an
    LMDB, or a folder of such sets.

    Reads labels only; `check_pictures` reads the pictures. Rows that cannot be used go to
    `bad_rows`, which the caller settles.
    """
    root = Path(path)
    if not root.is_dir():
        what = "it is a file" if root.exists() else "no such folder"
        raise UserError(f"data root {root}: {what}; make a set with python generate_data.py")
    if is_split(root):
        rows = read_split(root, bad_rows)
        return DataSet(root, dict.fromkeys(only, rows), read_recipe(root.parent), True)
    folders = {
        name: root / called
        for name in SPLITS
        for called in (ALSO_CALLED[name], name)
        if (root / called).is_dir()
    }
    if not folders:
        below = _sets_below(root)
        if not below:
            raise UserError(
                f"data root {root}: no labels.txt, no LMDB and no folder train, val or test is in "
                "it; make a set with python generate_data.py"
            )
        return DataSet(root, dict.fromkeys(only, _joined(root, below, bad_rows)), None, True)
    splits = {}
    for name, folder in folders.items():
        if name in only:
            splits[name] = read_sets(folder, bad_rows)
    return DataSet(root, splits, read_recipe(root))


LMDB_FILE = "data.mdb"


def is_split(folder: Path) -> bool:
    return (folder / "labels.txt").is_file() or (folder / LMDB_FILE).is_file()


def read_sets(folder: Path, bad_rows: BadRows) -> Sequence[Row]:
    """The rows of a split, or of all that lie below a folder, joined."""
    below = [] if is_split(folder) else _sets_below(folder)
    if not below:
        return read_split(folder, bad_rows)
    return _joined(folder, below, bad_rows)


def _joined(root: Path, folders: list[Path], bad_rows: BadRows) -> Sequence[Row]:
    """Sets below a root as one, by their names."""
    from utils.data.joined import JoinedRows

    return JoinedRows(
        {path.relative_to(root).as_posix(): read_split(path, bad_rows) for path in folders}
    )


def _sets_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_dir() and is_split(path))


def read_split(folder: Path, bad_rows: BadRows) -> Sequence[Row]:
    """The rows of a folder with labels.txt, or of an LMDB."""
    if (folder / LMDB_FILE).is_file() and not (folder / "labels.txt").is_file():
        from utils.data.lmdb_set import read_lmdb

        return read_lmdb(folder, bad_rows)
    return read_labels(folder / "labels.txt", bad_rows)


def read_labels(path: Path, bad_rows: BadRows) -> list[Row]:
    """Rows of a labels.txt: LF or CRLF, with or without BOM, blank lines passed over."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected rows of `file name<TAB>text`") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    rows = []
    present = _files_below(path.parent)
    for number, encoded in enumerate(data.removeprefix(BOM_UTF8).split(b"\n"), start=1):
        try:
            line = encoded.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            bad_rows.add(f"{path}:{number}: not UTF-8 ({error.reason}); save the file as UTF-8")
            continue
        if not line.strip():
            continue
        name, tab, label = line.partition("\t")
        relative = PurePosixPath(name.replace("\\", "/"))
        if not tab:
            bad_rows.add(f"{path}:{number}: {line[:40]!r} has no tab; expected file name<TAB>text")
        elif not label:
            bad_rows.add(f"{path}:{number}: {name!r} has an empty label; expected its text")
        elif ".." in relative.parts or relative.is_absolute():
            bad_rows.add(f"{path}:{number}: {name!r} lies outside the folder; move it inside")
        elif str(relative) not in present:
            bad_rows.add(f"{path}:{number}: {name!r} is not in {path.parent}; restore or drop it")
        else:
            rows.append(Row(path.parent / relative, label, f"{path}:{number}"))
    return rows


def _files_below(folder: Path) -> set[str]:
    """Relative names, with /, of every file below a folder: one walk instead of a stat a row."""
    names: set[str] = set()
    for parent, _, files in os.walk(folder, followlinks=True):
        prefix = Path(parent).relative_to(folder).as_posix()
        names.update(files if prefix == "." else (f"{prefix}/{name}" for name in files))
    return names


def check_pictures(rows: Sequence[Row], bad_rows: BadRows) -> Sequence[Row]:
    """The rows whose pictures can be decoded whole; the others go to `bad_rows`, named.

    Those of an LMDB are not looked at: python -m utils.lmdb does, when it makes or checks one.
    """
    if isinstance(rows, LazyRows):
        return rows.checked(bad_rows)

    def problem(row: Row) -> str | None:
        try:
            open_picture(row.picture, 1)
        except PictureError as error:
            return f"{row.where}: {row.path.name}: {error}"
        return None

    with ThreadPoolExecutor() as pool:
        problems = list(pool.map(problem, rows, chunksize=64))
    for sentence in problems:
        if sentence:
            bad_rows.add(sentence)
    return [row for row, sentence in zip(rows, problems, strict=True) if not sentence]


def is_unfinished(root: Path) -> bool:
    """Whether generate_data.py has not drawn all of the set, or not all of its shards, yet."""
    try:
        content = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        return isinstance(content, dict) and content.get("complete") is False
    except (OSError, ValueError, RecursionError):
        return False


def read_recipe(root: Path) -> Recipe | None:
    """The recipe in dataset.json, or None where there is none."""
    path = root / "dataset.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "recipe" not in content:
            return None  # a file of the user's own, that says nothing of drawing
        return recipe_from_json(content["recipe"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a data set's description ({error}); restore it") from None
