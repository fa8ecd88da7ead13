"""From options to what the loop needs: data, charset and model. Checks come first."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from models.config import ModelConfig
from models.crnn import CRNN
from models.registry import backbone_entry
from models.transfer import freeze
from utils.checkpoint import Checkpoint, load_checkpoint
from utils.device import half_precision, pick_device, share_cores
from utils.errors import UserError
from utils.files import check_output_file, remove_leftovers
from utils.options import Parsed
from utils.picture import ImageSpec, prepared_width
from utils.text.charset import Charset
from utils.training.curves import need_tensorboard
from utils.training.data import Data, check_same_data, choose_charset, read_data
from utils.training.labels import check_fits, check_known
from utils.training.state import (
    RUN_FILES,
    STATE_KEYS,
    carry_best,
    check_unchanged,
    keep_previous_run,
    seed_everything,
)
from utils.training.weights import RANDOM_WEIGHTS, initial_model
from utils.training.widths import widths_at_ratio

if TYPE_CHECKING:
    from utils.training.options import TrainOptions

COMMON_DEFAULTS: dict[str, Any] = {
    "hidden_size": 256,
    "num_layers": 2,
    "img_height": 60,
    "img_width": 160,
    "img_channels": 1,
    "keep_ratio": False,
    "lr": 1e-3,
    "batch_size": 32,
    "optimizer": "adamw",
}
FREE_ON_RESUME = frozenset(
    {"resume", "config", "data_root", "save_dir", "device", "num_workers", "num_threads"}
)
FROM_CHECKPOINT = (
    "backbone", "neck", "hidden_size", "num_layers", "dropout", "img_height", "img_channels"
)  # fmt: skip
OVERFIT = {"dropout": 0.0, "color_jitter": 0.0, "augment": "none", "fresh": 0.0,
           "scheduler": "constant", "warmup": 0.0}  # fmt: skip


def resolve_options(
    parsed: Parsed[TrainOptions],
) -> tuple[TrainOptions, Checkpoint | None, Checkpoint | None]:
    """Options with every default filled in, the checkpoint to resume, the one to start from."""
    options, given = parsed.options, parsed.given
    if options.resume is not None:
        resumed = _resumed(options)
        if resumed is None:
            options = dataclasses.replace(options, resume=None)
        else:
            assert resumed.training is not None
            stored = with_newer_options(type(options), resumed.training["options"])
            changed = {name: getattr(options, name) for name in sorted(given)}
            check_unchanged(stored, changed, FREE_ON_RESUME, resumed.path)
            free = {name: value for name, value in changed.items() if name in FREE_ON_RESUME}
            free.setdefault("save_dir", str(resumed.path.parent))  # wherever the run now lies
            stored = {name: _tuple(value) for name, value in stored.items()}
            return type(options)(**{**stored, **free}), resumed, None
    init_from = load_checkpoint(options.init_from) if options.init_from else None
    values: dict[str, Any] = {}
    if init_from is not None:
        config = dataclasses.asdict(init_from.header.model)
        values = {name: config[name] for name in FROM_CHECKPOINT if name not in given}
        if "img_width" not in given:
            values["img_width"] = init_from.header.image.width
        if "keep_ratio" not in given:
            values["keep_ratio"] = init_from.header.image.keep_ratio
    options = dataclasses.replace(options, **values)
    defaults = {**COMMON_DEFAULTS, **backbone_entry(options.backbone).defaults}
    unset = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    if options.overfit_batch:
        unset |= OVERFIT
    return dataclasses.replace(options, **unset), None, init_from


def with_newer_options(cls: type, stored: dict[str, Any]) -> dict[str, Any]:
    """A run's options, and what goes without saying for those that it did not have yet."""
    before = {field.name: field.default for field in dataclasses.fields(cls)}
    before["renderer"] = "package"
    if "monitor" not in stored and stored.get("scheduler") in ("step", "constant"):
        stored = stored | {"warmup": 0.0}  # they had none
    return before | stored


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _resumed(options: TrainOptions) -> Checkpoint | None:
    """The checkpoint to go on with; None for `auto` where there is none yet."""
    path = Path(options.save_dir) / "last.pth" if options.resume == "auto" else options.resume
    assert path is not None
    if options.resume == "auto" and not Path(path).exists():
        print(f"--resume auto: no {path} yet, so this is a new run")
        return None
    checkpoint = load_checkpoint(path)
    if checkpoint.training is None or not checkpoint.training.keys() >= STATE_KEYS:
        raise UserError(
            f"--resume {path}: it holds weights but no whole training state; resume from last.pth, "
            "or start from these weights with --init_from"
        )
    return checkpoint


def image_spec(options: TrainOptions, start: Checkpoint | None) -> ImageSpec:
    """The checkpoint's own spec, in the size that is asked for; else the backbone's."""
    height, width, channels = options.img_height, options.img_width, options.img_channels
    if start is not None and start.header.image.channels == channels:
        mean, std = start.header.image.mean, start.header.image.std
        direction = start.header.image.direction
    else:
        # Near white, so that the zeros of padding look like the paper beside a text.
        mean, std, direction = (0.9,) * channels, (0.2,) * channels, "horizontal"
        if backbone_entry(options.backbone).imagenet_weights and channels == 3:
            mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what ImageNet weights expect
    return ImageSpec(height, width, channels, mean, std, bool(options.keep_ratio), direction)


