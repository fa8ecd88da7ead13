"""How torch brings the gradients of two ranks together: DDP with its options, and FSDP.

  python -m benchmarks.sharing
  python -m benchmarks.sharing --mbit 100                         (Linux, as root; iproute2)
  python -m benchmarks.sharing --num_classes 30657 --width 256 --height 32 --batch_size 8

`light`, noise, AdamW, precision and channels_last as train.py has them (FSDP takes no weights that
lie so). Each way runs in processes of its own, in turn, on this machine or on two hosts that a
network of --mbit joins (benchmarks.slow_network). Memory is the most that rank 0 held above what it
held before the model (on Linux).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks import ranks
from benchmarks.ctc import ROOT, held
from benchmarks.report import Report, in_turn, ratio
from benchmarks.slow_network import Hosts, both, torchrun
from utils.errors import run_script
from utils.options import option, parse

PLAIN, FSDP = "as train.py does", "FSDP"
DDP: dict[str, dict] = {
    PLAIN: {},
    "static graph": {"static_graph": True},
    "buckets of 1 MB": {"bucket_cap_mb": 1},
    "buckets of 100 MB": {"bucket_cap_mb": 100},
    "no bucket view": {"gradient_as_bucket_view": False},
}
"""What each way changes of DistributedDataParallel."""
CHILD = "benchmarks.sharing"
SIZES = "SHARING"


@dataclass(frozen=True)
class Options:
    rounds: int = option(3, "rounds, each of which runs every way", above=0)
    steps: int = option(20, "timed steps of a run, after three that are not", above=0)
    batch_size: int = option(16, "pictures of each rank", above=0)
    width: int = option(160, "of a picture", least=32)
    height: int = option(60, "of a picture", least=32)
    num_classes: int = option(11, "classes", least=11, most=60_000)
    mbit: int | None = option(None, "bandwidth of a network between two hosts", above=0)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def measure(way: str, options: Options) -> None:
    """A rank: milliseconds a step and bytes held, as JSON, from rank 0."""
    import torch
    from torch.distributed.fsdp import fully_shard

    from models.config import ModelConfig
    from models.losses import CTC, ctc_of
    from models.registry import build_model
    from utils.device import half_precision
    from utils.ranks import Ranks
    from utils.text.charset import Charset
    from utils.training.batch import Batch
    from utils.training.curriculum import Lesson
    from utils.training.step import Step, in_ddp

    own = Ranks.of_environment()
    with own.joined():
        torch.manual_seed(0)
        before = held("VmRSS")
        sizes = options.num_classes, options.height, 1, 96, 1  # as train.py has them
        model = build_model(ModelConfig("light", *sizes)).train()
        if way != FSDP:  # torch 2.14 shards no weights that lie so
            model = model.to(memory_format=torch.channels_last)
        amp = half_precision(torch.device("cpu"), True)
        lesson = Lesson(Charset("ab"), "", 0, 1, 0)
        loss = CTC[ctc_of("auto", options.num_classes)]
        step = Step(model, torch.nn.Linear(1, 1), loss, 0.0, lesson)
        call = fully_shard(step) if way == FSDP else in_ddp(step, torch.device("cpu"), **DDP[way])
        optimizer = torch.optim.AdamW(call.parameters(), lr=1e-3)
        count = options.batch_size
        batch = Batch(
            torch.randn(count, 1, options.height, options.width), None,
            torch.randint(1, options.num_classes, (count, 6)), torch.full((count,), 6),
        )  # fmt: skip
        times = []
        for _ in range(3 + options.steps):
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", amp, amp is not None):
                total = call(batch, 0).total
            total.backward()
            optimizer.step()
            times.append(time.perf_counter() - started)
        found = statistics.median(times[3:]) * 1000, held("VmHWM") - before
    if own.is_main:
        print(json.dumps(found))


def in_processes(way: str, options: Options, hosts: Hosts | None, told: dict[str, float]) -> float:
    """Milliseconds a step; memory goes to `told`."""
    os.environ[SIZES] = json.dumps([way, asdict(options)])
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun would, with a warning
    try:
        if hosts is None:
            command = [*ranks.torchrun(2), "-m", CHILD]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE,
                                  encoding="utf-8").stdout  # fmt: skip
        else:
            done, _ = both(hosts, [[*torchrun(host), "-m", CHILD] for host in (0, 1)])
    finally:
        del os.environ[SIZES]
    took, told[way] = json.loads(done.strip().splitlines()[-1])
    return took


def main(argv=None) -> int:
    if SIZES in os.environ:
        way, values = json.loads(os.environ[SIZES])
        measure(way, Options(**values))
        return 0
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("sharing", argv, options.output)
    told: dict[str, float] = {}
    ways, hosts = (*DDP, FSDP), Hosts() if options.mbit else None
    with hosts.joined() if hosts else nullcontext():
        if hosts and options.mbit:
            hosts.bound(options.mbit)
        times = in_turn(
            {way: partial(in_processes, way, options, hosts, told) for way in ways}, options.rounds
        )
    place = f"{options.mbit:,} Mbit/s between them" if options.mbit else "on one machine"
    report.print(
        f"\n`light`, {options.num_classes:,} classes, two ranks of {options.batch_size} pictures "
        f"of {options.width} x {options.height}, {place}; n = {options.rounds} runs of each"
    )
    rows = [
        [way, f"{statistics.median(times[way]):.0f}", ratio(times[way], times[PLAIN]),
         f"{told[way] / 1e6:,.0f}"] for way in ways
    ]  # fmt: skip
    report.table(["", "ms a step (median)", "times the first (min to max)", "MB held"], rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
