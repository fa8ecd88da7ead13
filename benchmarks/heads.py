"""Reading with a head of many classes: whole log-probabilities, or only what greedy reading wants;
and what a head of two factors (--head_size) costs and saves.

  python -m benchmarks.heads

`light` with random weights reads noise: network, best path, probabilities of the texts. Each way
runs in a process of its own, in turn; memory is the most that it held above what it held before
(on Linux).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.ctc import ROOT, held
from benchmarks.report import Report, in_turn, ratio
from utils.device import set_threads
from utils.errors import run_script
from utils.options import option, parse

WHOLE, STEPS = "whole", "steps"
CHILD = "import sys; from benchmarks.heads import measure; measure(*sys.argv[1:])"


@dataclass(frozen=True)
class Options:
    rounds: int = option(3, "rounds, each of which runs every way in a process", above=0)
    batches: int = option(4, "timed batches of a process, after one that is not", above=0)
    batch_size: int = option(32, "pictures", above=0)
    width: int = option(512, "of a picture, 32 high", least=32)
    num_classes: int = option(30_657, "classes", least=1000, most=60_000)
    head_sizes: tuple[int, ...] = option((0, 112), "features before the head; 0: all", least=0)
    num_threads: int = option(1, "torch's CPU threads", above=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def measure(way: str, head_size: str, sizes: str) -> None:
    """Print milliseconds a picture, bytes that were held, and the number of weights, as JSON."""
    import numpy as np
    import torch

    from models.config import ModelConfig
    from models.registry import build_model
    from utils.networks import TorchNetwork
    from utils.text.charset import Charset
    from utils.text.reading import Decoder

    options = Options(**json.loads(sizes))
    set_threads(options.num_threads)
    torch.manual_seed(0)
    config = ModelConfig("light", options.num_classes, 32, 1, 96, 1, head_size=int(head_size))
    network = TorchNetwork(build_model(config))
    decoder = Decoder(Charset("".join(map(chr, range(0x10000, 0x10000 + options.num_classes - 1)))))
    shape = (options.batch_size, 1, 32, options.width)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    widths = np.full(options.batch_size, options.width)
    read = network.log_probs if way == WHOLE else network.steps

    before = held("VmRSS")
    decoder.read(*read(images, widths))
    most = held("VmHWM")
    started = time.perf_counter()
    for _ in range(options.batches):
        decoder.read(*read(images, widths))
    took = (time.perf_counter() - started) * 1000 / options.batches / options.batch_size
    weights = sum(each.numel() for each in network.model.parameters())
    print(json.dumps([took, most - before, weights]))


def in_a_process(way: str, head_size: int, options: Options, told: dict) -> float:
    """Milliseconds a picture; the rest goes to `told`."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, way, str(head_size),
         json.dumps(asdict(options))],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    took, *told[way, head_size] = json.loads(done.stdout)
    return took


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("heads", argv, options.output)
    told: dict[tuple[str, int], list[int]] = {}
    ways = [(way, size) for size in options.head_sizes for way in (WHOLE, STEPS)]
    times = in_turn({way: partial(in_a_process, *way, options, told) for way in ways},
                    options.rounds)  # fmt: skip
    report.print(
        f"\n`light`, {options.num_classes:,} classes, {options.batch_size} pictures of "
        f"{options.width} x 32 at a time, {options.num_threads} threads; n = {options.rounds} "
        "processes of each, in turn"
    )
    rows = []
    for way, size in ways:
        took, (most, weights) = times[way, size], told[way, size]
        rows.append(
            [f"{way}, --head_size {size}", f"{weights:,}", f"{statistics.median(took):.1f}",
             ratio(took, times[ways[0]]), f"{most / 1e6:,.0f}"]
        )  # fmt: skip
    header = ["log-probabilities", "weights", "ms a picture (median)"]
    report.table([*header, "times the first (min to max)", "MB held"], rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
