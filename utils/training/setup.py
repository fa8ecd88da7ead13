"""From options to what the loop needs: data, charset and model. Checks come first."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from models.config import ModelConfig
from models.crnn import CRNN
from models.registry import backbone_entry
from models.transfer import freeze
from utils.charset import Charset
from utils.checkpoint import Checkpoint, load_checkpoint
from utils.dataset import BadRows, Row, check_pictures, open_dataset
from utils.device import half_precision, pick_device, share_cores
from utils.errors import UserError
from utils.options import Parsed
from utils.picture import ImageSpec
from utils.synth import CaptchaRecipe, CaptchaRenderer
from utils.training.labels import check_fits, check_known, data_charset
from utils.training.state import check_unchanged, keep_previous_run, seed_everything
from utils.training.weights import RANDOM_WEIGHTS, changed_charset, initial_model

if TYPE_CHECKING:
    from train import TrainOptions

Options = TypeVar("Options")

COMMON_DEFAULTS: dict[str, Any] = {
    "hidden_size": 256,
    "num_layers": 2,
    "img_channels": 1,
    "lr": 1e-3,
    "batch_size": 32,
}
FREE_ON_RESUME = frozenset({"resume", "config", "save_dir", "device", "num_workers", "num_threads"})
FROM_CHECKPOINT = ("backbone", "hidden_size", "num_layers", "dropout", "img_height", "img_channels")
OVERFIT = {"dropout": 0.0, "color_jitter": 0.0, "fresh": 0.0, "scheduler": "constant"}
OVERFIT_STEPS = 25
"""Steps of one round of --overfit_batch, after which it is scored."""


@dataclass(frozen=True)
class Data:
    """Rows to train and validate on, and the recipe that draws fresh ones."""

    train: list[Row]
    val: list[Row]
    recipe: CaptchaRecipe | None


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
            stored = resumed.training["options"]
            changed = {name: getattr(options, name) for name in given}
            check_unchanged(stored, changed, FREE_ON_RESUME, resumed.path)
            free = {name: value for name, value in changed.items() if name in FREE_ON_RESUME}
            stored = {name: _tuple(value) for name, value in stored.items()}
            return type(options)(**{**stored, **free}), resumed, None
    init_from = load_checkpoint(options.init_from) if options.init_from else None
    values: dict[str, Any] = {}
    if init_from is not None:
        config = dataclasses.asdict(init_from.header.model)
        values = {name: config[name] for name in FROM_CHECKPOINT if name not in given}
        if "img_width" not in given:
            values["img_width"] = init_from.header.image.width
    options = dataclasses.replace(options, **values)
    defaults = {**COMMON_DEFAULTS, **backbone_entry(options.backbone).defaults}
    unset = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    if options.overfit_batch:
        unset |= OVERFIT
    return dataclasses.replace(options, **unset), None, init_from


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
    if checkpoint.training is None:
        raise UserError(
            f"--resume {path}: it holds weights but no training state; resume from last.pth, "
            "or start from these weights with --init_from"
        )
    return checkpoint


def read_data(options: TrainOptions) -> Data:
    """Rows of both splits, every picture that will be read checked, bad ones settled."""
    bad_rows = BadRows(options.max_bad_rows)
    data = open_dataset(options.data_root, bad_rows, ("train", "val"))
    if data.is_one_split:
        raise UserError(
            f"--data_root {options.data_root}: it is one split; expected a root with train/ and "
            "val/, so that no picture is both learned and scored"
        )
    train, val = data.split("train"), data.split("val")
    if options.fresh < 1:
        train = check_pictures(train, bad_rows)
    val = check_pictures(val, bad_rows)
    bad_rows.settle()
    if not train or not val:
        raise UserError(f"{options.data_root}: no picture of a split can be read; mend the set")
    if options.fresh > 0:
        if data.recipe is None:
            raise UserError(
                f"--fresh {options.fresh}: {options.data_root} has no dataset.json to draw by; "
                "use a set of generate_data.py, or --fresh 0"
            )
        CaptchaRenderer(data.recipe)  # opens the fonts: a missing one is told before the workers
    if options.overfit_batch:
        batch = train[: options.batch_size]
        return Data(batch * OVERFIT_STEPS, batch, None)
    return Data(train, val, data.recipe)


def choose_charset(options: TrainOptions, data: Data, init_from: Checkpoint | None) -> Charset:
    """The run's charset, every label known to it."""
    rows = data.train + data.val
    charset = data_charset(options.charset, options.charset_file, data.recipe, rows)
    labels = [row.label for row in rows]
    if options.fresh > 0 and data.recipe is not None:
        labels.append(data.recipe.characters)
    if init_from is not None:
        charset = changed_charset(
            init_from.header.charset, charset, labels, options.charset_change, init_from.path
        )
    check_known(rows, charset)
    if options.fresh > 0 and (missing := charset.missing(labels[-1:])):
        raise UserError(
            f"--fresh {options.fresh}: the set's recipe draws {''.join(missing)!r}, which charset "
            f"{charset.name} lacks; leave the charset to the set, or use --fresh 0"
        )
    return charset


