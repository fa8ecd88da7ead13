"""The weights that a training starts from: random, ImageNet's, or another checkpoint's."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from models.config import ModelConfig
from models.crnn import CRNN
from models.heads import start_with_blanks
from models.registry import backbone_entry, build_model
from models.transfer import carry_head, fit_picture, load_backbone
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.picture import LUMA
from utils.text.charset import Charset

RANDOM_WEIGHTS = "random weights"


def changed_charset(
    old: Charset, wanted: Charset, labels: Iterable[str], change: str, source: Path
) -> Charset:
    """The charset to fine-tune with, where a checkpoint's meets a data set's.

    fail: keep the old one, UserError if a label needs more. extend: the old one and what the
    labels need. replace: the data set's own.
    """
    if change == "replace":
        return wanted
    missing = old.missing(labels if change == "extend" else map(old.fold, labels))
    if not missing:
        return old
    if change == "extend":
        extra = "".join(sorted(missing))
        return replace(old, characters=old.characters + extra, name=f"{old.name}+{len(extra)}")
    shown = ", ".join(f"{ch!r} x {count}" for ch, count in list(missing.items())[:20])
    raise UserError(
        f"--init_from {source}: its charset {old.name} lacks {len(missing)} characters of the "
        f"labels ({shown}); choose --charset_change extend or replace"
    )


def initial_model(
    config: ModelConfig,
    charset: Charset,
    init_from: Checkpoint | None,
    pretrained: bool,
    pretrained_path: str | None,
) -> tuple[CRNN, str]:
    """The model to train and a sentence on where its weights come from."""
    model = build_model(config)
    start_with_blanks(model.head)
    if init_from is not None:
        kept = _take_over(model, init_from, charset)
        return model, f"weights of {init_from.path}, {kept} of {len(charset)} characters known"
    if pretrained_path is not None:
        _load_file(model, Path(pretrained_path))
        return model, f"backbone weights of {pretrained_path}"
    weights = backbone_entry(config.backbone).imagenet_weights
    if pretrained and weights is not None:
        load_backbone(model, _download(weights))
        return model, f"ImageNet weights of torchvision ({weights})"
    return model, RANDOM_WEIGHTS


def new_head(num_features: int, num_classes: int) -> nn.Linear:
    """Of random weights."""
    head = nn.Linear(num_features, num_classes)
    start_with_blanks(head)
    return head


def _take_over(model: CRNN, checkpoint: Checkpoint, charset: Charset) -> int:
    """Everything but the head, made to fit the picture, and the head's rows of known characters."""
    checkpoint.build()  # says what is wrong with a file that does not fit its own header
    old = fit_picture(checkpoint.state_dict, model, LUMA)
    weight, bias = old.pop("head.weight"), old.pop("head.bias")
    try:
        result = model.load_state_dict(old, strict=False)
        missing = [name for name in result.missing_keys if not name.startswith("head.")]
        if missing or result.unexpected_keys:
            raise RuntimeError(f"{(missing + result.unexpected_keys)[0]} does not match")
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"--init_from {checkpoint.path}: its weights do not fit this model ({reason}); "
            "leave --backbone, --neck, --hidden_size, --num_layers and --head_size to it"
        ) from None
    before = checkpoint.header.charset.characters
    # A class that is written differently now, such as a letter in the other case, is the same one.
    was = {charset.fold(ch): ch for ch in reversed(before)}
    classes = ["", *(ch if ch in before else was.get(ch, ch) for ch in charset.characters)]
    old_classes = ["", *before]
    assert isinstance(model.head, nn.Linear)
    return carry_head(weight, bias, old_classes, classes, model.head) - 1


def _load_file(model: CRNN, path: Path) -> None:
    try:
        state_dict = torch.load(path, map_location="cpu", weights_only=True)
        load_backbone(model, state_dict)
    except FileNotFoundError:
        raise UserError(f"--pretrained_path {path}: no such file") from None
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"--pretrained_path {path}: does not fit backbone {model.config.backbone} ({error}); "
            "expected the state_dict of torchvision's network"
        ) from None
    except pickle.UnpicklingError:
        raise UserError(
            f"--pretrained_path {path}: damaged, or holds pickled code or objects, which are never "
            "run here; expected a plain state_dict"
        ) from None
    except (RuntimeError, OSError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--pretrained_path {path}: not a file of weights that can be read ({reason})"
        ) from None


def _download(weights: str):
    """torchvision's own weights, from its cache or the network."""
    from torchvision.models import get_weight

    try:
        return get_weight(f"{weights}.DEFAULT").get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"--pretrained: {weights} could not be downloaded ({error}); use --no-pretrained for "
            "random weights, --pretrained_path FILE for a copy, or --init_from a checkpoint"
        ) from None
