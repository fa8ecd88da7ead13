"""Training rate, parameters and ONNX latency of every backbone, side by side in one run.

  python -m benchmarks.backbones
  python -m benchmarks.backbones --onnx     also latency (pip install onnx onnxruntime)

Rates are taken in turn, round after round, so that a noisy machine is noisy for all; the median
of the rounds is printed, and the ratio to `basic` of the same round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine_line
from models.config import ModelConfig
from models.registry import BACKBONES, build_model
from utils.device import DEVICES
from utils.errors import UserError, run_script
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
        self.target_lengths = torch.full((options.batch_size,), 6, device=self.device)

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


def training_table(options: Options) -> None:
    trainees = {name: Trainee(name, options) for name in BACKBONES}
    for trainee in trainees.values():
        trainee.rate(1)
    rounds = [
        {name: trainee.rate(options.steps) for name, trainee in trainees.items()}
        for _ in range(options.rounds)
    ]
    print(f"batch {options.batch_size}, {options.num_threads} threads, n = {options.rounds} rounds")
    print("| backbone | parameters | pictures/s (median) | times basic (median, min to max) |")
    print("|---|---|---|---|")
    for name, trainee in trainees.items():
        count = sum(parameter.numel() for parameter in trainee.model.parameters())
        rate = statistics.median(each[name] for each in rounds)
        ratios = [each[name] / each["basic"] for each in rounds]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {count:,} | {rate:.0f} | {spread} |")


def onnx_latency(name: str, batch_size: int, folder: Path) -> float:
    """Median milliseconds a picture of the exported network, fp32, one thread."""
    try:
        import onnx  # noqa: F401 - the exporter wants it
        import onnxruntime
    except ImportError as error:
        raise UserError(f"--onnx: {error.name} is missing; pip install onnx onnxruntime") from None
    import numpy as np
    import torch

    config = config_of(name)
    model = build_model(config).eval()
    path = folder / f"{name}.onnx"
    images = torch.randn(batch_size, config.img_channels, HEIGHT, WIDTH)
    torch.onnx.export(model, (images,), str(path), input_names=["images"], dynamo=False)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    feed = {"images": np.asarray(images)}
    times = []
    for _ in range(6 + 60 // batch_size):
        started = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - started)
    return statistics.median(times[3:]) / batch_size * 1000


def onnx_table(options: Options) -> None:
    print(f"\nONNX, fp32, one thread, median of {options.rounds} sessions")
    print("| backbone | ms, one picture | ms a picture, batch of 64 |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in BACKBONES:
            rounds = range(options.rounds)
            one = statistics.median(onnx_latency(name, 1, Path(folder)) for _ in rounds)
            many = statistics.median(onnx_latency(name, 64, Path(folder)) for _ in rounds)
            print(f"| {name} | {one:.2f} | {many:.2f} |")


def main(argv=None) -> int:
    from utils.device import set_threads

    options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(options.num_threads)
    print(machine_line())
    training_table(options)
    if options.onnx:
        onnx_table(options)
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
