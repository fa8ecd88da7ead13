"""Ranks of torchrun against one process, and what each --grad_comm costs in accuracy.

  python -m benchmarks.ranks                      speed: two ranks of one thread, on two cores
  python -m benchmarks.ranks --accuracy --epoch_size 20000

Every run is train.py on captchas drawn for it. For speed the first epoch does not count. Accuracy
is that of the validation split after the last epoch, which does not hang on the network: every rank
is a machine of its own, as local_sgd shares all gradients inside of one.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.report import Report, in_turn, rate_rows
from benchmarks.runs import read_history
from models.registry import BACKBONES
from utils.errors import UserError, run_script
from utils.options import option, parse
from utils.training.options import GRAD_COMMS

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Options:
    accuracy: bool = option(False, "accuracy by --grad_comm in place of speed")
    comms: tuple[str, ...] = option(GRAD_COMMS, "ways of --grad_comm, for --accuracy", GRAD_COMMS)
    world_size: int = option(2, "ranks, each of which has one thread", least=2)
    rounds: int = option(3, "rounds, or seeds, each of which runs every way", above=0)
    backbone: str = option("light", "backbone, of random weights", tuple(BACKBONES))
    charset: str = option("digits", "preset charset of the captchas")
    width: int = option(160, "of the pictures", least=32)
    height: int = option(60, "of the pictures", least=32)
    batch_size: int = option(16, "pictures of each rank", above=0)
    epoch_size: int = option(3200, "pictures of an epoch, drawn anew", above=0)
    num_epochs: int = option(2, "epochs of a run", least=1)
    validation: int = option(2000, "pictures that are validated", above=0)
    flags: str = option("", "more flags for train.py, in one word")
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


def drawn(folder: Path, options) -> Path:
    """A set that is only validated on; what is learned from is drawn anew."""
    words = ["generate_data.py", "--charset", options.charset, "--width", str(options.width),
             "--height", str(options.height), "--num_samples", str(options.validation),
             "--split_ratio", "0", "1", "0", "--output_dir", str(folder)]  # fmt: skip
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def flags_of(options, data: Path, seed: int = 0) -> list[str]:
    return [
        "--data_root", str(data), "--fresh", "1", "--img_width", str(options.width),
        "--img_height", str(options.height), "--epoch_size", str(options.epoch_size),
        "--num_epochs", str(options.num_epochs), "--early_stop", "0", "--num_workers", "0",
        "--num_threads", "1", "--seed", str(seed), "--device", "cpu",
        "--backbone", options.backbone, "--no-pretrained", *options.flags.split(),
    ]  # fmt: skip


def torchrun(world_size: int) -> list[str]:
    if world_size == 1:
        return [sys.executable]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
            str(world_size)]  # fmt: skip


def history_of(command: Sequence[str], flags: Sequence[str]) -> list[dict[str, float]]:
    """Of one run of train.py: a row an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*command, "train.py", *flags, "--save_dir", folder]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8")
        if done.returncode:
            raise UserError(f"train.py did not end well: {done.stderr.strip()[-500:]}")
        return read_history(Path(folder))


def history_of_machines(world_size: int, flags: Sequence[str]) -> list[dict[str, float]]:
    """Of one run whose ranks are machines, one torchrun each."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        launch = ["-m", "torch.distributed.run", "--nnodes", str(world_size), "--master_addr",
                  "127.0.0.1", "--master_port", port, "--nproc_per_node", "1"]  # fmt: skip
        running = [
            subprocess.Popen(
                [sys.executable, *launch, "--node_rank", str(rank), "train.py", *flags,
                 "--save_dir", folder],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
            )
            for rank in range(world_size)
        ]  # fmt: skip
        told = [process.communicate()[1] for process in running]
        if any(process.returncode for process in running):
            raise UserError(f"train.py did not end well: {' '.join(told).strip()[:3000]}")
        return read_history(Path(folder))


def rate(history: Sequence[dict[str, float]]) -> float:
    """Pictures a second, all epochs but the first."""
    first, last = history[0], history[-1]
    return (last["pictures"] - first["pictures"]) / (last["seconds"] - first["seconds"])


def speed(options: Options, data: Path, report: Report) -> None:
    ranks = options.world_size
    ways = {
        "one rank, one thread": (1, ranks * options.batch_size, []),
        f"{ranks} ranks, one thread each": (ranks, options.batch_size, []),
    }

    def measure(world_size: int, batch_size: int, more: list[str]) -> float:
        flags = [*flags_of(options, data), "--batch_size", str(batch_size), *more]
        return rate(history_of(torchrun(world_size), flags))

    rates = in_turn({name: partial(measure, *way) for name, way in ways.items()}, options.rounds)
    report.print(
        f"\n`{options.backbone}`, {options.charset}, {options.width} x {options.height}, steps of "
        f"{ranks * options.batch_size}; n = {options.rounds} runs each, in turn"
    )
    report.table(
        ["", "pictures/s (median)", "times one rank (min to max)"],
        rate_rows(rates, next(iter(ways))),
    )


def accuracies(options: Options, data: Path, report: Report) -> None:
    rows = []
    for comm in options.comms:
        found = []
        for seed in range(options.rounds):
            flags = flags_of(options, data, seed)
            flags += ["--grad_comm", comm, "--batch_size", str(options.batch_size)]
            found.append(history_of_machines(options.world_size, flags)[-1])
        exact = [row["sequence_accuracy"] for row in found]
        loss = statistics.median(row["val_loss"] for row in found)
        rows.append([comm, f"{statistics.mean(exact):.2%}", " ".join(f"{e:.2%}" for e in exact),
                     f"{loss:.4f}"])  # fmt: skip
    pictures = options.num_epochs * options.epoch_size
    report.print(
        f"\n`{options.backbone}`, {options.charset}, {options.width} x {options.height}, "
        f"{options.world_size} ranks of {options.batch_size}; {pictures:,} pictures, "
        f"n = {options.validation:,} to validate on, {options.rounds} seeds"
    )
    report.table(["`--grad_comm`", "exact (mean)", "by seed", "loss (median)"], rows)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("ranks", argv, options.output)
    with tempfile.TemporaryDirectory() as folder:
        data = drawn(Path(folder) / "set", options)
        (accuracies if options.accuracy else speed)(options, data, report)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
