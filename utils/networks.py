"""What turns stacked pictures into log_probs: a network of torch, or an ONNX file without torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from utils.checkpoint import METADATA_KEY, Header
from utils.device import own_cores
from utils.errors import UserError, first_line
from utils.picture import ImageSpec
from utils.ranks import Ranks
from utils.text.decoding import LogProbs

if TYPE_CHECKING:
    import torch

    from models.crnn import CRNN

INPUTS, OUTPUTS = ["images", "widths"], ["log_probs", "lengths"]
"""Of an exported file."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""Of ONNX Runtime, by our names of devices."""


class Network(Protocol):
    """Images (N, Ch, H, W) in float32, padded on the right, and true widths (N,) -> log_probs
    (N, T, C) in fp32 and lengths (N,), numpy arrays all of them."""

    def log_probs(self, images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What reads a batch; confidences are calibrated."""
        ...

    @property
    def holds_whole(self) -> bool:
        """Whether `steps` are log_probs too."""
        ...

    def steps(self, images: np.ndarray, widths: np.ndarray) -> tuple[LogProbs, np.ndarray]:
        """As `log_probs`; of a large charset as Steps, where it can do without the whole."""
        ...

    def num_steps(self, image: ImageSpec) -> int:
        """Time steps of the widest picture of that kind."""
        ...


class TorchSteps:
    """The Steps of a network of torch, which stay on its device, and in its precision."""

    def __init__(self, network: TorchNetwork, features: torch.Tensor, temperature: float):
        from models.heads import HeadSteps

        head = network.model.head
        self._network, self._features, self._temperature = network, features, temperature
        self._said = HeadSteps(features, head, temperature)
        self.shape = (*features.shape[:2], head.out_features)

    def tempered(self, temperature: float) -> TorchSteps:
        with self._network.reading():
            return TorchSteps(self._network, self._features, self._temperature * temperature)

    def best(self) -> np.ndarray:
        return self._said.best.cpu().numpy()

    def at(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        import torch

        device = self._said.best.device
        asked = (
            torch.from_numpy(np.ascontiguousarray(each)).to(device) for each in (rows, classes)
        )
        with self._network.reading():
            return self._said.at(*asked).cpu().numpy()


class TorchNetwork:
    """A model on a device, which may be in training otherwise."""

    def __init__(
        self,
        model: CRNN,
        device: torch.device | str = "cpu",
        amp_dtype: torch.dtype | None = None,
        temperature: float = 1.0,
    ):
        self.model, self.device = model, device
        self.amp_dtype, self.temperature = amp_dtype, temperature

    @property
    def holds_whole(self) -> bool:
        from models.heads import LARGE

        return self.model.config.num_classes < LARGE

    def num_steps(self, image: ImageSpec) -> int:
        return int(self.model.backbone.out_width(image.width))

    def log_probs(self, images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with self.reading():
            features, lengths = self._encoded(images, widths)
            logits = self.model.head(features)
        log_probs = (logits.float() / self.temperature).log_softmax(dim=2)
        return log_probs.cpu().numpy(), lengths.cpu().numpy()

    def steps(self, images: np.ndarray, widths: np.ndarray) -> tuple[LogProbs, np.ndarray]:
        if self.holds_whole:
            return self.log_probs(images, widths)
        with self.reading():
            features, lengths = self._encoded(images, widths)
            steps = TorchSteps(self, features, self.temperature)
        return steps, lengths.cpu().numpy()

    def _encoded(self, images: np.ndarray, widths: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        batch = torch.from_numpy(images).to(self.device)
        full = bool((widths == images.shape[3]).all())
        return self.model.encode(batch, None if full else torch.from_numpy(widths).to(self.device))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing learns in here, and the precision is the network's own."""
        import torch

        device_type = torch.device(self.device).type
        was_training = self.model.training
        self.model.eval()
        with (
            torch.inference_mode(),
            torch.autocast(device_type, self.amp_dtype, enabled=self.amp_dtype is not None),
        ):
            yield
        self.model.train(was_training)


class ExportedNetwork:
    """A network in a file, which tells its steps by reading a blank picture."""

    holds_whole = True

    def log_probs(self, images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def steps(self, images: np.ndarray, widths: np.ndarray) -> tuple[LogProbs, np.ndarray]:
        return self.log_probs(images, widths)

    def num_steps(self, image: ImageSpec) -> int:
        shape = (1, image.channels, image.height, image.width)
        _, [steps] = self.log_probs(np.zeros(shape, np.float32), np.array([image.width]))
        return int(steps)


class OnnxNetwork(ExportedNetwork):
    """A file that export.py wrote, in ONNX Runtime; torch is not needed.

    Raises UserError for a file that is damaged or foreign, a provider that is not there, and where
    onnxruntime is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "auto",
        num_threads: int | None = None,
        provider: str | None = None,
    ):
        self._session = open_session(path, device, num_threads, provider)
        known = self._session.get_modelmeta().custom_metadata_map
        inputs = [each.name for each in self._session.get_inputs()]
        if METADATA_KEY not in known or inputs != INPUTS:
            raise UserError(
                f"{path}: an ONNX file, but not one that export.py --format onnx or onnx-int8 wrote"
            )
        self.header = Header.from_json(known[METADATA_KEY], str(path))
        """What stood in the checkpoint that it was made from."""

    def log_probs(self, images: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_probs, lengths = self._session.run(
            OUTPUTS, dict(zip(INPUTS, (images, widths), strict=True))
        )
        return log_probs, lengths


def open_session(
    path: str | Path,
    device: str = "cpu",
    num_threads: int | None = 1,
    provider: str | None = None,
) -> Any:
    """A session of ONNX Runtime; UserError as of OnnxNetwork."""
    runtime = _onnxruntime()
    providers = [provider or _provider(runtime, device)]
    if providers[0] not in runtime.get_available_providers():
        there = ", ".join(runtime.get_available_providers())
        asked = f"--provider {provider}" if provider else f"--device {device}"
        raise UserError(f"{asked}: this onnxruntime has {there}; install one that has it")
    if providers[0] != PROVIDERS["cpu"]:
        providers.append(PROVIDERS["cpu"])  # for what the other cannot run
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = num_threads or min(own_cores(), 8)
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 4  # it raises what it logs
    try:
        return runtime.InferenceSession(
            str(path), settings, providers=[_on_own_gpu(name) for name in providers]
        )
    except Exception as error:  # one class of its own for each kind of damage
        raise UserError(
            f"{path}: truncated or damaged ({first_line(error)}); copy it or export it anew"
        ) from None


def _on_own_gpu(provider: str) -> Any:
    """Of several ranks, each has a GPU of its own."""
    ranks = Ranks.of_environment()
    if ranks.are_many and provider.startswith(("CUDA", "Tensorrt")):
        return provider, {"device_id": str(ranks.local_rank)}
    return provider


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "an .onnx file needs the package onnxruntime; run pip install -r "
            "requirements-deploy.txt"
        ) from None
    return onnxruntime


def _provider(runtime: Any, device: str) -> str:
    if device == "auto":
        there = runtime.get_available_providers()
        return next(PROVIDERS[kind] for kind in ("cuda", "cpu") if PROVIDERS[kind] in there)
    if device not in PROVIDERS:
        raise UserError(
            f"--device {device}: an .onnx file runs on {' or '.join(PROVIDERS)}; use --device auto"
        )
    return PROVIDERS[device]
