"""Size, work, training and reading rate, and ONNX latency of every backbone, side by side.

  python -m benchmarks.backbones
  python -m benchmarks.backbones --onnx     also latency (pip install -r requirements-export.txt)
  python -m benchmarks.backbones --backbones light --necks bilstm none    necks instead

Each has the pictures, and the size of neck, that train.py gives it by default. Rates are taken in
turn, round after round; the median of the rounds is printed, and the ratio to the same round of
`basic` (where it is not among them, of the first), with the first neck.
Reading is the network alone, without pictures to prepare or texts to decode.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.report import Report, in_turn, median_ms, ratio
from models.config import ModelConfig
from models.registry import BACKBONES, NECKS, build_model
from utils.checkpoint import Checkpoint, Header
from utils.device import DEVICES
from utils.errors import run_script
from utils.export.onnx_file import need_onnx, write_onnx
from utils.networks import OnnxNetwork
from utils.options import option, parse
from utils.picture import ImageSpec
from utils.text.charset import preset_charset

NUM_CLASSES = 63


@dataclass(frozen=True)
class Options:
    backbones: tuple[str, ...] = option(tuple(BACKBONES), "networks")
    necks: tuple[str, ...] = option(("bilstm",), "necks, each behind each of them")
    rounds: int = option(5, "rounds, each of which times every backbone", above=0)
    steps: int = option(4, "steps a round", above=0)
    batch_size: int = option(32, "pictures a step", above=0)
    num_threads: int = option(1, "torch's CPU threads", above=0)
    amp: bool = option(True, "half precision where the hardware has it")
    device: str = option("cpu", "where to train and to read", DEVICES)
    onnx: bool = option(False, "also export and time with onnxruntime, fp32, one thread")
    output: str | None = option(None, "Markdown file to write the tables to")
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        asked = [("backbones", name, BACKBONES) for name in self.backbones]
        asked += [("necks", name, NECKS) for name in self.necks]
        wrong = [(flag, name, known) for flag, name, known in asked if name not in known]
        return [f"--{flag} {name}: not one of {', '.join(known)}" for flag, name, known in wrong]

    @property
    def networks(self) -> list[tuple[str, str]]:
        return list(itertools.product(self.backbones, self.necks))

    @property
    def reference(self) -> tuple[str, str]:
        """The one that the others are compared to."""
        return "basic" if "basic" in self.backbones else self.backbones[0], self.necks[0]


@dataclass(frozen=True)
class Network:
    """A backbone as train.py makes it by default, and the width of its pictures."""

    config: ModelConfig
    width: int

    @classmethod
    def of(cls, name: str, neck: str = "bilstm") -> Network:
        common = {"hidden_size": 256, "num_layers": 2, "img_channels": 1}
        values: dict[str, Any] = common | {"img_height": 60, "img_width": 160}
        values |= BACKBONES[name].defaults
        sizes = {key: values[key] for key in ("img_height", *common)}
        return cls(ModelConfig(name, NUM_CLASSES, **sizes, neck=neck), values["img_width"])

    def pictures(self, count: int):
        """Noise, (count, Ch, H, W)."""
        import torch

        return torch.randn(count, self.config.img_channels, self.config.img_height, self.width)

    def untrained(self) -> Checkpoint:
        """With random weights."""
        size = (self.config.img_height, self.width, self.config.img_channels)
        level = (0.5,) * self.config.img_channels
        header = Header(self.config, ImageSpec(*size, level, level), preset_charset("alnum62"))
        return Checkpoint(Path(self.config.backbone), header, build_model(self.config).state_dict())

    def reading_flops(self) -> float:
        """Floating-point operations of one picture that is read, two for each multiplication."""
        import torch
        from torch import nn
        from torch.utils.flop_counter import FlopCounterMode

        model = build_model(self.config).eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            columns = model.backbone(self.pictures(1), None)
            model.head(model.neck(columns, None))
        recurrent = sum(
            2 * value.numel() * columns.shape[1]
            for module in model.neck.modules()
            if isinstance(module, nn.RNNBase)
            for name, value in module.named_parameters()
            if "weight" in name
        )  # which torch does not count
        return counter.get_total_flops() + recurrent


class Trainee:
    """A model with what a training step needs, on pictures of noise."""

    def __init__(self, backbone: str, neck: str, options: Options):
        import torch

        from utils.device import half_precision, pick_device

        torch.manual_seed(0)
        self.device = pick_device(options.device)
        self.dtype = half_precision(self.device, options.amp)
        self.network = network = Network.of(backbone, neck)
        self.model = build_model(network.config).to(self.device)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.images = network.pictures(options.batch_size).to(self.device)
        self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.targets = torch.randint(1, NUM_CLASSES, (options.batch_size, 6), device=self.device)
        self.target_lengths = torch.full((options.batch_size,), 6)

    def forward(self):
        import torch

        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.model(self.images)

    def train(self) -> None:
        """A whole step: forward, loss, backward, optimizer."""
        from models.losses import ctc_loss

        self.model.train()
        logits, lengths = self.forward()
        loss = ctc_loss(logits, lengths, self.targets, self.target_lengths)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def read(self) -> None:
        import torch

        self.model.eval()
        with torch.inference_mode():
            self.forward()

    def rate(self, work: Callable[[], None], steps: int) -> float:
        """Pictures a second."""
        import torch

        started = time.perf_counter()
        for _ in range(steps):
            work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return steps * len(self.images) / (time.perf_counter() - started)


def rates_table(options: Options, report: Report) -> None:
    trainees = {names: Trainee(*names, options) for names in options.networks}
    works = {}
    for names, trainee in trainees.items():
        for work in (trainee.train, trainee.read):
            trainee.rate(work, 1)
            works[names, work.__name__] = partial(trainee.rate, work, options.steps)
    rates = in_turn(works, options.rounds)
    rows = []
    for names, trainee in trainees.items():
        config, width = trainee.network.config, trainee.network.width
        colours = "RGB" if config.img_channels == 3 else "grey"
        count = sum(parameter.numel() for parameter in trainee.model.parameters())
        rows.append([
            *names, f"{config.img_height} x {width}, {colours}", f"{count:,}",
            f"{trainee.network.reading_flops() / 1e9:.2f}",
        ])  # fmt: skip
        for work in ("train", "read"):
            found, other = rates[names, work], rates[options.reference, work]
            rows[-1] += [f"{statistics.median(found):.0f}", ratio(found, other)]
    half = str(trainees[options.reference].dtype).removeprefix("torch.")
    report.print(
        f"\n{options.device}, {'float32' if half == 'None' else half}, batch "
        f"{options.batch_size}, {options.num_threads} threads, n = {options.rounds} rounds"
    )
    report.table(
        ["backbone", "neck", "pictures", "parameters", "GFLOP to read one",
         "trains, pictures/s (median)", f"times {options.reference[0]} (min to max)",
         "reads, pictures/s (median)", f"times {options.reference[0]} (min to max)"], rows,
    )  # fmt: skip


def onnx_latency(backbone: str, neck: str, batch_size: int, folder: Path) -> float:
    """Median milliseconds a picture of the exported network, fp32, one thread."""
    import numpy as np

    path, shape = folder / f"{backbone} {neck}.onnx", Network.of(backbone, neck)
    if not path.exists():
        write_onnx(shape.untrained(), path, [Image.new("L", (160, 60))])
    network = OnnxNetwork(path, "cpu", 1)
    feed = shape.pictures(batch_size).numpy(), np.full(batch_size, shape.width)
    return median_ms(lambda: network.log_probs(*feed), 3 + 60 // batch_size) / batch_size


def onnx_table(options: Options, report: Report) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for names in options.networks:
            rows.append([*names])
            for size in (1, 64):
                found = (onnx_latency(*names, size, Path(folder)) for _ in range(options.rounds))
                rows[-1].append(f"{statistics.median(found):.2f}")
    report.print(f"\nONNX, fp32, one thread, median of {options.rounds} sessions")
    report.table(["backbone", "neck", "ms, one picture", "ms a picture, batch of 64"], rows)


def main(argv=None) -> int:
    from utils.device import set_threads

    options = parse(Options, argv, (__doc__ or "").strip()).options
    set_threads(options.num_threads)
    if options.onnx:
        need_onnx()
    report = Report("backbones", argv, options.output, ["onnxruntime"] if options.onnx else [])
    rates_table(options, report)
    if options.onnx:
        onnx_table(options, report)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
