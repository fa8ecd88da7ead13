"""What one training batch costs to prepare: PNG files, the package's captchas, the fast renderer's.

  python -m benchmarks.input_pipeline

Batches come as train.py gets them (`training_batches`), with 0 (in this process, one thread) or
more workers, and nothing else is done with them. Workers have a lower priority than this process,
as in training: on a busy machine they wait. The first block of each, for which they start, does not
count; a block is a batch, or several where the fast renderer draws them together, and a round is of
whole blocks. Files were written just before, so that they come from the page cache.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.pictures import draw_folder, recipe_of
from benchmarks.report import Report, in_turn, ratio
from utils.dataset import Row
from utils.device import set_threads
from utils.errors import run_script
from utils.options import option, parse
from utils.picture import ImageSpec

if TYPE_CHECKING:
    from utils.training.pictures import TrainingPictures

SPEC = ImageSpec(60, 160, 1, (0.9,), (0.2,))
"""What train.py has pictures prepared as, unless it is told otherwise."""


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "rounds, each of which times every way", above=0)
    steps: int = option(30, "batches a round", above=0)
    batch_size: int = option(32, "pictures of a batch", above=0)
    num_samples: int = option(1000, "PNG files", above=0)
    num_workers: tuple[int, ...] = option((0, 1, 2), "worker processes, in turn", least=0)
    color_jitter: float = option(0.2, "of the files, as in train.py", least=0, most=1)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def sources(folder: Path, options: Options) -> dict[str, TrainingPictures]:
    """Training pictures by where they come from, one epoch of which is enough for a round."""
    from utils.training.pictures import TrainingPictures

    recipe = recipe_of("alnum62", 4, 8)
    files = draw_folder(folder, recipe, options.num_samples, 0)
    wanted = (options.steps + max(1, *options.num_workers)) * options.batch_size
    files = (files * (wanted // len(files) + 1))[:wanted]
    rows = [Row(path, label, str(path)) for path, label in files]
    make = partial(TrainingPictures, rows, SPEC, recipe.charset, seed=0)
    return {
        "PNG files": make(color_jitter=options.color_jitter),
        "fresh, package": make(recipe=recipe, fresh=1.0, renderer="package"),
        "fresh, fast": make(recipe=recipe, fresh=1.0, renderer="fast"),
    }


def ms_a_batch(pictures: TrainingPictures, num_workers: int, options: Options) -> float:
    """Milliseconds until the next batch is there, mean over the steps of a round."""
    from utils.training.batches import training_batches
    from utils.training.order import EpochBatches

    at_once = pictures.steps_at_once(options.batch_size)
    before = at_once * max(1, num_workers)  # the first block of each worker
    steps = -(-options.steps // at_once) * at_once  # whole blocks
    order = EpochBatches((before + steps) * options.batch_size, options.batch_size, 1, seed=0)
    with closing(training_batches(pictures, order, num_workers)) as batches:
        for _ in range(before):
            next(batches)
        started = time.perf_counter()
        for _ in range(steps):
            next(batches)
        return (time.perf_counter() - started) / steps * 1000


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(1)
    report = Report("input_pipeline", argv, options.output, ["captcha", "pillow"])
    with tempfile.TemporaryDirectory() as folder:
        times = in_turn(
            {
                (name, workers): partial(ms_a_batch, pictures, workers, options)
                for name, pictures in sources(Path(folder), options).items()
                for workers in options.num_workers
            },
            options.rounds,
        )
    report.print(
        f"\nbatches of {options.batch_size}, {SPEC.width} x {SPEC.height}, grey; "
        f"n = {options.rounds} rounds of {options.steps} batches, in turn"
    )
    rows = []
    for (name, workers), values in times.items():
        median = statistics.median(values)
        rate = f"{options.batch_size / median * 1000:,.0f}"
        base = times["PNG files", workers]
        rows.append([name, str(workers), f"{median:.1f}", rate, ratio(values, base)])
    header = ["pictures", "workers", "ms a batch (median)", "pictures/s"]
    report.table([*header, "times PNG files, as many workers (min to max)"], rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
