"""A checkpoint's network as an ONNX file, checked against PyTorch.

  pip install -r requirements-export.txt
  python -m benchmarks.export_onnx --model_path checkpoints/best.pth --output output/best.onnx

Input `images` (N, Ch, H, W), prepared as utils.picture does; outputs `logits` (N, T, C) and
`lengths` (N,). Only for models that read pictures of one width.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.errors import UserError, run_script
from utils.files import atomic_write, check_output_file
from utils.options import option, parse
from utils.picture import stack
from utils.recognizer import Recognizer

if TYPE_CHECKING:
    from models.crnn import CRNN

TOLERANCE = 1e-4
"""Largest difference of a logit to PyTorch's."""


@dataclass(frozen=True)
class Options:
    model_path: str | None = option(None, "checkpoint to export")
    output: str | None = option(None, "ONNX file to write")
    batch_size: int | None = option(
        None, "pictures that the file takes at once (default: any number)", above=0
    )
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        return [
            f"--{name} is missing; give {what}"
            for name, what in (("model_path", "a checkpoint"), ("output", "a file to write"))
            if getattr(self, name) is None
        ]


def need_onnx() -> None:
    """UserError where what exports and runs is not installed."""
    for name in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(
                f"the package {name} is missing; run pip install -r requirements-export.txt"
            ) from None


def export(model: CRNN, height: int, width: int, path: Path, batch_size: int | None = None) -> None:
    """Write the network for pictures of that size; `batch_size` None: any number at once."""
    import torch

    images = torch.zeros(batch_size or 2, model.config.img_channels, height, width)
    names = ["images", "logits", "lengths"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing fixes a shape: `difference` looks at that
        torch.onnx.export(
            model.eval(),
            (images,),
            str(path),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes=None if batch_size else {name: {0: "batch"} for name in names},
            dynamo=False,  # as fast in onnxruntime as what torch.export gives, and in one file
        )


def open_session(path: Path, num_threads: int = 1) -> Any:
    """An onnxruntime session on the CPU."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = num_threads
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def difference(model: CRNN, session: Any, images: np.ndarray) -> float:
    """Largest difference of a logit between PyTorch and the session; inf where lengths differ."""
    import torch

    with torch.inference_mode():
        logits, lengths = model(torch.from_numpy(images))
    found, found_lengths = session.run(None, {"images": images})
    if found.shape != tuple(logits.shape) or not (found_lengths == lengths.numpy()).all():
        return float("inf")
    return float(np.abs(found - logits.numpy()).max())


class OnnxRecognizer(Recognizer):
    """The reader of a checkpoint, with an ONNX session in the network's place."""

    def __init__(self, reader: Recognizer, session: Any):
        super().__init__(reader.model, reader.image, reader.charset)
        self.header, self.session = reader.header, session

    def log_probs(self, pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        logits, lengths = self.session.run(None, {"images": stack(pictures)[0]})
        top = logits.max(axis=2, keepdims=True)
        return logits - top - np.log(np.exp(logits - top).sum(axis=2, keepdims=True)), lengths


def export_checked(reader: Recognizer, path: Path, batch_size: int | None = None) -> float:
    """Export a reader's network; returns the largest difference to PyTorch's logits.

    UserError, and no file, where that is more than TOLERANCE.
    """
    need_onnx()
    image = reader.image
    if image.keep_ratio:
        raise UserError("the model reads pictures of several widths; only one width is exported")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        export(reader.model, image.height, image.width, draft, batch_size)
        session = open_session(draft)
        sizes = [batch_size] if batch_size else [1, 3]
        shapes = [(size, image.channels, image.height, image.width) for size in sizes]
        most = max(
            difference(reader.model, session, rng.standard_normal(shape, dtype=np.float32))
            for shape in shapes
        )
        if most > TOLERANCE:
            raise UserError(
                f"the exported network's logits differ from PyTorch's by {most:.1e}, more than "
                f"{TOLERANCE}; nothing was written"
            )
        with atomic_write(path) as file:
            file.write(draft.read_bytes())
    return most


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    path = Path(options.output or "")
    check_output_file(path)
    need_onnx()
    reader = Recognizer.load(options.model_path or "", "cpu")
    most = export_checked(reader, path, options.batch_size)
    batch = options.batch_size or "any"
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, batch {batch}, "
        f"largest difference to PyTorch's logits {most:.1e}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
