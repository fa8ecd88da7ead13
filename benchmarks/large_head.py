"""Two ranks that share a head of 30,657 classes: each has all of it (DDP), or a part (FSDP).

  python -m benchmarks.large_head

`light`, noise, the chunked CTC, AdamW. Each way runs in processes of its own, in turn. Memory is
the most that rank 0 held above what it held before the model (on Linux).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.ctc import ROOT, held
from benchmarks.report import Report, in_turn, ratio
from utils.errors import run_script
from utils.options import option, parse

DDP, FSDP = "DDP", "FSDP"
CHILD = "benchmarks.large_head"
SIZES = "LARGE_HEAD"


@dataclass(frozen=True)
class Options:
    rounds: int = option(3, "rounds, each of which runs every way", above=0)
    steps: int = option(6, "timed steps of a run, after two that are not", above=0)
    batch_size: int = option(8, "pictures of each rank", above=0)
    width: int = option(256, "of a picture, 32 high", least=32)
    num_classes: int = option(30_657, "classes", least=1000, most=60_000)
    hidden_size: int = option(96, "the neck's units a direction", above=0)
    world_size: int = option(2, "ranks, each of which has one thread", least=2)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def measure(way: str, options: Options) -> None:
    """A rank: milliseconds a step and bytes held, as JSON, from rank 0."""
    import torch
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    from models.config import ModelConfig
    from models.losses import CTC
    from models.registry import build_model
    from utils.ranks import Ranks
    from utils.text.charset import Charset
    from utils.training.batch import Batch
    from utils.training.curriculum import Lesson
    from utils.training.step import Step

    ranks = Ranks.of_environment()
    with ranks.joined():
        torch.manual_seed(0)
        before = held("VmRSS")
        sizes = options.num_classes, 32, 1, options.hidden_size, 1
        model = build_model(ModelConfig("light", *sizes)).train()
        lesson = Lesson(Charset("ab"), "", 0, 1, 0)
        step = Step(model, torch.nn.Linear(1, 1), CTC["chunked"], 0.0, lesson)
        if way == DDP:
            call = DistributedDataParallel(step, gradient_as_bucket_view=True)
        else:
            call = fully_shard(step)
        optimizer = torch.optim.AdamW(call.parameters(), lr=1e-3)
        count = options.batch_size
        batch = Batch(
            torch.randn(count, 1, 32, options.width), None,
            torch.randint(1, options.num_classes, (count, 10)), torch.full((count,), 10),
        )  # fmt: skip
        times = []
        for _ in range(2 + options.steps):
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            call(batch, 0).total.backward()
            optimizer.step()
            times.append(time.perf_counter() - started)
        found = statistics.median(times[2:]) * 1000, held("VmHWM") - before
    if ranks.is_main:
        print(json.dumps(found))


def in_processes(way: str, options: Options, told: dict[str, float]) -> float:
    """Milliseconds a step; memory goes to `told`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
               str(options.world_size), "-m", CHILD]  # fmt: skip
    asked = json.dumps([way, asdict(options)])
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {SIZES: asked}, check=True,
                          stdout=subprocess.PIPE, encoding="utf-8")  # fmt: skip
    took, told[way] = json.loads(done.stdout.strip().splitlines()[-1])
    return took


def main(argv=None) -> int:
    if SIZES in os.environ:
        way, values = json.loads(os.environ[SIZES])
        measure(way, Options(**values))
        return 0
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("large_head", argv, options.output)
    told: dict[str, float] = {}
    ways = (DDP, FSDP)
    times = in_turn(
        {way: partial(in_processes, way, options, told) for way in ways}, options.rounds
    )
    report.print(
        f"\n`light`, {options.num_classes:,} classes, {options.world_size} ranks of "
        f"{options.batch_size} pictures of {options.width} x 32; n = {options.rounds} runs of each"
    )
    rows = [
        [way, f"{statistics.median(times[way]):.0f}", ratio(times[way], times[DDP]),
         f"{told[way] / 1e6:,.0f}"] for way in ways
    ]  # fmt: skip
    report.table(["", "ms a step (median)", "times DDP (min to max)", "MB held"], rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
