"""From options to what the loop needs: data, charset and model. Checks come first."""

from __future__ import annotations

from collections.abc import Sequence
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
from utils.checkpoint import Checkpoint
from utils.data.widths import widths_at_ratio
from utils.device import half_precision, pick_device, share_cores
from utils.errors import UserError
from utils.files import check_output_file
from utils.options import Parsed
from utils.picture import ImageSpec, prepared_width
from utils.ranks import Ranks
from utils.synth.lines import LineRecipe
from utils.synth.recipes import Recipe, draws_together, narrowest, needing_most
from utils.text.charset import Charset
from utils.training.charset import choose_charset
from utils.training.curriculum import Lesson, lesson_of
from utils.training.curves import need_tensorboard
from utils.training.data import Data, check_same_data, read_data
from utils.training.forgetting import OldSet
from utils.training.labels import check_fits, check_known, too_long
from utils.training.resolve import resolve_options
from utils.training.start import lr_scale
from utils.training.state import RUN_FILES, seed_everything
from utils.training.weights import RANDOM_WEIGHTS, initial_model, new_head

if TYPE_CHECKING:
    from utils.training.options import TrainOptions


def image_spec(options: TrainOptions, start: Checkpoint | None) -> ImageSpec:
    """The checkpoint's own spec, in the size that is asked for; else the backbone's."""
    height, width, channels = options.img_height, options.img_width, options.img_channels
    if start is not None and start.header.image.channels == channels:
        mean, std = start.header.image.mean, start.header.image.std
    else:
        # Near white, so that the zeros of padding look like the paper beside a text.
        mean, std = (0.9,) * channels, (0.2,) * channels
        if backbone_entry(options.backbone).imagenet_weights and channels == 3:
            mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what ImageNet weights expect
    return ImageSpec(
        height, width, channels, mean, std, bool(options.keep_ratio), options.direction
    )


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
        options.head_size,
    )
    if resumed is not None:
        model, origin = resumed.build(), f"weights of {resumed.path}"
    else:
        model, origin = initial_model(
            config, charset, init_from, options.pretrained, options.pretrained_path
        )
    freeze(model, options.freeze_backbone)
    return model, origin


def check_direction(options: TrainOptions, recipe: Recipe | None) -> None:
    """UserError where lines would be drawn the other way than they are read."""
    if not options.fresh or not isinstance(recipe, LineRecipe):
        return
    if recipe.direction != options.direction:
        raise UserError(
            f"--direction {options.direction}: the set draws {recipe.direction} lines; give "
            f"--direction {recipe.direction}, or another set"
        )


def with_room(
    options: TrainOptions, data: Data, spec: ImageSpec, widths: np.ndarray | None, model: CRNN
) -> np.ndarray:
    """(rows,): which labels have room in their pictures. UserError where more have none than
    --max_bad_rows allows, or one may have none in a picture to be drawn."""
    out_width = model.backbone.out_width
    if options.fresh > 0 and data.recipe is not None:
        worst = [("dataset.json", text) for text in needing_most(data.recipe)]
        sizes = [narrowest(data.recipe, text) for _, text in worst]
        widths_drawn = [prepared_width(*size, spec) for size in sizes]
        check_fits(too_long(worst, widths_drawn, out_width), spec, out_width)
    scaled = repeat(spec.width) if widths is None else np.minimum(widths, spec.width).tolist()
    found = too_long(((row.where, row.label) for row in data.rows), scaled, out_width)
    check_fits(found, spec, out_width, data.bad_rows)
    for label in found:
        data.bad_rows.skip(label.sentence(out_width))
    fits = np.ones(len(data.train) + len(data.val), bool)
    fits[[label.place for label in found]] = False
    return fits


