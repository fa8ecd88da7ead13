"""Training on two hosts that a slow network joins, by --grad_comm (Linux, as root; iproute2).

  python -m benchmarks.slow_network
  python -m benchmarks.slow_network --rates 1000 --comms fp32 bf16 --width 80 --height 32

The hosts are network namespaces with a core of this machine each, joined by a pair of virtual
network cards (veth) whose bandwidth tc tbf bounds. Every run is torchrun --nnodes 2 on captchas
drawn for it; its first epoch does not count. Bytes are those that leave the first host's card in
the whole run, by step. `unconnected`: two trainings by themselves, at the same time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.ranks import ROOT, drawn, flags_of, rate
from benchmarks.report import Report, in_turn, ratio
from benchmarks.runs import read_history
from models.registry import BACKBONES
from utils.errors import UserError, run_script
from utils.options import option, parse
from utils.training.options import GRAD_COMMS

UNCONNECTED = "unconnected"
CARD = "wire"
ADDRESSES = ("10.177.0.1", "10.177.0.2")
PORT = "29517"


@dataclass(frozen=True)
class Options:
    rates: tuple[int, ...] = option((100, 1000), "of the network, in Mbit/s", above=0)
    comms: tuple[str, ...] = option(GRAD_COMMS, "ways of --grad_comm", GRAD_COMMS)
    rounds: int = option(3, "rounds, each of which runs every way", above=0)
    backbone: str = option("light", "backbone, of random weights", tuple(BACKBONES))
    charset: str = option("digits", "preset charset of the captchas")
    width: int = option(160, "of the pictures", least=32)
    height: int = option(60, "of the pictures", least=32)
    batch_size: int = option(16, "pictures of each rank", above=0)
    epoch_size: int = option(1600, "pictures of an epoch, drawn anew", above=0)
    num_epochs: int = option(3, "epochs of a run, the first of which does not count", least=2)
    validation: int = option(100, "pictures that are validated", above=0)
    flags: str = option("", "more flags for train.py, in one word")
    output: str | None = option(None, "Markdown file to write the table to")
    config: str | None = option(None, "TOML recipe that presets flags")


class Hosts:
    """Two network namespaces, joined by a wire."""

    def __init__(self) -> None:
        self.names = [f"crnn{os.getpid()}{side}" for side in "ab"]

    @contextmanager
    def joined(self) -> Iterator[None]:
        cards = [f"{CARD}{os.getpid()}{side}"[-15:] for side in "ab"]
        try:
            ip("link", "add", cards[0], "type", "veth", "peer", "name", cards[1])
            for name, card, address in zip(self.names, cards, ADDRESSES, strict=True):
                ip("netns", "add", name)
                ip("link", "set", card, "netns", name)
                ip("-n", name, "link", "set", card, "name", CARD)
                ip("-n", name, "addr", "add", f"{address}/24", "dev", CARD)
                for each in (CARD, "lo"):
                    ip("-n", name, "link", "set", each, "up")
            yield
        finally:
            for name in self.names:  # its card goes with it, and the other end with that
                subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def bound(self, mbit: int) -> None:
        """The bandwidth of both directions."""
        burst = f"{max(32_000, mbit * 1_000_000 // 8 // 250)}"  # of a tick of the kernel
        for name in self.names:
            command = ["tc", "-n", name, "qdisc", "replace", "dev", CARD, "root", "tbf", "rate",
                       f"{mbit}mbit", "burst", burst, "latency", "200ms"]  # fmt: skip
            subprocess.run(command, check=True)

    def run(self, host: int, command: Sequence[str]) -> subprocess.Popen[str]:
        """A command on one of them, on a core of its own."""
        core = sorted(os.sched_getaffinity(0))[host]
        words = ["ip", "netns", "exec", self.names[host], "taskset", "-c", str(core), *command]
        return subprocess.Popen(
            words, cwd=ROOT, env=os.environ | {"GLOO_SOCKET_IFNAME": CARD}, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def sent(self) -> int:
        """Bytes that left the first one's card so far."""
        path = f"/sys/class/net/{CARD}/statistics/tx_bytes"
        command = ["ip", "netns", "exec", self.names[0], "cat", path]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, encoding="utf-8")
    if done.returncode:
        raise UserError(f"ip {' '.join(words)}: {done.stderr.strip()}; this needs Linux and root")


def both(hosts: Hosts, commands: Sequence[list[str]]) -> list[str]:
    """Run them on the two hosts, to the end; what each printed."""
    running = [hosts.run(host, command) for host, command in enumerate(commands)]
    try:
        with ThreadPoolExecutor() as threads:  # a full pipe would stop one, and so the other
            told = list(threads.map(subprocess.Popen.communicate, running))
    except BaseException:
        for process in running:
            process.terminate()
        raise
    if any(process.returncode for process in running):
        errors = " ".join(each for _, each in told).strip()
        raise UserError(f"a command did not end well: {errors[:3000]}")
    return [printed for printed, _ in told]


def torchrun(host: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank",
            str(host), "--nproc_per_node", "1", "--master_addr", ADDRESSES[0], "--master_port",
            PORT]  # fmt: skip


def measure(hosts: Hosts, way: tuple[int, str], flags: list[str], sent: dict) -> float:
    """Pictures a second; bytes by step go to `sent`."""
    mbit, comm = way
    hosts.bound(mbit)
    before = hosts.sent()
    with tempfile.TemporaryDirectory() as folder:
        if comm == UNCONNECTED:
            places = [Path(folder) / side for side in "ab"]
            both(hosts, [[sys.executable, "train.py", *flags, "--save_dir", str(place)]
                         for place in places])  # fmt: skip
            return sum(rate(read_history(place)) for place in places)
        shared = [*flags, "--grad_comm", comm, "--save_dir", folder]
        both(hosts, [[*torchrun(host), "train.py", *shared] for host in (0, 1)])
        history = read_history(Path(folder))
    sent.setdefault(way, []).append(hosts.sent() - before)
    return rate(history)


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    report = Report("slow_network", argv, options.output)
    hosts, sent = Hosts(), dict[tuple[int, str], list[int]]()
    ways = [(mbit, comm) for mbit in options.rates for comm in (*options.comms, UNCONNECTED)]
    with tempfile.TemporaryDirectory() as folder, hosts.joined():
        data = drawn(Path(folder) / "set", options)
        flags = [*flags_of(options, data), "--batch_size", str(options.batch_size)]
        rates = in_turn(
            {way: lambda way=way: measure(hosts, way, flags, sent) for way in ways}, options.rounds
        )
    report.print(
        f"\n`{options.backbone}`, {options.charset}, {options.width} x {options.height}, "
        f"two hosts of one core, {options.batch_size} pictures each; "
        f"n = {options.rounds} runs of each, in turn"
    )
    steps = options.num_epochs * -(-options.epoch_size // (2 * options.batch_size))
    rows = []
    for way in ways:
        mbit, comm = way
        plain, apart = rates[mbit, options.comms[0]], rates[mbit, UNCONNECTED]
        kilobytes = f"{median(sent[way]) / steps / 1000:,.0f}" if way in sent else "0"
        rows.append([f"{mbit:,}", comm, f"{median(rates[way]):,.0f}", ratio(rates[way], plain),
                     ratio(rates[way], apart), kilobytes])  # fmt: skip
    report.table(
        ["Mbit/s", "`--grad_comm`", "pictures/s", f"times {options.comms[0]} (min to max)",
         "of unconnected", "KB a step"], rows,
    )  # fmt: skip
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
