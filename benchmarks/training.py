"""Training speed of train.py itself, flag by flag, beside what the machine could do at most.

  python -m benchmarks.training          what the default is made of, on a CPU
  python -m benchmarks.training --ways plain default compile --backbone basic --batch_size 256

Every way is one run of train.py on pictures drawn for it; its first epoch (start of workers,
compilation) does not count. Rounds go through all ways in turn. The floor: the network's
multiplications, against those of a plain matrix product on the same device and number type.
The workers' share is theirs of all CPU-seconds of the run, with all that comes before and after.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.pictures import draw_set
from benchmarks.report import Report, in_turn, median_ms, ratio
from benchmarks.runs import train_run
from models.registry import BACKBONES
from utils.device import DEVICES
from utils.errors import run_script
from utils.options import as_flags, option, parse

WAYS = {
    "default": ("fresh captchas drawn by torch", ["--fresh", "1"]),
    "package": ("fresh captchas drawn by the package", ["--fresh", "1", "--renderer", "package"]),
    "files": ("PNG files", ["--fresh", "0"]),
    "fp32": ("no half precision", ["--fresh", "1", "--no-amp"]),
    "adamw": ("AdamW instead of Muon", ["--fresh", "1", "--optimizer", "adamw"]),
    "compile": ("torch.compile", ["--fresh", "1", "--compile"]),
    "plain": ("PNG files, 8 workers, no half precision",
              ["--fresh", "0", "--no-amp", "--num_workers", "8", "--optimizer", "adamw"]),
}  # fmt: skip
CPU_WAYS = ("default", "package", "files", "fp32", "adamw")


@dataclass(frozen=True)
class Options:
    ways: tuple[str, ...] = option(CPU_WAYS, f"what to time, of {', '.join(WAYS)}")
    backbone: str = option("light", "network", tuple(BACKBONES))
    epoch_size: int = option(
        3200, "pictures an epoch; two are trained, the second is timed", least=1
    )
    batch_size: int = option(32, "pictures a step", above=0)
    rounds: int = option(3, "rounds, each of which times every way", above=0)
    num_workers: int | None = option(None, "train.py's, for all ways but plain", least=0)
    num_threads: int | None = option(None, "train.py's", above=0)
    device: str = option("auto", "where to train", DEVICES)
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        return [
            f"--ways {way}: not one of {', '.join(WAYS)}" for way in self.ways if way not in WAYS
        ]


def reads_files(way: str) -> bool:
    return WAYS[way][1][:2] == ["--fresh", "0"]


def rate(root: Path, way: str, options: Options, shares: dict[str, list[float]]) -> float:
    """Pictures a second of train.py's second epoch; the workers' share of the work to `shares`."""
    flags = ["--data_root", str(root), "--no-pretrained", "--num_epochs", "2"]
    flags += as_flags(options, ["backbone", "batch_size", "device", "num_workers", "num_threads"])
    if not reads_files(way):
        flags += as_flags(options, ["epoch_size"])
    before = os.times()
    with contextlib.redirect_stdout(io.StringIO()):
        history = train_run([*flags, *WAYS[way][1]], root / "run")  # a way's own flags come last
    now = os.times()
    ours = now.user + now.system - before.user - before.system
    theirs = now.children_user + now.children_system
    theirs -= before.children_user + before.children_system
    shares.setdefault(way, []).append(theirs / (ours + theirs))
    seconds = [row["seconds"] for row in history]
    return options.epoch_size / (seconds[1] - seconds[0])


def training_flops(backbone: str) -> float:
    """Floating-point operations of one picture in training: three times those of reading it."""
    from benchmarks.backbones import Network

    return 3 * Network.of(backbone).reading_flops()


def product_rate(device_name: str, half: bool, num_threads: int | None) -> float:
    """Operations a second of a plain matrix product of 1,024 x 1,024."""
    import torch

    from utils.device import half_precision, pick_device, share_cores

    device = pick_device(device_name)
    torch.set_num_threads(share_cores(None, num_threads, device.type)[1])
    dtype = half_precision(device, half) or torch.float32
    side = 1024
    matrix = torch.randn(side, side, device=device).to(dtype)

    def work() -> None:
        _ = matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * side**3 / (median_ms(work, 9) / 1000)


def main(argv=None) -> int:
    from utils.device import set_threads

    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(options.num_threads)
    report = Report("training", argv, options.output, ["captcha"])
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        needs_files = any(reads_files(way) for way in options.ways)
        draw_set(root, {"train": options.epoch_size if needs_files else 1, "val": 32})
        shares: dict[str, list[float]] = {}
        measures = {way: partial(rate, root, way, options, shares) for way in options.ways}
        rates = in_turn(measures, options.rounds)
    flops = training_flops(options.backbone)
    report.print(
        f"\n{options.backbone}, batches of {options.batch_size}: {flops / 1e9:.2f} GFLOP a picture "
        f"in training; n = {options.rounds} rounds of {options.epoch_size:,} pictures, in turn "
        f"({time.monotonic() - started:.0f} s)"
    )
    rows = []
    for way, values in rates.items():
        half = "--no-amp" not in WAYS[way][1]
        floor = product_rate(options.device, half, options.num_threads)
        median = statistics.median(values)
        rows.append([
            f"`{' '.join(WAYS[way][1])}`", WAYS[way][0], f"{median:,.0f}",
            ratio(values, rates[options.ways[0]]), f"{median * flops / 1e9:,.0f}",
            f"{median * flops / floor:.0%}", f"{statistics.median(shares[way]):.1%}",
        ])  # fmt: skip
    report.table(
        ["flags of train.py", "what", "pictures/s (median)", "times the first (min to max)",
         "GFLOP/s", "of a matrix product",
         "workers' share of CPU-seconds"], rows,
    )  # fmt: skip
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
