"""Turn pictures whose labels stand elsewhere into a data set: a CSV, or the pictures' own names.

  python -m utils.import_labels pictures --output_dir data/mine
  python -m utils.import_labels pictures --label_from labels.csv --output_dir data/mine

By name, `x7Rq.png` and `x7Rq_0012.png` are labelled x7Rq: what stands before the last `_` if digits
follow it. A CSV has a column of file names and one of texts (--columns, or the first two). Every
picture is decoded; the set's characters, lengths and sizes, duplicates and what would not fit are
told. Pictures are copied as they are; duplicates go to one split.
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from utils.data.survey import Survey, look_at
from utils.dataset import BadRows, Row
from utils.errors import UserError, run_script
from utils.files import atomic_write, find_pictures, whole_folder, write_text
from utils.options import option, parse
from utils.picture import open_picture
from utils.show.contact_sheet import write_contact_sheet
from utils.synth.description import split_sizes

BY_NAME = "name"
SHOWN = 40


@dataclass(frozen=True)
class Options:
    pictures: str | None = option(None, "folder of pictures, sub-folders too", positional=True)
    label_from: str = option(BY_NAME, "name: the pictures' own; else a CSV file in UTF-8")
    columns: tuple[str, ...] = option((), "of the CSV, file name and text (default: the first two)")
    output_dir: str | None = option(None, "folder of the data set to make")
    split_ratio: tuple[float, ...] = option(
        (0.8, 0.1, 0.1), "shares of train, val and test", least=0, most=1
    )
    seed: int = option(0, "which picture comes into which split is drawn from it", least=0)
    img_width: int = option(160, "width that pictures will be scaled to", least=16)
    max_bad_rows: int = option(0, "so many bad rows are left out, named", least=0)
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        found = []
        if self.pictures is None:
            found.append("no folder of pictures is given")
        if self.output_dir is None:
            found.append("--output_dir DIR is missing, the data set to make")
        elif Path(self.output_dir).is_file() or is_used(Path(self.output_dir)):
            found.append(f"--output_dir {self.output_dir}: it is not empty; choose another")
        if self.columns and (len(self.columns) != 2 or self.label_from == BY_NAME):
            found.append("--columns: expected two names, and --label_from FILE.csv")
        if len(self.split_ratio) != 3 or abs(sum(self.split_ratio) - 1) > 1e-6:
            found.append(
                f"--split_ratio {' '.join(map(str, self.split_ratio))}: expected three shares that "
                "add up to 1"
            )
        return found


def is_used(folder: Path) -> bool:
    """Whether there is something in it, or somebody: the folder that the command was called in."""
    return folder.is_dir() and (any(folder.iterdir()) or folder.resolve() == Path.cwd())


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    folder, output = Path(options.pictures or ""), Path(options.output_dir or "")
    bad_rows = BadRows(options.max_bad_rows)
    if options.label_from == BY_NAME:
        rows = [
            Row(path, label_of(path), str(path)) for path in find_pictures(folder, recursive=True)
        ]
    else:
        rows = rows_of_csv(Path(options.label_from), folder, options.columns, bad_rows)
    rows = nameable(rows, folder, bad_rows)
    survey, groups = Survey(), dict[bytes, list[Row]]()
    for row, data, size in look_at(rows, bad_rows, len(rows)):
        digest = hashlib.sha256(data).digest()
        survey.add(row, size, digest)
        groups.setdefault(digest, []).append(row)
    bad_rows.settle()
    if not survey.n:
        raise UserError(f"{folder}: not one labelled picture can be read; mend or choose others")
    splits = split_groups(list(groups.values()), options.split_ratio, options.seed)
    with whole_folder(output) as temporary:
        for name, members in splits.items():
            write_split(temporary / name, folder, members)
        shown = [row for members in splits.values() for row in members][:SHOWN]
        pictures = [open_picture(row.picture, 3) for row in shown]
        write_contact_sheet(temporary / "samples.png", pictures, [row.label for row in shown])
    print(survey.to_text(options.img_width), end="")
    counts = ", ".join(f"{name} {len(members):,}" for name, members in splits.items())
    print(f"{survey.n:,} pictures ({counts}): {output}, with samples.png")
    return 0


def label_of(path: Path) -> str:
    """`x7Rq_0012.png` -> x7Rq, `x7Rq.png` too."""
    match = re.fullmatch(r"(.+)_\d+", path.stem)
    return match[1] if match else path.stem


def rows_of_csv(path: Path, folder: Path, columns: Sequence[str], bad_rows: BadRows) -> list[Row]:
    """Rows of a CSV with commas, semicolons or tabs. Its first line is a header unless its first
    word ends as pictures do."""
    table = read_table(path, folder)
    places, header = [0, 1], table[0][1]
    if columns:
        missing = [name for name in columns if name not in header]
        if missing:
            raise UserError(
                f"--columns {missing[0]}: {path} has {', '.join(header)}; choose two of these"
            )
        places = [header.index(name) for name in columns]
    if columns or not is_picture_name(header[0]):
        print(f"header of {path}: {', '.join(header)[:200]}")
        table = table[1:]
    found = []
    for number, cells in table:
        where = f"{path}:{number}"
        if len(cells) <= max(places):
            bad_rows.add(f"{where}: {len(cells)} columns; expected {max(places) + 1} or more")
            continue
        name, label = (cells[place] for place in places)
        relative = Path(name.replace("\\", "/"))
        if not label:
            bad_rows.add(f"{where}: {name[:80]!r} has no text; expected one")
        elif relative.is_absolute() or ".." in relative.parts:
            bad_rows.add(f"{where}: {name[:80]!r} lies outside {folder}; move it inside")
        elif not is_there(folder / relative):
            bad_rows.add(f"{where}: {name[:80]!r} is not in {folder}; restore or drop it")
        else:
            found.append(Row(folder / relative, label, where))
    return found


def read_table(path: Path, folder: Path) -> list[tuple[int, list[str]]]:
    """The lines of a CSV by their numbers, cut so that most first words are pictures there."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"--label_from {path}: no such file, and not {BY_NAME!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--label_from {path}: cannot be read as UTF-8 ({error})") from None

    def cut(delimiter: str) -> list[tuple[int, list[str]]]:
        lines = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
        )
        found = []
        for cells in lines:
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise UserError(
                    f"{path}:{lines.line_num}: a quote that was opened before ends here only; "
                    "expected one picture a line"
                )
            if cells:
                found.append((lines.line_num, cells))
        return found

    def known(delimiter: str) -> tuple[int, int]:
        words = [line.partition(delimiter)[0].strip(' "') for line in text.splitlines()[:200]]
        there = sum(is_there(folder / word.replace("\\", "/")) for word in words)
        return there, text.count(delimiter)

    try:
        table = cut(max(",;\t", key=known))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV that can be read ({error}); is a quote open?") from None
    if not table:
        raise UserError(f"--label_from {path}: it is empty; expected file names and texts")
    return table


