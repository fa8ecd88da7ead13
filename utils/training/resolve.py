"""From the flags that were given to options that are all filled in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import backbone_entry
from utils.checkpoint import Checkpoint, load_checkpoint
from utils.dataset import read_recipe
from utils.errors import UserError
from utils.options import Parsed
from utils.synth.lines import LineRecipe
from utils.training.saving import load_last
from utils.training.state import BEFORE_LAST, STATE_KEYS, check_unchanged

if TYPE_CHECKING:
    from utils.training.options import TrainOptions

COMMON_DEFAULTS: dict[str, Any] = {
    "hidden_size": 256,
    "num_layers": 2,
    "img_height": 60,
    "img_width": 160,
    "img_channels": 1,
    "keep_ratio": False,
    "direction": "horizontal",
    "lr": 1e-3,
    "batch_size": 32,
    "optimizer": "adamw",
}
FREE_ON_RESUME = frozenset(
    {
        "resume",
        "config",
        "data_root",
        "old_root",
        "fresh_root",
        "save_dir",
        "device",
        "num_workers",
        "num_threads",
        "ctc",
        "batch_size",
        "scale_lr",
        "accumulate",
        "grad_comm",
        "powersgd_rank",
        "average_every",
        "save_every_steps",
    }
)
FROM_CHECKPOINT = (
    "backbone", "neck", "hidden_size", "num_layers", "dropout", "head_size", "img_height",
    "img_channels",
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
            if found := options.problems():
                raise UserError("\n".join(found))
        else:
            assert resumed.training is not None
            # Older runs had no flag for the direction, and took it from the file they began with.
            own = {"direction": resumed.header.image.direction} | resumed.training["options"]
            stored = with_newer_options(type(options), own)
            changed = {name: getattr(options, name) for name in sorted(given)}
            check_unchanged(stored, changed, FREE_ON_RESUME, resumed.path)
            free = {name: value for name, value in changed.items() if name in FREE_ON_RESUME}
            free["save_dir"] = str(save_dir_of(parsed))
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
        if "direction" not in given:
            values["direction"] = init_from.header.image.direction
    options = dataclasses.replace(options, **values)
    defaults = {**COMMON_DEFAULTS, **backbone_entry(options.backbone).defaults}
    defaults |= of_lines(options)
    unset = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    if options.overfit_batch:
        unset |= OVERFIT
    return dataclasses.replace(options, **unset), None, init_from


def save_dir_of(parsed: Parsed[TrainOptions]) -> Path:
    """Where the run goes: one that goes on stays where it lies, unless another folder is given."""
    resume = parsed.options.resume
    if resume in (None, "auto") or "save_dir" in parsed.given:
        return Path(parsed.options.save_dir)
    return Path(resume).parent


def of_lines(options: TrainOptions) -> dict[str, Any]:
    """The pictures' own size and direction, where the set says that they are lines."""
    recipe = read_recipe(Path(options.fresh_root or options.data_root))
    if not isinstance(recipe, LineRecipe):
        return {}
    size = {"img_height": recipe.height, "img_width": recipe.width}
    return {**size, "keep_ratio": recipe.tight > 0, "direction": recipe.direction}


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
    path = Path(path)
    if options.resume == "auto" and not any(map(Path.exists, (path, path.with_name(BEFORE_LAST)))):
        print(f"--resume auto: no {path} yet, so this is a new run")
        return None
    checkpoint = load_last(path)
    if checkpoint.training is None or not checkpoint.training.keys() >= STATE_KEYS:
        raise UserError(
            f"--resume {path}: it holds weights but no whole training state; resume from last.pth, "
            "or start from these weights with --init_from"
        )
    return checkpoint
