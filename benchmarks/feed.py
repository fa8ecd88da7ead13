"""How fast an LMDB feeds training, beside the same bytes in memory, and in PNG files.

  python -m benchmarks.feed

Captchas are drawn once, as PNG; the same encoded bytes stand in a file each, in one LMDB, and in
memory. Batches come as train.py gets them (`training_batches`: decoded, jittered, scaled, stacked,
in a random order), and nothing else is done with them. `cold`: what the system keeps of the files
in memory is given up before each round (posix_fadvise), so that they come from the disk, on which
the folder for temporary files (TMPDIR) must lie; otherwise they are read once before each round.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.input_pipeline import SPEC
from benchmarks.pictures import recipe_of
from benchmarks.report import Report, in_turn, ratio
from utils.dataset import LMDB_FILE, BadRows, Row, open_dataset
from utils.device import set_threads, usable_cores
from utils.errors import run_script
from utils.options import option, parse


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "rounds, each of which times every way", above=0)
    num_samples: int = option(100_000, "pictures of the set", above=0)
    steps: int = option(200, "batches a round", above=0)
    batch_size: int = option(32, "pictures of a batch", above=0)
    num_workers: tuple[int, ...] = option((0, 2), "worker processes, in turn", least=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


@dataclass(frozen=True)
class Held:
    """An encoded picture in memory, in the place of its file."""

    path: Path
    data: bytes

    def read_bytes(self) -> bytes:
        return self.data


def make_sets(root: Path, count: int) -> dict[str, Sequence[Row]]:
    """The same pictures three times."""
    from utils.data.lmdb_set import read_lmdb
    from utils.data.lmdb_writer import write_lmdb
    from utils.synth.drawing import draw_all, file_name, split_chunks

    recipe = recipe_of("alnum62", 4, 8)
    chunks = split_chunks(root, recipe, {"png": count}, 0, "fast")
    texts = [t for drawn in draw_all(recipe, chunks, usable_cores(), "fast") for t in drawn.texts]
    paths = [root / "png" / file_name(index) for index in range(count)]
    lines = [f"{path.name}\t{text}\n" for path, text in zip(paths, texts, strict=True)]
    (root / "png" / "labels.txt").write_text("".join(lines), encoding="utf-8")
    files = open_dataset(root / "png", BadRows(0)).split("train")
    write_lmdb(root / "lmdb", ((row.picture.read_bytes(), row.label) for row in files))
    held = [
        Row(Held(row.path, row.picture.read_bytes()), row.label, row.where)  # type: ignore[arg-type]
        for row in files
    ]
    return {"memory": held, "LMDB": read_lmdb(root / "lmdb", BadRows(0)), "PNG files": files}


def settle(paths: Sequence[Path], cold: bool) -> None:
    """Have the system hold these files in memory, or give up what it holds of them."""
    from utils.data.lmdb_set import close_all

    close_all()
    gc.collect()
    for path in paths:
        with path.open("rb") as file:
            if cold:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                while file.read(2**20):
                    pass


def rate(
    rows: Sequence[Row], paths: Sequence[Path], workers: int, cold: bool, options: Options
) -> float:
    """Pictures a second."""
    from utils.training.batches import training_batches
    from utils.training.order import EpochBatches
    from utils.training.pictures import TrainingPictures

    settle(paths, cold)
    pictures = TrainingPictures(rows, SPEC, recipe_of("alnum62", 4, 8).charset, 0, color_jitter=0.2)
    epochs = 2 + (options.steps + 4 * workers + 4) * options.batch_size // len(rows)
    order = EpochBatches(len(rows), options.batch_size, epochs, seed=time.time_ns() % 2**32)
    with closing(training_batches(pictures, order, workers)) as batches:
        for _ in range(max(2, 2 * workers)):
            next(batches)
        started = time.perf_counter()
        for _ in range(options.steps):
            next(batches)
        return options.steps * options.batch_size / (time.perf_counter() - started)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(1)
    report = Report("feed", argv, options.output, ["lmdb", "pillow"])
    from utils.data.lmdb_set import close_all

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sets = make_sets(root, options.num_samples)
        size = sum(len(row.picture.read_bytes()) for row in sets["memory"]) / options.num_samples
        ways = [("memory", False), ("LMDB", False), ("LMDB", True)]
        ways += [("PNG files", False), ("PNG files", True)]
        files = {
            "memory": [],
            "LMDB": [root / "lmdb" / LMDB_FILE],
            "PNG files": sorted((root / "png").glob("*.png")),
        }
        if not hasattr(os, "posix_fadvise"):
            ways = [way for way in ways if not way[1]]
        rates = in_turn(
            {
                (name, cold, workers): partial(
                    rate, sets[name], files[name], workers, cold, options
                )
                for workers in options.num_workers
                for name, cold in ways
            },
            options.rounds,
        )
        close_all()  # or Windows could not remove the folder
    report.print(
        f"\n{options.num_samples:,} PNG pictures of {size:,.0f} bytes on average, "
        f"{SPEC.width} x {SPEC.height}; n = {options.rounds} rounds of {options.steps} batches of "
        f"{options.batch_size}, in turn"
    )
    rows = [
        [name + (", cold" if cold else ""), str(workers), f"{statistics.median(values):,.0f}",
         ratio(values, rates["memory", False, workers])]
        for (name, cold, workers), values in rates.items()
    ]  # fmt: skip
    report.table(["from", "workers", "pictures/s (median)", "times memory (min to max)"], rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
