"""A checkpoint as a .pt2 package of AOTInductor: compiled for the processor of this machine, for
programs in C++ that link against libtorch. examples/cpp is one."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.checkpoint import METADATA_KEY, Checkpoint, Header
from utils.errors import UserError, first_line
from utils.export.onnx_file import told_as
from utils.export.parity import Parity, check_batches, compare
from utils.export.program import exported_program
from utils.networks import TorchNetwork
from utils.picture import ImageSpec, Source


def need_compiler() -> None:
    """UserError where there is none that AOTInductor could call."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # of another class on each system
        raise UserError(
            f"--format aoti takes a C++ compiler ({first_line(error)}); install one, such as g++, "
            "or name it in the environment variable CXX"
        ) from None


class AotiNetwork:
    """A package that `write_aoti` wrote. Loading it runs what it holds, which is machine code; so
    `Recognizer.load`, which takes files of strangers, does not."""

    def __init__(self, path: str | Path):
        import torch

        self._run = torch._inductor.aoti_load_package(str(path))
        self.metadata: dict[str, str] = self._run.get_metadata()

    def num_steps(self, image: ImageSpec) -> int:
        shape = (1, image.channels, image.height, image.width)
        _, [steps] = self.log_probs(np.zeros(shape, np.float32), np.array([image.width]))
        return int(steps)

    def log_probs(self, images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            log_probs, lengths = self._run(torch.from_numpy(images), torch.from_numpy(widths))
        return log_probs.numpy(), lengths.numpy()


def metadata(header: Header) -> dict[str, str]:
    """The header as every file has it, and what preparing and spelling need of it, one by one, for
    programs that read no JSON. Numbers of several channels stand with spaces between them."""
    image = header.image
    return {
        METADATA_KEY: header.to_json(),
        "crnn.height": str(image.height),
        "crnn.width": str(image.width),
        "crnn.channels": str(image.channels),
        "crnn.mean": " ".join(map(repr, image.mean)),
        "crnn.std": " ".join(map(repr, image.std)),
        "crnn.keep_ratio": str(int(image.keep_ratio)),
        "crnn.direction": image.direction,
        "crnn.characters": header.charset.characters,
    }


def without_sources(package: Path, output: Path) -> None:
    """A copy without the C++ code, which nothing reads, and which says where it was compiled."""
    with zipfile.ZipFile(package) as whole, zipfile.ZipFile(output, "w") as kept:
        for entry in whole.infolist():
            if not entry.filename.endswith((".cpp", ".h")):
                kept.writestr(entry.filename, whole.read(entry))


def write_aoti(checkpoint: Checkpoint, path: Path, pictures: Sequence[Source]) -> Parity:
    """Write the package; how far it is from PyTorch. Raises UserError where it reads otherwise,
    and where no C++ compiler is there, which it takes; and leaves no file then."""
    import torch

    from models.exported import ReadingNetwork

    header = checkpoint.header
    batches = check_batches(header.image, pictures)
    model = checkpoint.build()
    module = ReadingNetwork(model, header.temperature).eval()
    settings = {"freezing": True, "aot_inductor.metadata": metadata(header)}
    with (
        told_as(checkpoint.path),
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        warnings.simplefilter("ignore")
        program = exported_program(module, header.image)
        whole = Path(folder) / "whole.pt2"
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(whole), inductor_configs=settings
        )
        without_sources(whole, path)
        network = AotiNetwork(path)
        parity = compare(TorchNetwork(model, temperature=header.temperature), network, batches)
    if not parity.holds:
        path.unlink()
        raise UserError(f"{checkpoint.path}: the package reads otherwise ({parity}); not written")
    return parity