@dataclass(frozen=True)
class Run:
    """Everything that the loop needs."""

    options: TrainOptions
    ranks: Ranks
    global_batch_size: int
    """Pictures of a step: of all ranks, and of all batches whose gradients are added up."""
    lr: float
    """As --scale_lr has it."""
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
    start: Checkpoint | None
    """The last.pth to go on from."""
    old: OldSet | None
    lesson: Lesson
    widths: np.ndarray | None
    """Of the rows of both splits at their own ratio, which may be more than the spec's; None where
    all pictures are scaled to one width."""

    @property
    def resumed(self) -> dict[str, Any] | None:
        """The training state to go on from."""
        return self.start.training if self.start else None

    @property
    def shares(self) -> Sequence[tuple[np.ndarray, float]]:
        """Of each batch, by places of the training rows; none where an epoch is all of them once,
        or nothing is read from disk."""
        return [] if self.options.fresh == 1 else self.data.shares

    @property
    def train_widths(self) -> np.ndarray | None:
        """By which batches are made up; None where nothing is read from disk."""
        if self.widths is None or self.options.fresh == 1 or self.options.overfit_batch:
            return None
        return np.minimum(self.widths[: len(self.data.train)], self.spec.width)


def prepare_device(options: TrainOptions) -> tuple[torch.device, int]:
    """The device, made ready, and the processes that prepare pictures."""
    device = pick_device(options.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if options.sync_batchnorm and device.type != "cuda":
        raise UserError(f"--sync_batchnorm: torch has none for {device.type}; leave it out")
    seed_everything(options.seed, options.deterministic)
    num_workers, num_threads = share_cores(options.num_workers, options.num_threads, device.type)
    torch.set_num_threads(num_threads)
    if device.type == "cuda" and not options.deterministic:
        torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
    if options.tensorboard:
        need_tensorboard()
    return device, num_workers


def prepare_run(parsed: Parsed[TrainOptions], ranks: Ranks) -> Run:
    """Read and check everything before any work is done; UserError says what cannot work."""
    options, resumed, init_from = resolve_options(parsed)
    device, num_workers = prepare_device(options)
    data = read_data(options)
    check_direction(options, data.recipe)
    together = draws_together(data.recipe, options.renderer)
    drawn_on_gpu = device.type == "cuda" and options.fresh == 1 and together
    if resumed is not None:
        charset = resumed.header.charset
        check_known(data.rows, charset)
        check_same_data(resumed, data)
    else:
        charset = choose_charset(options, data, init_from)
    fingerprint = data.fingerprint()
    batches = options.accumulate * ranks.world_size
    batch_size = options.batch_size * batches
    data = data.folded(charset).with_replay(options.replay, batch_size, charset)
    model, origin = make_model(options, charset, init_from, resumed)
    spec = image_spec(options, resumed or init_from)
    widths = None
    if spec.keep_ratio:
        widths = np.concatenate([widths_at_ratio(rows, spec) for rows in (data.train, data.val)])
    fits = with_room(options, data, spec, widths, model)
    if not fits.all():
        data, widths = data.kept(fits), None if widths is None else widths[fits]
    data.check_groups()
    lesson = lesson_of(options, charset, data.recipe)
    old = OldSet.of_run(data.old, init_from, resumed, device)
    save_dir = Path(options.save_dir)
    for name in RUN_FILES:
        check_output_file(save_dir / name)
    lr = options.lr * lr_scale(options.scale_lr, batches)
    backbone_lr = lr * (1 if origin == RANDOM_WEIGHTS else options.backbone_lr_ratio)
    if resumed is not None and resumed.training is not None:
        backbone_lr = lr * resumed.training["backbone_lr"] / resumed.training.get("lr", options.lr)
    if options.sync_batchnorm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return Run(
        options,
        ranks,
        batch_size,
        lr,
        data,
        spec,
        charset,
        model,
        new_head(model.backbone.out_channels, charset.num_classes),
        origin,
        backbone_lr,
        device,
        half_precision(device, options.amp),
        0 if drawn_on_gpu else num_workers,
        device if drawn_on_gpu else torch.device("cpu"),
        fingerprint,
        resumed,
        old,
        lesson,
        widths,
    )
