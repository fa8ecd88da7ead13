"""The chunked CTC loss beside the full one: memory and time of head and loss, and their gradients.

  python -m benchmarks.ctc

Features, head and loss, forward and backward, on noise. Each way runs in processes of its own, in
turn; memory is the most that the process held above what it held before (on Linux), or that CUDA
gave out. The gradients of both are compared once, each as a share of the largest of its tensor.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report import Report, in_turn, ratio
from utils.device import DEVICES, pick_device, set_threads
from utils.errors import run_script
from utils.options import option, parse

ROOT = Path(__file__).resolve().parent.parent
STATUS = Path("/proc/self/status")
WAYS = ("full", "chunked")
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


def measure(way: str, sizes: str, gradients: str) -> None:
    """Print seconds of a pass and bytes, as JSON; the gradients go into a file of that name."""
    import torch
    from torch import nn

    from models.losses import CTC

    options = Options(**json.loads(sizes))
    set_threads(options.num_threads)
    device = pick_device(options.device)
    torch.manual_seed(0)
    shape = (options.batch_size, options.num_steps, options.num_features)
    features = torch.randn(shape, device=device, requires_grad=True)
    head = nn.Linear(options.num_features, options.num_classes, device=device)
    targets = torch.randint(
        1, options.num_classes, (options.batch_size, options.target_length), device=device
    )
    lengths = torch.full((options.batch_size,), options.num_steps)
    target_lengths = torch.full((options.batch_size,), options.target_length)

    def work() -> None:
        features.grad = head.weight.grad = head.bias.grad = None
        with torch.autocast(device.type, torch.bfloat16, enabled=options.half):
            loss = CTC[way](features, head, lengths, targets, target_lengths)
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
    torch.save([features.grad.cpu(), head.weight.grad.cpu(), head.bias.grad.cpu()], gradients)
    print(json.dumps([seconds, most - before]))


def in_a_process(way: str, options: Options, folder: Path, memory: dict[str, int]) -> float:
    """Seconds; the bytes go to `memory`."""
    words = [way, json.dumps(asdict(options)), str(folder / f"{way}.pt")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, *words],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    seconds, memory[way] = json.loads(done.stdout)
    return seconds


def largest_difference(folder: Path) -> float:
    """Of two gradients, as a share of the largest of that tensor."""
    import torch

    full, chunked = (torch.load(folder / f"{way}.pt") for way in WAYS)
    pairs = zip(full, chunked, strict=True)
    return max(float((one - other).abs().max() / one.abs().max()) for one, other in pairs)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("ctc", argv, options.output)
    memory: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measures = {way: lambda way=way: in_a_process(way, options, folder, memory) for way in WAYS}
        times = in_turn(measures, options.rounds)
        difference = largest_difference(folder)
    report.print(
        f"\n{options.batch_size} x {options.num_steps} steps of {options.num_features} features, "
        f"{options.num_classes:,} classes, {options.device}, "
        f"{'bfloat16' if options.half else 'float32'}, {options.num_threads} threads; n = "
        f"{options.rounds} processes of each, in turn"
    )
    rows = [
        [way, f"{statistics.median(times[way]):.2f}", ratio(times[way], times["full"]),
         f"{memory[way] / 1e6:,.0f}", f"{memory[way] / max(memory['full'], 1):.3f}"]
        for way in WAYS
    ]  # fmt: skip
    header = ["CTC", "s, forward and backward", "times full (min to max)", "MB", "times full"]
    report.table(header, rows)
    report.print(f"\ngradients differ by at most {difference:.1e} of the largest")
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