def is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a file could have
        return False


def is_picture_name(name: str) -> bool:
    Image.init()
    return Path(name.replace("\\", "/")).suffix.lower() in Image.EXTENSION


def nameable(rows: list[Row], folder: Path, bad_rows: BadRows) -> list[Row]:
    """The rows whose file names can stand in a labels.txt; the others go to `bad_rows`."""
    good = []
    for row in rows:
        name = row.path.relative_to(folder).as_posix()
        shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != name or any(ch in name for ch in "\t\n\r\\"):
            bad_rows.add(f"{shown!r}: a name that no labels.txt can hold; rename it")
        else:
            good.append(row)
    return good


def split_groups(
    groups: list[list[Row]], ratio: tuple[float, ...], seed: int
) -> dict[str, list[Row]]:
    """Shuffled, each group whole in one split; splits without a share are left out."""
    random.Random(seed).shuffle(groups)
    splits, start = {}, 0
    for name, size in split_sizes(len(groups), ratio).items():
        members = [row for group in groups[start : start + size] for row in group]
        start += size
        if members:
            splits[name] = members
    return splits


def write_split(folder: Path, source: Path, rows: list[Row]) -> None:
    """Copies of the pictures under their names below `source`, and labels.txt."""
    lines = []
    for row in rows:
        name = row.path.relative_to(source)
        with atomic_write(folder / name, flushed=False) as file:
            file.write(row.picture.read_bytes())
        lines.append(f"{name.as_posix()}\t{row.label}\n")
    write_text(folder / "labels.txt", "".join(lines))


if __name__ == "__main__":
    sys.exit(run_script(main))