def make_model(
    options: TrainOptions,
    charset: Charset,
    init_from: Checkpoint | None,
    resumed: Checkpoint | None,
) -> tuple[CRNN, str]:
    """The model to train, and where its weights come from."""
    config = ModelConfig(
        options.backbone,
        charset.num_classes,
        options.img_height,
        options.img_channels,
        options.hidden_size,
        options.num_layers,
        options.dropout,
        options.neck,
    )
    if resumed is not None:
        model, origin = resumed.build(), f"weights of {resumed.path}"
    else:
        model, origin = initial_model(
            config, charset, init_from, options.pretrained, options.pretrained_path
        )
    if options.freeze_backbone != "none" and origin == RANDOM_WEIGHTS:
        raise UserError(
            f"--freeze_backbone {options.freeze_backbone}: the weights are random; give "
            "--init_from, --pretrained_path or --pretrained"
        )
    freeze(model, options.freeze_backbone)
    return model, origin


def check_labels_fit(
    options: TrainOptions, data: Data, spec: ImageSpec, widths: np.ndarray | None, model: CRNN
) -> None:
    """UserError where a label has no room in its picture, or may have none in one to be drawn."""
    scaled = repeat(spec.width) if widths is None else np.minimum(widths, spec.width).tolist()
    labels = ((row.where, row.label) for row in data.rows)
    check_fits(labels, scaled, spec, model.backbone.out_width)
    if options.fresh > 0 and data.recipe is not None:
        worst = [("dataset.json", "0" * data.recipe.max_length)]
        width = prepared_width(data.recipe.width, data.recipe.height, spec)
        check_fits(worst, [width], spec, model.backbone.out_width)


@dataclass(frozen=True)
class Run:
    """Everything that the loop needs."""

    options: TrainOptions
    data: Data
    spec: ImageSpec
    charset: Charset
    model: CRNN
    aux_head: nn.Linear
    """Reads the backbone's own columns, in training only; it never goes into a best.* file."""
    origin: str
    backbone_lr: float
    device: torch.device
    amp_dtype: torch.dtype | None
    num_workers: int
    drawing_device: torch.device
    """Where the fast renderer draws: on the training's GPU if nothing is read from disk."""
    fingerprint: str
    """Of the data: a resume is refused where it has changed."""
    resumed: dict[str, Any] | None
    """The training state to go on from."""
    widths: np.ndarray | None
    """Of the rows of both splits at their own ratio, which may be more than the spec's; None where
    all pictures are scaled to one width."""

    @property
    def train_widths(self) -> np.ndarray | None:
        """By which batches are made up; None where nothing is read from disk."""
        if self.widths is None or self.options.fresh == 1 or self.options.overfit_batch:
            return None
        return np.minimum(self.widths[: len(self.data.train)], self.spec.width)


def prepare_run(parsed: Parsed[TrainOptions]) -> Run:
    """Read and check everything before any work is done; UserError says what cannot work."""
    options, resumed, init_from = resolve_options(parsed)
    device = pick_device(options.device)
    seed_everything(options.seed, options.deterministic)
    num_workers, num_threads = share_cores(options.num_workers, options.num_threads, device.type)
    torch.set_num_threads(num_threads)
    if device.type == "cuda" and not options.deterministic:
        torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
    on_gpu = device.type == "cuda" and options.fresh == 1 and options.renderer == "fast"
    if options.tensorboard:
        need_tensorboard()
    data = read_data(options)
    if resumed is not None:
        charset = resumed.header.charset
        check_known(data.rows, charset)
        check_same_data(resumed, data)
    else:
        charset = choose_charset(options, data, init_from)
    fingerprint, data = data.fingerprint(), data.folded(charset)
    model, origin = make_model(options, charset, init_from, resumed)
    spec = image_spec(options, resumed or init_from)
    widths = None
    if spec.keep_ratio:
        widths = np.concatenate([widths_at_ratio(rows, spec) for rows in (data.train, data.val)])
    check_labels_fit(options, data, spec, widths, model)
    save_dir = Path(options.save_dir)
    for name in RUN_FILES:
        check_output_file(save_dir / name)
    backbone_lr = options.lr * (1 if origin == RANDOM_WEIGHTS else options.backbone_lr_ratio)
    if resumed is not None and resumed.training is not None:
        backbone_lr = resumed.training["backbone_lr"]
    if not options.overfit_batch:
        remove_leftovers(save_dir)  # of a save that was killed
        if resumed is None:
            keep_previous_run(save_dir)
        else:
            carry_best(resumed.path.parent, save_dir)
    return Run(
        options,
        data,
        spec,
        charset,
        model,
        nn.Linear(model.backbone.out_channels, charset.num_classes),
        origin,
        backbone_lr,
        device,
        half_precision(device, options.amp),
        0 if on_gpu else num_workers,
        device if on_gpu else torch.device("cpu"),
        fingerprint,
        resumed.training if resumed else None,
        widths,
    )
