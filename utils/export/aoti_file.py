"""A checkpoint as a .pt2 package of AOTInductor: compiled for this machine's kind of processor, for
programs in C++ that link against libtorch of the same release. examples/cpp is one."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.checkpoint import METADATA_KEY, Checkpoint, Header
from utils.errors import UserError, first_line
from utils.export.parity import Parity, check_batches, compare
from utils.export.program import exported_program
from utils.networks import ExportedNetwork, TorchNetwork
from utils.picture import Source


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


class AotiNetwork(ExportedNetwork):
    """A `Network` (utils/networks.py) of a package that `write_aoti` wrote; RuntimeError where it
    is none. Loading it runs what it holds, which is machine code; so `Recognizer.load`, which
    takes files of strangers, does not."""

    def __init__(self, path: str | Path):
        import torch

        self._run = torch._inductor.aoti_load_package(str(path))
        self.metadata: dict[str, str] = self._run.get_metadata()

    def log_probs(self, images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            log_probs, lengths = self._run(torch.from_numpy(images), torch.from_numpy(widths))
        return log_probs.numpy(), lengths.numpy()


def metadata(header: Header) -> dict[str, str]:
    """The header as every file has it; what preparing and spelling need of it, one by one, for
    programs that read no JSON (numbers of several channels stand with spaces between them); and
    what the package runs on."""
    import torch

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
        "crnn.torch": torch.__version__,
        "crnn.cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def write_aoti(checkpoint: Checkpoint, path: Path, pictures: Sequence[Source]) -> Parity:
    """Write the package; how far it is from PyTorch. Raises UserError where it reads otherwise, or
    cannot be compiled; and leaves no file then."""
    import torch

    from models.exported import ReadingNetwork

    header = checkpoint.header
    if header.model.neck == "bigru":
        raise UserError(
            f"{checkpoint.path}: its neck is bigru, of which AOTInductor as of torch 2.14 makes a "
            "program that reads otherwise now and then; use --format onnx"
        )
    batches = check_batches(header.image, pictures)
    model = checkpoint.build()
    module = ReadingNetwork(model, header.temperature).eval()
    settings = {
        "freezing": True,
        "cpp.threads": 1,  # for several, the time of one picture doubled
        "aot_inductor.metadata": metadata(header),
    }
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # there may be no GPU
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        whole, kept = Path(folder) / "whole.pt2", Path(folder) / "kept.pt2"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch._inductor.aoti_compile_and_package(
                    exported_program(module, header.image),
                    package_path=str(whole),
                    inductor_configs=settings,
                )
            without_places(whole, kept)
            torch_network = TorchNetwork(model, temperature=header.temperature)
            parity = compare(torch_network, AotiNetwork(kept), batches)
        except Exception as error:  # exporter, compiler and loader raise what they like
            raise UserError(
                f"{checkpoint.path}: cannot be compiled ({reason_of(error)}); nothing was written"
            ) from None
        if not parity.holds:
            raise UserError(
                f"{checkpoint.path}: the package reads otherwise ({parity}); nothing was written"
            )
        path.write_bytes(kept.read_bytes())
    return parity


def reason_of(error: Exception) -> str:
    """Of a compiler's long message, the line that says what is wrong."""
    lines = str(error).splitlines()
    return next((line.strip() for line in lines if "error:" in line), first_line(error))


def without_places(package: Path, output: Path) -> None:
    """A copy that does not tell where it was compiled: without the C++ code, which nothing reads,
    and with the names of folders in what was compiled made unreadable, in as many bytes."""
    import torch
    from torch._inductor.codecache import cache_dir

    places = {sys.prefix, sys.base_prefix, str(Path(torch.__file__).parent), str(Path.home())}
    places |= {cache_dir(), tempfile.gettempdir()}
    names = sorted((place.encode() for place in places if len(place) > 1), key=len, reverse=True)
    with zipfile.ZipFile(package) as whole, zipfile.ZipFile(output, "w") as kept:
        for entry in whole.infolist():
            if entry.filename.endswith((".cpp", ".h")):
                continue
            data = whole.read(entry)
            for name in names:
                data = data.replace(name + b"/", b"_" * len(name) + b"/")
            kept.writestr(entry.filename, data)
