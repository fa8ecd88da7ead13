"""The readers that benchmarks/peers.py compares, each started as its own documentation says.

A reader is a function from the path of a PNG file to a text. What is known of the pictures (their
characters) is told to a reader that has a setting for it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import find_pictures

EXAMPLES = Path(__file__).parent.parent / "examples"

Read = Callable[[Path], str]


@dataclass(frozen=True)
class Peer:
    """A row of the table: a reader in one of its settings."""

    name: str
    find: Callable[[], tuple[Any, str] | None]
    """What `start` and `files` are given (a module, a program), and its version; None: missing."""
    install: str
    """The line that installs it."""
    start: Callable[[Any, str, int | None], Read]
    """(found, characters of the pictures, CPU threads or None: as it comes) -> reader."""
    files: Callable[[Any], list[Path]]
    """The model files that `start` reads."""


def package(module: str, distribution: str) -> tuple[Any, str] | None:
    """An installed package and its version; ImportError where one is there but broken."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            return None
        raise
    try:
        return found, f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return found, distribution


@contextmanager
def onnx_threads(count: int | None) -> Iterator[None]:
    """Sessions made in here have that many threads, for a package that has no setting for it."""
    if count is None:
        yield
        return
    import onnxruntime

    make = onnxruntime.InferenceSession
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = count
    onnxruntime.InferenceSession = partial(make, sess_options=settings)
    try:
        yield
    finally:
        onnxruntime.InferenceSession = make


def start_ddddocr(
    module: Any, characters: str, threads: int | None, beta: bool, ranges: bool
) -> Read:
    with onnx_threads(threads):
        ocr = module.DdddOcr(show_ad=False, beta=beta)
    if ranges:
        ocr.set_ranges(characters)
    return lambda path: ocr.classification(path.read_bytes())


def ddddocr(beta: bool, ranges: bool) -> Peer:
    model = "common.onnx" if beta else "common_old.onnx"
    return Peer(
        f"ddddocr{', beta' * beta}{', set_ranges' * ranges}",
        partial(package, "ddddocr", "ddddocr"),
        "pip install ddddocr",
        partial(start_ddddocr, beta=beta, ranges=ranges),
        lambda module: [Path(module.__file__).parent / model],
    )


def start_rapidocr(module: Any, characters: str, threads: int | None, detect: bool) -> Read:
    settings: dict[str, Any] = {"Global.log_level": "error"}
    if threads is not None:
        settings["EngineConfig.onnxruntime.intra_op_num_threads"] = threads
    engine = module.RapidOCR(params=settings)

    def read(path: Path) -> str:
        result = engine(path.read_bytes(), use_det=detect, use_cls=detect, use_rec=True)
        return "".join(result.txts or ())

    return read


def rapidocr(detect: bool) -> Peer:
    def files(module: Any) -> list[Path]:
        models = (Path(module.__file__).parent / "models").glob("*.onnx")
        return [path for path in models if detect or "_rec_" in path.name]

    return Peer(
        "rapidocr, " + ("detection, direction and recognition" if detect else "recognition only"),
        partial(package, "rapidocr", "rapidocr"),
        "pip install rapidocr onnxruntime",
        partial(start_rapidocr, detect=detect),
        files,
    )


def start_whisperer(module: Any, characters: str, threads: int | None) -> Read:
    recognizer = module.CaptchaRecognizer(threads=threads)
    return lambda path: recognizer.recognize_bytes(path.read_bytes())["text"]


def start_captix(module: Any, characters: str, threads: int | None) -> Read:
    """Its weights are not in the package: the first start downloads them."""
    import torch

    try:
        model = module.from_pretrained()
    except Exception as error:  # what its download raises
        raise UserError(
            "weights are not in the package, and could not be downloaded from the Hugging Face Hub "
            f"({type(error).__name__})"
        ) from error
    count = threads or torch.get_num_threads()

    def read(path: Path) -> str:
        torch.set_num_threads(count)
        return module.decrypt(path, model=model, mask=list(characters))[0]

    return read


def captix_files(module: Any) -> list[Path]:
    from huggingface_hub import try_to_load_from_cache

    hub = importlib.import_module("captix.hub")
    cached = try_to_load_from_cache(hub.DEFAULT_REPO_ID, hub.WEIGHTS_FILENAME)
    return [Path(cached)] if isinstance(cached, str) else []


def find_tesseract() -> tuple[Any, str] | None:
    program = shutil.which("tesseract")
    if program is None:
        return None
    done = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8")
    return program, (done.stdout or done.stderr).splitlines()[0]


def start_tesseract(program: str, characters: str, threads: int | None) -> Read:
    """One process a picture, as pytesseract does it; --psm 8: the picture is a single word."""
    limit = {} if threads is None else {"OMP_THREAD_LIMIT": str(threads)}
    words = ["--psm", "8", "-c", f"tessedit_char_whitelist={characters}"]

    def read(path: Path) -> str:
        done = subprocess.run(
            [program, str(path), "stdout", *words],
            env={**os.environ, **limit}, check=True, capture_output=True, encoding="utf-8",
        )  # fmt: skip
        return done.stdout

    return read


def tesseract_files(program: str) -> list[Path]:
    done = subprocess.run([program, "--list-langs"], capture_output=True, encoding="utf-8")
    folder = (done.stdout or done.stderr).partition('"')[2].partition('"')[0]
    return [Path(folder) / "eng.traineddata"]


PEERS = (
    *(ddddocr(beta, ranges) for beta in (False, True) for ranges in (False, True)),
    rapidocr(detect=False),
    rapidocr(detect=True),
    Peer(
        "captcha-whisperer (upper case only)",
        partial(package, "captcha_whisperer", "captcha-whisperer"),
        "pip install captcha-whisperer",
        start_whisperer,
        lambda module: [module.default_model_path()],
    ),
    Peer(
        "captix",
        partial(package, "captix", "captix"),
        "pip install captix",
        start_captix,
        captix_files,
    ),
    Peer(
        "tesseract, single word, whitelist",
        find_tesseract,
        "apt install tesseract-ocr",
        start_tesseract,
        tesseract_files,
    ),
)


def own_readers(model_path: Path, folder: Path) -> tuple[Peer, ...]:
    """This project's reader, in PyTorch and as ONNX; it is not told the pictures' characters."""
    from models import __version__
    from utils.recognizer import Recognizer

    def start(_: Any, characters: str, threads: int | None) -> Read:
        import torch

        reader = Recognizer.load(model_path, "cpu")
        count = threads or torch.get_num_threads()

        def read(path: Path) -> str:
            torch.set_num_threads(count)
            return reader.read([path])[0].text

        return read

    def start_onnx(_: Any, characters: str, threads: int | None) -> Read:
        from utils.checkpoint import load_checkpoint
        from utils.export.onnx_file import write_onnx

        write_onnx(load_checkpoint(model_path), onnx_path, find_pictures(EXAMPLES))
        reader = Recognizer.load(onnx_path, "cpu", threads)
        return lambda path: reader.read([path])[0].text

    def find() -> tuple[Any, str]:
        return None, __version__

    onnx_path = folder / "model.onnx"
    return (
        Peer("**this project**, PyTorch", find, "", start, lambda _: [model_path]),
        Peer("**this project**, ONNX", find, "", start_onnx, lambda _: [onnx_path]),
    )