def image_spec(options: TrainOptions) -> ImageSpec:
    channels = options.img_channels
    if backbone_entry(options.backbone).imagenet_weights and channels == 3:
        # What ImageNet weights expect.
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return ImageSpec(options.img_height, options.img_width, channels, mean, std)
    # Near white, so that the zeros of padding look like the paper beside a text.
    size = options.img_height, options.img_width, channels
    return ImageSpec(*size, mean=(0.9,) * channels, std=(0.2,) * channels)


def make_model(
    options: TrainOptions,
    charset: Charset,
    data: Data,
    init_from: Checkpoint | None,
    resumed: Checkpoint | None,
) -> tuple[CRNN, str]:
    """The model to train, and where its weights come from; every label fits its time steps."""
    config = ModelConfig(
        options.backbone,
        charset.num_classes,
        options.img_height,
        options.img_channels,
        options.hidden_size,
        options.num_layers,
        options.dropout,
    )
    if resumed is not None:
        model, origin = resumed.build(), f"weights of {resumed.path}"
    else:
        model, origin = initial_model(
            config, charset, init_from, options.pretrained, options.pretrained_path
        )
    freeze(model, options.freeze_backbone)
    labels = [(row.where, row.label) for row in data.train + data.val]
    if options.fresh > 0 and data.recipe is not None:
        labels.append(("dataset.json", "0" * data.recipe.max_length))  # the worst it may draw
    check_fits(labels, options.img_width, model.backbone.out_width)
    return model, origin


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
    resumed: dict[str, Any] | None
    """The training state to go on from."""


def prepare_run(parsed: Parsed[TrainOptions]) -> Run:
    """Read and check everything before any work is done; UserError says what cannot work."""
    options, resumed, init_from = resolve_options(parsed)
    device = pick_device(options.device)
    seed_everything(options.seed, options.deterministic)
    num_workers, num_threads = share_cores(options.num_workers, options.num_threads, device.type)
    torch.set_num_threads(num_threads)
    data = read_data(options)
    if resumed is not None:
        charset = resumed.header.charset
        check_known(data.train + data.val, charset)
    else:
        charset = choose_charset(options, data, init_from)
    model, origin = make_model(options, charset, data, init_from, resumed)
    backbone_lr = options.lr * (1 if origin == RANDOM_WEIGHTS else options.backbone_lr_ratio)
    if resumed is not None and resumed.training is not None:
        backbone_lr = resumed.training["backbone_lr"]
    if resumed is None and not options.overfit_batch:
        keep_previous_run(Path(options.save_dir))
    return Run(
        options,
        data,
        image_spec(options),
        charset,
        model,
        nn.Linear(model.backbone.out_channels, charset.num_classes),
        origin,
        backbone_lr,
        device,
        half_precision(device, options.amp),
        num_workers,
        resumed.training if resumed else None,
    )
