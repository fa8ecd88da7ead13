"""Training rate, parameters and ONNX latency of every backbone, side by side in one run.

  python -m benchmarks.backbones
  python -m benchmarks.backbones --onnx     also latency (pip install -r requirements-export.txt)

Rates are taken in turn, round after round; the median of the rounds is printed, and the ratio to
`basic` of the same round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.export_onnx import export, need_onnx, open_session
from benchmarks.report import Report, in_turn, median_ms, ratio
from models.config import ModelConfig
from models.registry import BACKBONES, build_model
from utils.device import DEVICES
from utils.errors import run_script
from utils.options import option, parse

NUM_CLASSES, HEIGHT, WIDTH = 63, 60, 160


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "rounds, each of which times every backbone", above=0)
    steps: int = option(4, "steps a round", above=0)
    batch_size: int = option(32, "pictures a step", above=0)
    num_threads: int = option(1, "torch's CPU threads", above=0)
    amp: bool = option(True, "half precision where the hardware has it")
    device: str = option("cpu", "where to train", DEVICES)
    onnx: bool = option(False, "also export and time with onnxruntime, fp32, one thread")
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")


def config_of(name: str) -> ModelConfig:
    defaults = {"hidden_size": 256, "num_layers": 2, "img_channels": 1} | BACKBONES[name].defaults
    sizes = {key: defaults[key] for key in ("hidden_size", "num_layers", "img_channels")}
    return ModelConfig(name, NUM_CLASSES, HEIGHT, **sizes)  # type: ignore[arg-type]


class Trainee:
    """A model with what a training step needs, on pictures of noise."""

    def __init__(self, name: str, options: Options):
        import torch

        from utils.device import half_precision, pick_device

        torch.manual_seed(0)
        self.device = pick_device(options.device)
        self.dtype = half_precision(self.device, options.amp)
        config = config_of(name)
        self.model = build_model(config).to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.images = torch.randn(
            options.batch_size, config.img_channels, HEIGHT, WIDTH, device=self.device
        ).contiguous(memory_format=torch.channels_last)
        self.targets = torch.randint(1, NUM_CLASSES, (options.batch_size, 6), device=self.device)
        self.target_lengths = torch.full((options.batch_size,), 6)

    def rate(self, steps: int) -> float:
        """Pictures a second over some whole steps: forward, loss, backward, optimizer."""
        import torch

        from models.losses import ctc_loss

        started = time.perf_counter()
        for _ in range(steps):
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                logits, lengths = self.model(self.images)
            loss = ctc_loss(logits, lengths, self.targets, self.target_lengths)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return steps * len(self.images) / (time.perf_counter() - started)


def training_table(options: Options, report: Report) -> None:
    trainees = {name: Trainee(name, options) for name in BACKBONES}
    for trainee in trainees.values():
        trainee.rate(1)
    rates = in_turn(
        {name: partial(trainee.rate, options.steps) for name, trainee in trainees.items()},
        options.rounds,
    )
    rows = []
    for name, trainee in trainees.items():
        count = sum(parameter.numel() for parameter in trainee.model.parameters())
        rate = f"{statistics.median(rates[name]):.0f}"
        rows.append([name, f"{count:,}", rate, ratio(rates[name], rates["basic"])])
    report.print(
        f"\nbatch {options.batch_size}, {options.num_threads} threads, n = {options.rounds} rounds"
    )
    report.table(
        ["backbone", "parameters", "pictures/s (median)", "times basic (median, min to max)"], rows
    )


def onnx_latency(name: str, batch_size: int, folder: Path) -> float:
    """Median milliseconds a picture of the exported network, fp32, one thread."""
    import torch

    path = folder / f"{name}.onnx"
    config = config_of(name)
    export(build_model(config), HEIGHT, WIDTH, path, batch_size)
    session = open_session(path)
    feed = {"images": torch.randn(batch_size, config.img_channels, HEIGHT, WIDTH).numpy()}
    return median_ms(lambda: session.run(None, feed), 3 + 60 // batch_size) / batch_size


def onnx_table(options: Options, report: Report) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in BACKBONES:
            rounds = range(options.rounds)
            one = statistics.median(onnx_latency(name, 1, Path(folder)) for _ in rounds)
            many = statistics.median(onnx_latency(name, 64, Path(folder)) for _ in rounds)
            rows.append([name, f"{one:.2f}", f"{many:.2f}"])
    report.print(f"\nONNX, fp32, one thread, median of {options.rounds} sessions")
    report.table(["backbone", "ms, one picture", "ms a picture, batch of 64"], rows)


def main(argv=None) -> int:
    from utils.device import set_threads

    options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(options.num_threads)
    if options.onnx:
        need_onnx()
    report = Report("backbones", argv, options.output, ["onnxruntime"] if options.onnx else [])
    training_table(options, report)
    if options.onnx:
        onnx_table(options, report)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
