"""The chunked CTC loss beside the full one: memory and time of head and loss, and their gradients.

  python -m benchmarks.ctc

Features, head and loss, forward and backward, on noise. Each way runs in processes of its own, in
turn; memory is the most that the process held above what it held before (on Linux), or that CUDA
gave out. The gradients of both, of a few sequences, are compared with those in float64.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Report, in_turn, ratio
from utils.device import DEVICES, pick_device, set_threads
from utils.errors import run_script
from utils.options import option, parse

ROOT = Path(__file__).resolve().parent.parent
STATUS = Path("/proc/self/status")
WAYS = ("full", "chunked")
FEW = 4
CHILD = "import sys; from benchmarks.ctc import measure; measure(*sys.argv[1:])"


@dataclass(frozen=True)
class Options:
    rounds: int = option(3, "rounds, each of which runs every way in a process", above=0)
    steps: int = option(2, "timed passes of a process, after one that is not", above=0)
    batch_size: int = option(64, "sequences", above=0)
    num_steps: int = option(128, "time steps of a sequence", least=31)
    num_features: int = option(512, "features of a step", above=0)
    num_classes: int = option(30_657, "classes", least=2)
    target_length: int = option(12, "characters of a target", least=1, most=15)
    num_threads: int = option(2, "torch's CPU threads", above=0)
    half: bool = option(False, "bfloat16, by autocast")
    device: str = option("cpu", "where", DEVICES)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def held(name: str) -> int:
    """VmRSS (now) or VmHWM (at most) of this process, in bytes; 0 where the system does not say."""
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def batch_of(options: Options, count: int, device: Any) -> tuple[Any, Any, tuple]:
    """Features that want a gradient, head; lengths, targets, target lengths."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    features = torch.randn(count, options.num_steps, options.num_features, device=device)
    head = nn.Linear(options.num_features, options.num_classes, device=device)
    targets = torch.randint(1, options.num_classes, (count, options.target_length), device=device)
    lengths = torch.full((count,), options.num_steps)
    target_lengths = torch.full((count,), options.target_length)
    return features.requires_grad_(), head, (lengths, targets, target_lengths)


def measure(way: str, sizes: str) -> None:
    """Print seconds of a pass and bytes, as JSON."""
    import torch

    from models.losses import CTC

    options = Options(**json.loads(sizes))
    set_threads(options.num_threads)
    device = pick_device(options.device)
    features, head, texts = batch_of(options, options.batch_size, device)

    def work() -> None:
        features.grad = head.weight.grad = head.bias.grad = None
        with torch.autocast(device.type, torch.bfloat16, enabled=options.half):
            loss = CTC[way](features, head, *texts)
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    cuda = device.type == "cuda"
    before = torch.cuda.memory_allocated() if cuda else held("VmRSS")
    work()
    most = torch.cuda.max_memory_allocated() if cuda else held("VmHWM")
    started = time.perf_counter()
    for _ in range(options.steps):
        work()
    seconds = (time.perf_counter() - started) / options.steps
    print(json.dumps([seconds, most - before]))


def in_a_process(way: str, options: Options, memory: dict[str, int]) -> float:
    """Seconds; the bytes go to `memory`."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, way, json.dumps(asdict(options))],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    seconds, memory[way] = json.loads(done.stdout)
    return seconds


def errors(options: Options) -> dict[str, float]:
    """Of each way's gradients in float32: the largest, as a share of the largest of its tensor."""
    import torch
    from torch.nn import functional as F

    from models.losses import CTC

    def gradients(way: str) -> list[Any]:
        features, head, texts = batch_of(options, FEW, "cpu")
        if way in CTC:
            loss = CTC[way](features, head, *texts)
        else:
            features, head = features.detach().double().requires_grad_(), head.double()
            log_probs = head(features).log_softmax(dim=2).transpose(0, 1)
            lengths, targets, target_lengths = texts
            loss = F.ctc_loss(log_probs, targets, lengths, target_lengths)
        return list(torch.autograd.grad(loss, [features, head.weight, head.bias]))

    wanted = gradients("float64")
    return {
        way: max(
            float((found - right).abs().max() / right.abs().max())
            for found, right in zip(gradients(way), wanted, strict=True)
        )
        for way in WAYS
    }


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("ctc", argv, options.output)
    memory: dict[str, int] = {}
    measures = {way: partial(in_a_process, way, options, memory) for way in WAYS}
    times = in_turn(measures, options.rounds)
    found = errors(options)
    report.print(
        f"\n{options.batch_size} x {options.num_steps} steps of {options.num_features} features, "
        f"{options.num_classes:,} classes, {options.device}, "
        f"{'bfloat16' if options.half else 'float32'}, {options.num_threads} threads; n = "
        f"{options.rounds} processes of each, in turn"
    )
    rows = [
        [way, f"{statistics.median(times[way]):.2f}", ratio(times[way], times["full"]),
         f"{memory[way] / 1e6:,.0f}", f"{memory[way] / max(memory['full'], 1):.3f}",
         f"{found[way]:.1e}"]
        for way in WAYS
    ]  # fmt: skip
    header = ["CTC", "s, forward and backward", "times full (min to max)", "MB", "times full"]
    report.table([*header, f"gradients' error ({FEW} sequences)"], rows)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
