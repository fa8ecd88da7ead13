"""Checkpoints: one file that says everything that is needed to read with it.

`.pth` (torch.save of plain tensors and values) and `.safetensors` hold the same JSON header.
Loading is strict and never runs code. torch is imported late: the header alone needs none.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from models import __version__
from models.config import ModelConfig
from utils.errors import UserError, first_line
from utils.file_kinds import file_kind, is_packed
from utils.files import atomic_write
from utils.picture import ImageSpec
from utils.text.charset import Charset

if TYPE_CHECKING:
    from torch import Tensor

    from models.crnn import CRNN

FORMAT = "crnn-reader"
FORMAT_VERSION = 4
"""2 brought the temperature; 3 the neck, and charsets that drop characters; 4 the head's size, and
labels in NFC."""
METADATA_KEY = "crnn"

SHIPPED_MODEL = (
    Path(__file__).resolve().parent.parent / "checkpoints" / "captcha62-light.safetensors"
)
"""The trained model that comes with the project; its card lies beside it."""


@dataclass(frozen=True)
class Header:
    """What a checkpoint knows about its weights.

    Checkpoints are passed on, so `train` holds no path that leads out of the project: of one that
    is absolute or climbs with `..`, the last name is kept.
    """

    model: ModelConfig
    image: ImageSpec
    charset: Charset
    metrics: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    temperature: float = 1.0
    """Divides the logits, so that confidences are shares of right texts (since version 2)."""

    def __post_init__(self) -> None:
        train = {name: _without_outer_folders(value) for name, value in self.train.items()}
        object.__setattr__(self, "train", train)

    def to_json(self) -> str:
        values = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(values, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, name: str) -> Header:
        """Parse a header; UserError, with the file's name, for one that cannot be read here."""
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            version = values.pop("format_version")
            if version > FORMAT_VERSION:
                raise UserError(
                    f"{name}: format version {version} is newer than {FORMAT_VERSION}, the newest "
                    "that this project reads; update the project"
                )
            image = values.pop("image")
            image = {k: tuple(v) if isinstance(v, list) else v for k, v in image.items()}
            model, known = ModelConfig(**values.pop("model")), values.pop("charset")
            charset = Charset(
                known.pop("characters"),
                known.pop("name"),
                tuple(known.pop("alike", ())),
                known.pop("drops", False),
                known.pop("nfc", False),
            )
            if known:
                raise ValueError(f"a charset with {', '.join(known)}")
            if model.num_classes != charset.num_classes:
                raise ValueError(f"{len(charset)} characters, but {model.num_classes} classes")
            if not 0 < values.get("temperature", 1.0) < float("inf"):
                raise ValueError(f"a temperature of {values['temperature']}")
            return cls(model, ImageSpec(**image), charset, **values)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{name}: its header is damaged or foreign ({error!r})") from None


def _without_outer_folders(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    path = PureWindowsPath(value)  # it knows both separators
    return path.name if path.root or ".." in path.parts else value


def versions() -> dict[str, str]:
    """Versions that made a checkpoint."""
    import torch

    return {"project": __version__, "torch": torch.__version__}


@dataclass(frozen=True)
class Checkpoint:
    """A file's content; `training` is what a resume needs, None in one that only reads."""

    path: Path
    header: Header
    state_dict: dict[str, Tensor]
    training: dict[str, Any] | None = None

    def build(self) -> CRNN:
        """The network with these weights, in evaluation mode."""
        import torch

        from models.registry import build_model

        try:
            if self.header.model.num_layers > len(self.state_dict):
                raise ValueError(f"{self.header.model.num_layers} layers")
            with torch.device("meta"):  # takes no memory, whatever sizes a damaged header says
                build_model(self.header.model).load_state_dict(self.state_dict, assign=True)
            model = build_model(self.header.model)
            model.load_state_dict(self.state_dict)
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()
            raise UserError(
                f"{self.path}: its weights do not fit its own header ({reason[-1].strip()}); "
                "the file is damaged"
            ) from None
        return model.eval()


def save_checkpoint(
    path: str | Path,
    header: Header,
    state_dict: Mapping[str, Tensor],
    training: dict[str, Any] | None = None,
    keep_as: Path | None = None,
) -> None:
    """Write .pth or .safetensors, by name, whole or not at all. `training` fits only in .pth. What
    stood there is renamed to `keep_as`."""
    import torch
    from safetensors.torch import save

    # Clones, because cuDNN's flattened LSTM weights are views of one storage.
    tensors = {
        name: value.detach().cpu().contiguous().clone() for name, value in state_dict.items()
    }
    if Path(path).suffix == ".safetensors":
        if training is not None:
            raise ValueError("a .safetensors file holds no training state")
        data = save(tensors, metadata={METADATA_KEY: header.to_json()})
    else:
        content: dict[str, Any] = {"header": header.to_json(), "model": tensors}
        if training is not None:
            content["training"] = training
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getvalue()
    with atomic_write(path, keep_as=keep_as) as file:
        file.write(data)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a .pth or .safetensors, told apart by content; UserError says what is wrong with it."""
    kind, path = file_kind(path), Path(path)
    if kind == "onnx":
        raise UserError(f"{path}: an .onnx file only reads; give the checkpoint it was made from")
    return _load_pth(path) if kind == "pth" else _load_safetensors(path)


def _load_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: its own keep the file mapped, and Windows replaces no such file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); copy or train it anew") from None
    if METADATA_KEY not in metadata:
        raise UserError(f"{path}: a .safetensors file, but not a checkpoint of this project")
    return Checkpoint(path, Header.from_json(metadata[METADATA_KEY], str(path)), tensors)


def _load_pth(path: Path) -> Checkpoint:
    import torch

    if is_packed(path):
        raise UserError(f"{path}: damaged or foreign; expected a checkpoint of this project")
    try:
        with path.open("rb") as file:  # opened here: by a path, torch.load would go by its name
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: damaged, or holds pickled code or objects, which are never run here; "
            "expected a checkpoint of this project"
        ) from None
    except Exception as error:  # a damaged pickle raises what it likes
        raise UserError(
            f"{path}: truncated or damaged ({first_line(error)}); copy or train it anew"
        ) from None
    has_header = isinstance(content, dict) and isinstance(content.get("header"), str)
    if not has_header or not isinstance(content.get("model"), dict):
        raise UserError(f"{path}: a .pth file, but not a checkpoint of this project")
    header = Header.from_json(content["header"], str(path))
    return Checkpoint(path, header, content["model"], content.get("training"))
