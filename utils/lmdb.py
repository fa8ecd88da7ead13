"""Make, join, check and show data sets in LMDB, the form in which large ones are passed on.

  python -m utils.lmdb make data/train --output_dir data_lmdb/train
  python -m utils.lmdb join MJ ST --output_dir both
  python -m utils.lmdb check data_lmdb/train
  python -m utils.lmdb show data_lmdb/train

Sources are folders with a labels.txt, or LMDBs. Pictures go in as they are, once each has been
decoded to see that it is whole. train.py and inference.py read an LMDB where they read a folder;
one that was damaged on its way can end them without a word, and `check` tells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from utils.data.lmdb_set import need_lmdb, read_through
from utils.data.lmdb_writer import write_lmdb
from utils.data.survey import Survey, look_at, survey_of
from utils.dataset import LMDB_FILE, BadRows, Row, is_split, read_split
from utils.errors import UserError, run_script
from utils.options import option, parse
from utils.picture import open_picture
from utils.show.contact_sheet import write_contact_sheet

COMMANDS = ("make", "join", "check", "show")
SHOWN = 40


@dataclass(frozen=True)
class Options:
    command: str | None = option(None, "what to do", COMMANDS, positional=True)
    sources: tuple[str, ...] = option((), "folders with labels.txt, or LMDBs", positional=True)
    output_dir: str | None = option(None, "make, join: the LMDB to write, a folder of its own")
    output_path: str = option("output/lmdb.png", "show: the picture to write")
    img_width: int = option(160, "check: width that pictures will be scaled to", least=16)
    max_bad_rows: int = option(0, "so many bad rows are left out, named", least=0)
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        found = []
        if self.command is None:
            found.append(f"no command is given; expected one of {', '.join(COMMANDS)}")
        if not self.sources:
            found.append("no source is given; expected a folder with labels.txt, or an LMDB")
        if self.command == "join" and len(self.sources) == 1:
            found.append("join: one source is given; expected two or more, or make")
        if self.command in ("make", "show", "check") and len(self.sources) > 1:
            found.append(f"{self.command}: {len(self.sources)} sources are given; expected one")
        if self.command in ("make", "join"):
            if self.output_dir is None:
                found.append(f"{self.command} needs --output_dir DIR, the LMDB to write")
            elif Path(self.output_dir).exists():
                found.append(f"--output_dir {self.output_dir}: it is there already; choose another")
        return found


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    need_lmdb()
    if options.command == "check":
        check_pages(Path(options.sources[0]))
    bad_rows = BadRows(options.max_bad_rows)
    parts = [rows_of(Path(source), bad_rows) for source in options.sources]
    if options.command == "check":
        return check(parts[0], bad_rows, options)
    bad_rows.check()
    if options.command == "show":
        return show(parts[0], bad_rows, options)
    folder, total = Path(options.output_dir or ""), sum(map(len, parts))

    def good() -> Iterator[tuple[bytes, str]]:
        count = 0
        for row, data, _ in look_at(chain.from_iterable(parts), bad_rows, total):
            count += 1
            yield data, row.label
        bad_rows.settle()
        if not count:
            raise UserError(f"{', '.join(options.sources)}: no picture is in it")

    count = write_lmdb(folder, good())
    print(f"{count:,} pictures: {folder}")
    return 0


def rows_of(source: Path, bad_rows: BadRows) -> Sequence[Row]:
    if not source.is_dir() or not is_split(source):
        raise UserError(f"{source}: neither an LMDB nor a folder with labels.txt; give one")
    return read_split(source, bad_rows)


def check_pages(folder: Path) -> None:
    """UserError where the file is so damaged that reading it ends the process: an LMDB is mapped
    into memory, and a page may point anywhere."""
    if not (folder / LMDB_FILE).is_file():
        return
    reader = get_context("spawn").Process(target=read_through, args=(folder,))
    reader.start()
    reader.join()
    if reader.exitcode:
        raise UserError(
            f"{folder}: damaged: what reads it is ended by the system (exit code "
            f"{reader.exitcode}); copy or make it anew"
        )


def check(rows: Sequence[Row], bad_rows: BadRows, options: Options) -> int:
    """Look at every picture; 1 if something is wrong."""
    survey: Survey = survey_of(rows, bad_rows)
    for sentence in bad_rows.sentences[:50]:
        print(f"bad: {sentence}")
    print(f"{survey.n:,} pictures, {len(bad_rows.sentences):,} bad")
    print(survey.to_text(options.img_width), end="")
    return 1 if bad_rows.sentences else 0


def show(rows: Sequence[Row], bad_rows: BadRows, options: Options) -> int:
    """A contact sheet of some of them."""
    some = rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
    good = [(open_picture(data, 3), row.label) for row, data, _ in look_at(some, bad_rows)]
    bad_rows.settle()
    if not good:
        raise UserError(f"{options.sources[0]}: it has no pictures to show")
    pictures, labels = zip(*good, strict=True)
    write_contact_sheet(options.output_path, pictures, labels)
    print(f"{len(good)} of {len(rows):,} pictures: {options.output_path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
