"""A network as a program of torch.export: batch and width of any size."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from utils.picture import ImageSpec

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram


def example(spec: ImageSpec) -> tuple[Tensor, Tensor]:
    """images and widths of two pictures, one of them padded."""
    import torch

    images = torch.zeros(2, spec.channels, spec.height, spec.width)
    return images, torch.tensor([spec.width, max(spec.MIN_WIDTH, spec.width // 2)])


def exported_program(module: nn.Module, spec: ImageSpec) -> ExportedProgram:
    """By torch.export, of images and widths.

    As of torch 2.14 it writes down as many steps of an LSTM or a GRU as the example has, whatever
    the width, unless it is told to make a loop of them.
    """
    import torch
    from torch.export import _patches

    torch.compiler.reset()  # nothing of an earlier export is to be in this one
    any_size = torch.export.Dim.DYNAMIC
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            _patches.register_lstm_while_loop_decomposition(),
            _patches.register_gru_while_loop_decomposition(),
        ):
            warnings.simplefilter("ignore")
            forget_ways()
            return torch.export.export(
                module,
                example(spec),
                dynamic_shapes={"images": {0: any_size, 3: any_size}, "widths": {0: any_size}},
            )
    finally:
        forget_ways()


def forget_ways() -> None:
    """Or recurrent layers go the way of the last time that something was exported."""
    import torch

    for op in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        op._dispatch_cache.clear()
