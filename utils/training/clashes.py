"""Flags of train.py that do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.registry import BACKBONES, backbone_entry
from utils.data.joined import parse_shares
from utils.errors import UserError
from utils.text.alike import Alike

if TYPE_CHECKING:
    from utils.training.options import TrainOptions

IMAGENET = ", ".join(name for name, entry in BACKBONES.items() if entry.imagenet_weights)


def clashes(options: TrainOptions) -> list[str]:
    """A sentence each."""
    fights = [("charset", "charset_file"), ("init_from", "pretrained_path")]
    fights += [("resume", "init_from"), ("resume", "pretrained_path")]
    found = [
        f"--{one} and --{other} fight: give one of them"
        for one, other in fights
        if getattr(options, one) is not None and getattr(options, other) is not None
    ]
    if options.epoch_size and options.replay:
        found.append("--epoch_size fights --replay, whose epochs go once through the new set")
    if options.sync_batchnorm and options.accumulate > 1:
        found.append(
            f"--sync_batchnorm fights --accumulate {options.accumulate}: ranks would wait for each "
            "other at different batches; leave one out"
        )
    if options.resume is None:
        found += _of_fine_tuning(options) + _of_a_lesson(options)
    if options.img_channels not in (None, 1, 3):
        found.append(f"--img_channels {options.img_channels}: expected 1 (grey) or 3 (RGB)")
    try:
        if options.alike is not None:
            Alike.of(options.alike)
    except UserError as error:
        found.append(f"--alike {error}")
    try:
        if options.select is not None:
            parse_shares(options.select, options.batch_ratio)
        elif options.batch_ratio is not None:
            found.append(f"--batch_ratio {options.batch_ratio}: it goes with --select")
    except UserError as error:
        found.append(str(error))
    return found + _of_freezing(options)


def _of_fine_tuning(options: TrainOptions) -> list[str]:
    """Of flags that need another; a run that goes on has those already."""
    found = []
    if options.old_root is not None and options.init_from is None:
        found.append(f"--old_root {options.old_root}: it goes with --init_from; give both")
    if options.replay and options.old_root is None:
        found.append(f"--replay {options.replay}: nothing to replay; give the set as --old_root")
    if options.replay and (options.fresh or options.select is not None):
        found.append("--replay fights --fresh and --select: leave it out, or them")
    if options.fresh_root is not None and not options.fresh:
        found.append(f"--fresh_root {options.fresh_root}: nothing is drawn; add --fresh")
    if options.unfreeze_every and options.freeze_backbone == "none":
        found.append("--unfreeze_every: nothing is frozen; add --freeze_backbone all")
    return found


def _of_a_lesson(options: TrainOptions) -> list[str]:
    found, flag = [], f"--first_characters {options.first_characters}"
    if options.first_characters and (options.fresh < 1 or options.overfit_batch):
        found.append(f"{flag}: it goes with --fresh 1, which draws every line; add that")
    if options.first_characters and options.first_epochs >= options.num_epochs:
        found.append(
            f"--first_epochs {options.first_epochs}: of --num_epochs {options.num_epochs} none is "
            "left for the other characters; lower it"
        )
    return found


def _of_freezing(options: TrainOptions) -> list[str]:
    """To freeze random weights is refused."""
    loaded = options.init_from or options.pretrained_path or options.resume
    imagenet = options.pretrained and backbone_entry(options.backbone).imagenet_weights
    if options.freeze_backbone == "none" or loaded or imagenet:
        return []
    return [
        f"--freeze_backbone {options.freeze_backbone}: the weights of {options.backbone} would be "
        "random; give --init_from, --pretrained_path or --pretrained (for " + IMAGENET + ")"
    ]
