"""A checkpoint as the pair of files that ddddocr's `import_onnx_path` and `charsets_path` load.

ddddocr (1.6.1) turns a picture grey where the model has one channel, scales it by Lanczos' filter,
divides its levels by 255, and takes of each step the class with the most; class 0 is the blank.
Our own readers scale with a bilinear filter, so that a text may differ now and then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.checkpoint import Checkpoint, Header
from utils.errors import UserError
from utils.export.onnx_file import add_header, told_as, write_trace
from utils.export.parity import TOLERANCE, check_batches, largest_gap
from utils.networks import open_session
from utils.picture import ImageSpec, Source
from utils.text.charset import Charset


def charset_json(charset: Charset, image: ImageSpec) -> str:
    """Classes in their order, and the size that pictures are scaled to."""
    width = -1 if image.keep_ratio else image.width  # -1: as their ratio has it
    values = {
        "charset": ["", *charset.characters],
        "word": False,  # a text, not one character
        "image": [width, image.height],
        "channel": image.channels,
    }
    return json.dumps(values, ensure_ascii=False)


def write_ddddocr(checkpoint: Checkpoint, path: Path, pictures: Sequence[Source]) -> float:
    """Write the .onnx file; the largest difference of a logit to PyTorch's, over pictures of three
    widths. UserError, and no file, where that is too much, or where text runs down."""
    import torch

    from models.exported import PlainNetwork

    header = checkpoint.header
    if header.image.direction != "horizontal":
        raise UserError(f"{checkpoint.path}: it reads downwards, which ddddocr does not")
    module = PlainNetwork(checkpoint.build(), header.image.mean, header.image.std).eval()
    image, batches = header.image, _levels(header, pictures)
    example = torch.zeros(1, image.channels, image.height, image.width)
    axes = {"input1": {0: "batch", 3: "width"}, "logits": {0: "steps", 1: "batch"}}
    with told_as(checkpoint.path):
        write_trace(module, (example,), path, ["input1"], ["logits"], axes)
        add_header(path, header)
        session, most = open_session(path), 0.0
        for batch in batches:
            with torch.inference_mode():
                wanted = module(torch.from_numpy(batch)).numpy()
            [found] = session.run(None, {"input1": batch})
            most = max(most, largest_gap(wanted, found))
    if most > TOLERANCE:
        path.unlink()
        raise UserError(
            f"{checkpoint.path}: its logits as ddddocr's file differ by {most:.1e}, more than "
            f"{TOLERANCE}; nothing was written"
        )
    return most


def _levels(header: Header, pictures: Sequence[Source]) -> list[np.ndarray]:
    """(1, Ch, H, W) each, of levels 0 to 1, as ddddocr gives them, in several widths."""
    shape = (1, -1, 1, 1)
    mean, std = (
        np.array(v, np.float32).reshape(shape) for v in (header.image.mean, header.image.std)
    )
    return [
        images[:1, :, :, : widths[0]] * std + mean
        for images, widths in check_batches(header.image, pictures)
    ]
