"""An ONNX file with whole numbers of eight bits in place of floats: smaller, and faster on CPUs.

Convolutions are calibrated: the range of what goes through each is taken from pictures. Recurrent
layers and the head find theirs anew for each batch. Weights have seven bits (reduce_range): with
eight, ONNX Runtime's sums of two products overflow on CPUs without VNNI.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.checkpoint import Checkpoint, Header
from utils.export.onnx_file import add_header, told_as
from utils.networks import OUTPUTS
from utils.picture import Source, prepare, stack

BATCH_SIZE = 16


def quantize(path: Path, checkpoint: Checkpoint, pictures: Sequence[Source], output: Path) -> None:
    """Write the file `path` in eight bits, calibrated on pictures, which can all be read.

    UserError where that cannot be.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = _calibration(checkpoint.header, pictures)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    with told_as(checkpoint.path), tempfile.TemporaryDirectory() as folder:
        folded, calibrated = Path(folder) / "folded.onnx", Path(folder) / "calibrated.onnx"
        quant_pre_process(str(path), str(folded), skip_symbolic_shape=True)
        # The calibration keeps what a graph gives for all pictures, which of 30,000 classes is too
        # much, and nothing to it.
        log_probs = take_output(folded, OUTPUTS[0])
        quantize_static(
            str(folded), str(calibrated), Reader(), op_types_to_quantize=["Conv"],
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
        )  # fmt: skip
        give_output(calibrated, log_probs)
        quantize_dynamic(
            str(calibrated), str(output), op_types_to_quantize=["LSTM", "MatMul"],
            weight_type=QuantType.QInt8, reduce_range=True,
        )  # fmt: skip
        add_header(output, checkpoint.header)


def take_output(path: Path, name: str) -> Any:
    """Make a graph's file one that does not give that output; what `give_output` gives back."""
    import onnx

    model = onnx.load(path)
    [output] = [each for each in model.graph.output if each.name == name]
    model.graph.output.remove(output)
    onnx.save(model, path)
    return output


def give_output(path: Path, output: Any) -> None:
    import onnx

    model = onnx.load(path)
    model.graph.output.insert(0, output)
    onnx.save(model, path)


def _calibration(header: Header, pictures: Sequence[Source]) -> list[dict[str, np.ndarray]]:
    """Batches of pictures of like widths."""
    prepared = [prepare(picture, header.image) for picture in pictures]
    prepared.sort(key=lambda picture: picture.shape[2])
    batches = []
    for start in range(0, len(prepared), BATCH_SIZE):
        images, widths = stack(prepared[start : start + BATCH_SIZE])
        batches.append({"images": images, "widths": widths})
    return batches
