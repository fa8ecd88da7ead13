"""What a training run says: what was chosen, each epoch, and at the end what was made and where."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from models.registry import BACKBONES, backbone_entry
from models.transfer import count_parameters
from utils.data.joined import counts_of
from utils.data.widths import misdirected
from utils.dataset import is_unfinished
from utils.reading_options import note
from utils.synth.recipes import kind_of
from utils.text.charset import sample
from utils.training.resolve import OVERFIT
from utils.training.start import told_of_ranks
from utils.training.state import Progress, goodness
from utils.training.weights import RANDOM_WEIGHTS

if TYPE_CHECKING:
    from utils.training.calibrate import Calibration
    from utils.training.forgetting import OldSet
    from utils.training.options import TrainOptions
    from utils.training.setup import Run


def print_setup(run: Run, given: frozenset[str]) -> None:
    """What was chosen, above all what was not asked for."""
    options, device = run.options, run.device.type
    trainable, frozen = count_parameters(run.model)
    print(
        f"{options.backbone}: {trainable:,} trainable parameters, {frozen:,} frozen; {run.origin}"
    )
    brought = [
        f"{name} {value}"
        for name, value in backbone_entry(options.backbone).defaults.items()
        if name not in given and getattr(options, name) == value
    ]
    if brought and run.resumed is None:
        print(f"{options.backbone} brings defaults of its own: {', '.join(brought)}")
    drawn = f"{kind_of(run.data.recipe)}s" if run.data.recipe else ""
    drawn += f", {options.renderer}" if drawn == "captchas" else ""
    fresh = f", {options.fresh:.0%} of them drawn anew ({drawn})" if options.fresh else ""
    print(
        f"epochs of {run.data.epoch_size:,} pictures{fresh}; {len(run.data.val):,} to validate on"
    )
    if run.data.groups:
        counts = counts_of([share for _, share in run.data.groups], run.global_batch_size)
        names = (" and ".join(names) for names, _ in run.data.groups)
        made = ", ".join(f"{n} {name}" for n, name in zip(counts, names, strict=True))
        print(f"a batch of {run.global_batch_size}: {made}")
    for sentence in told_of_ranks(run):
        print(sentence)
    precision = str(run.amp_dtype or torch.float32).removeprefix("torch.")
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    threads += f", {run.num_workers} workers"
    print(
        f"charset {run.charset.name}, {len(run.charset)} characters; {device}, {precision}{threads}"
    )
    if run.lesson.lasts(0) and run.resumed is None:
        print(
            f"the first {run.lesson.epochs} epochs know {run.lesson.size:,} of "
            f"{len(run.charset):,} characters: {sample(run.lesson.characters)}"
        )
    for sentence in misdirected([row.picture for row in run.data.val], run.spec):
        print(f"warning: {sentence}")
    if run.widths is not None:
        wide = int((run.widths > run.spec.width).sum())
        print(
            f"pictures keep their ratio: {run.widths.min()} to {run.widths.max()} wide at height "
            f"{run.spec.height}; {wide:,} are squeezed into --img_width {run.spec.width}"
        )
    if run.data.dropped:
        shown = ", ".join(f"{ch!r} x {n:,}" for ch, n in list(run.data.dropped.items())[:20])
        print(f"dropped from the labels: {shown}{', ...' if len(run.data.dropped) > 20 else ''}")
    for where in run.data.empty[:10]:
        print(f"left out: {where}: nothing is left of its label")
    if run.data.empty:
        print(f"left out {len(run.data.empty):,} pictures of whose labels nothing is left")
    if options.init_from and not options.old_root:
        print("what it could read before may be forgotten: --old_root tells, --replay keeps it")
    if run.old is not None:
        print_old(run.old)
    if device == "mps":
        print("the CTC loss runs on the CPU: mps has none")
    if is_unfinished(run.data.root):
        print(
            f"warning: {run.data.root}: the set is not whole; go on with generate_data.py "
            "--resume, or draw its other shards"
        )
    for sentence in idle_flags(run, given):
        print(f"warning: {sentence}")


def idle_flags(run: Run, given: frozenset[str]) -> list[str]:
    """A sentence for each given flag that has no effect beside the others."""
    options = run.options
    reasons = {
        "backbone_lr_ratio": run.origin == RANDOM_WEIGHTS and "no weights were loaded",
        "label_drop": options.label_drop
        and not run.data.dropped
        and "the charset has every character of these labels (the checkpoint keeps it)",
        "charset_change": not options.init_from and "it goes with --init_from",
        "augment": options.fresh == 1 and "--fresh 1 reads no training picture from disk",
        "color_jitter": options.fresh == 1 and "--fresh 1 reads no training picture from disk",
        "renderer": (options.fresh == 0 and "nothing is drawn anew without --fresh")
        or (
            run.data.recipe
            and kind_of(run.data.recipe) != "captcha"
            and f"it draws captchas, and the set has {kind_of(run.data.recipe)}s"
        ),
        "hard_characters": options.fresh == 0 and "nothing is drawn anew without --fresh",
        "first_epochs": not options.first_characters and "it goes with --first_characters",
        "hard_weight": not options.hard_characters and "it goes with --hard_characters",
        "num_workers": run.drawing_device.type == "cuda" and "the GPU draws the pictures itself",
        "step_size": options.scheduler != "step" and "it goes with --scheduler step",
        "patience": options.scheduler != "plateau" and "it goes with --scheduler plateau",
        "gamma": options.scheduler not in ("step", "plateau")
        and "it goes with --scheduler step or plateau",
        "grad_comm": not run.ranks.are_many and "there is one rank",
        "powersgd_rank": options.grad_comm != "powersgd" and "it goes with --grad_comm powersgd",
        "average_every": options.grad_comm != "local_sgd" and "it goes with --grad_comm local_sgd",
        "sync_batchnorm": options.sync_batchnorm and not run.ranks.are_many and "there is one rank",
        "scale_lr": options.scale_lr != "none"
        and run.global_batch_size == options.batch_size
        and "a step is one batch",
        "pretrained": not BACKBONES[options.backbone].imagenet_weights
        and options.pretrained
        and f"there are no ImageNet weights for {options.backbone}",
        "unfreeze_every": options.unfreeze_every
        and options.unfreeze_every >= options.num_epochs
        and "the run ends before",
        "dropout": options.num_layers == 1 and "it stands between BiLSTM layers, and there is one",
    }
    if options.fresh == 1:
        reasons |= dict.fromkeys(("select", "batch_ratio"), "--fresh 1 reads no training picture")
    if options.overfit_batch:
        idle = ("save_every_steps", "monitor", "early_stop", "patience", "tensorboard",
                "old_root", "replay", "epoch_size")  # fmt: skip
        reasons |= dict.fromkeys(idle, "--overfit_batch has no epochs to choose from")
    for name, value in OVERFIT.items():
        if options.overfit_batch:
            reasons[name] = f"--overfit_batch sets it to {value}"
    return [
        f"--{name} has no effect: {reason}"
        for name, reason in reasons.items()
        if reason and name in given
    ]


def print_epoch(progress: Progress, num_epochs: int) -> None:
    """One line on the epoch that has ended, and one sentence of advice at a stall."""
    row = progress.history[-1]
    left = progress.seconds / progress.epoch * (num_epochs - progress.epoch)
    print(
        f"epoch {progress.epoch}/{num_epochs}  loss {row['loss']:.4f}  val loss "
        f"{row['val_loss']:.4f}  exact {row['sequence_accuracy']:.2%}  ignoring case "
        f"{row['sequence_accuracy_ignoring_case']:.2%}  char {row['character_accuracy']:.2%}  "
        f"blank {row['blank_share']:.0%}  {row['seconds']:.0f} s, {left:.0f} s left",
        flush=True,
    )
    if progress.told_stall():
        print(
            f"still almost only blanks after {progress.pictures:,} pictures: CTC often starts so, "
            "but if it stays, try half the --lr, a larger --aux_weight or shorter labels, and "
            "--overfit_batch to see whether the set-up can learn at all"
        )
    if row["skipped"]:
        print(f"skipped steps, whose loss or gradient was not finite: {row['skipped']:.0f}")


def print_calibration(calibration: Calibration | None) -> None:
    """What the confidences are worth, or that it could not be found out."""
    if calibration is None:
        print("confidence: the temperature stays 1; no validation label fits, or best.* is gone")
    else:
        print(calibration.line())


def print_old(old: OldSet, after: dict[str, Any] | None = None) -> None:
    """How well --init_from reads the set it was trained on, and how well what came of it does."""
    words = f"{old.before['sequence_accuracy']:.2%} exact before"
    if after is not None:
        words += f", {after['sequence_accuracy']:.2%} after"
    print(f"on {old.root}: {words} (n = {old.before['n']:,})", flush=True)


def print_end(
    progress: Progress, options: TrainOptions, best_path: Path, stopped: int | None
) -> int:
    """The last lines: what was made and where. Returns the exit code."""
    rate = progress.pictures / max(progress.seconds, 1e-9)
    done = f"{progress.pictures:,} pictures in {progress.seconds:.0f} s, {rate:.0f} a second"
    if progress.failing:
        note(
            f"train.py: error: ended, because {progress.non_finite} steps of one epoch had no "
            "finite loss or gradient; try a tenth of the --lr, or --no-amp"
        )
        return 1
    if options.overfit_batch and stopped is not None:
        print(f"stopped by {signal.Signals(stopped).name} before the batch was learned; {done}")
        return 128 + stopped
    if options.overfit_batch:
        accuracy = progress.history[-1]["sequence_accuracy"]
        verdict = "learned by heart" if accuracy == 1 else "NOT learned by heart"
        print(
            f"overfit_batch: {options.batch_size} pictures {verdict}, {accuracy:.1%} exact; {done}"
        )
        return 0 if accuracy == 1 else 1
    if progress.history:
        best = max(progress.history, key=lambda row: goodness(row, options.monitor))
        print(
            f"best: {best['sequence_accuracy']:.2%} exact on the validation split, after epoch",
            end="",
        )
        print(f" {best['epoch']:.0f}, in {best_path}; {done}")
    if stopped is not None:
        name = signal.Signals(stopped).name
        print(f"stopped by {name} in epoch {progress.epoch + 1}; go on with --resume auto")
        return 128 + stopped
    words = ["inference.py", "--mode", "evaluate", "--model_path", str(best_path)]
    if options.data_root != "./data":
        words += ["--data_root", options.data_root]
    print(f"next: python {shlex.join(words)}")
    return 0
