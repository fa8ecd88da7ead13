"""An ONNX file with whole numbers of eight bits in place of floats: smaller, and faster on CPUs.

Convolutions are calibrated: the range of what goes through each is taken from pictures. Recurrent
layers and the head find theirs anew for each batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.checkpoint import Header
from utils.export.onnx_file import add_header
from utils.picture import PictureError, Source, prepare, stack

BATCH_SIZE = 16


def quantize(path: Path, header: Header, pictures: Sequence[Source], output: Path) -> int:
    """Write the file `path` in eight bits, calibrated on pictures, of which those that cannot be
    read are passed over; how many it saw."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches, count = _calibration(header, pictures)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        folded, calibrated = Path(folder) / "folded.onnx", Path(folder) / "calibrated.onnx"
        quant_pre_process(str(path), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded), str(calibrated), Reader(), op_types_to_quantize=["Conv"],
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )  # fmt: skip
        quantize_dynamic(
            str(calibrated), str(output), op_types_to_quantize=["LSTM", "MatMul"],
            weight_type=QuantType.QInt8,
        )  # fmt: skip
    add_header(output, header)
    return count


def _calibration(
    header: Header, pictures: Sequence[Source]
) -> tuple[list[dict[str, np.ndarray]], int]:
    prepared = []
    for picture in pictures:
        try:
            prepared.append(prepare(picture, header.image))
        except PictureError:
            continue
    prepared.sort(key=lambda picture: picture.shape[2])  # of like widths
    batches = []
    for start in range(0, len(prepared), BATCH_SIZE):
        images, widths = stack(prepared[start : start + BATCH_SIZE])
        batches.append({"images": images, "widths": widths})
    return batches, len(prepared)
