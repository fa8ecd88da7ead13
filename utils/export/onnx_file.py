"""A checkpoint as an ONNX file: batch and width of any size, true widths as an input."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from utils.checkpoint import METADATA_KEY, Checkpoint, Header
from utils.errors import UserError, first_line, need
from utils.export.parity import Parity, check_batches, compare
from utils.export.program import example, exported_program
from utils.networks import INPUTS, OUTPUTS, OnnxNetwork, TorchNetwork
from utils.picture import ImageSpec, Source

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def need_onnx() -> None:
    """UserError where what exports and runs is not installed."""
    need(PACKAGES, "requirements-export.txt")


def trace(module: nn.Module, spec: ImageSpec, path: Path) -> None:
    """By torch's older exporter, which runs the network once and writes down what it does."""
    axes = {
        "images": {0: "batch", 3: "width"},
        "widths": {0: "batch"},
        "log_probs": {0: "batch", 1: "steps"},
        "lengths": {0: "batch"},
    }
    write_trace(module, example(spec), path, INPUTS, OUTPUTS, axes)


def write_trace(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    """`axes` names the dimensions that are free."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one; and that shapes may be fixed
        torch.onnx.export(
            module, example, str(path), input_names=inputs, output_names=outputs,
            dynamic_axes=axes, dynamo=False,
        )  # fmt: skip


def torch_export(module: nn.Module, spec: ImageSpec, path: Path) -> None:
    """By torch.export."""
    import torch

    exported = exported_program(module, spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            exported, input_names=INPUTS, output_names=OUTPUTS, dynamo=True, verbose=False
        )
    assert program is not None
    program.save(str(path))


EXPORTERS: dict[str, Callable[[nn.Module, ImageSpec, Path], None]] = {
    "tracing": trace,
    "torch.export": torch_export,
}
"""In the order in which they are tried. The second makes a loop of an LSTM, which is slower than
ONNX's own, and as of torch 2.14 it can do neither a GRU nor attention over a BiLSTM; it is there
for the day when the older one is gone."""


def write_onnx(
    checkpoint: Checkpoint, path: Path, pictures: Sequence[Source]
) -> tuple[str, Parity]:
    """Write the file, with the checkpoint's header in its metadata; what exported it, and how far
    it is from PyTorch. Raises UserError where it reads otherwise, and leaves no file then."""
    from models.exported import ReadingNetwork

    header = checkpoint.header
    batches = check_batches(header.image, pictures)
    model = checkpoint.build()
    module = ReadingNetwork(model, header.temperature).eval()
    torch_network = TorchNetwork(model, temperature=header.temperature)
    failures = []
    for name, exporter in EXPORTERS.items():
        try:
            exporter(module, header.image, path)
            add_header(path, header)
            parity = compare(torch_network, OnnxNetwork(path, "cpu", 1), batches)
            if parity.holds:
                return name, parity
            failures.append(f"{name}: {parity}")
        except Exception as error:  # each exporter, and ONNX Runtime, raise what they like
            failures.append(f"{name}: {first_line(error)}")
        path.unlink(missing_ok=True)
    raise UserError(
        f"{checkpoint.path}: cannot be exported so that it reads as PyTorch does; nothing was "
        f"written ({'; '.join(failures)})"
    )


@contextmanager
def told_as(path: Path) -> Iterator[None]:
    """Exporters and ONNX Runtime raise what they like: here it becomes a sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path}: cannot be exported so ({first_line(error)}); nothing was written"
        ) from None


def add_header(path: Path, header: Header) -> None:
    """Put it into the file's metadata, which ONNX Runtime reads without the package onnx."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {METADATA_KEY: header.to_json()})
    onnx.save(model, str(path))
