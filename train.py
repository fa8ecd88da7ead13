"""Train or fine-tune one CRNN reader; the whole loop is visible here.

python train.py --data_root ./data                      a small model, from scratch
python train.py --resume auto                           go on where the last run stopped
python train.py --init_from model.pth --data_root mine  fine-tune on your own pictures
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import BACKBONES, NECKS, backbone_entry
from utils.device import DEVICES
from utils.errors import UserError, run_script
from utils.options import option, parse
from utils.synth.captcha import RENDERERS
from utils.text.alike import Alike
from utils.text.charset import PRESETS
from utils.training.schedule import MONITORS, OPTIMIZERS, SCHEDULERS

if TYPE_CHECKING:
    from utils.training.setup import Run

NAMES = tuple(BACKBONES)
SCENE_TEXT = ", ".join(name for name in NAMES if "img_height" in BACKBONES[name].defaults)
IMAGENET = ", ".join(name for name in NAMES if BACKBONES[name].imagenet_weights)


@dataclass(frozen=True)
class TrainOptions:
    config: str | None = option(
        None, "TOML recipe that presets flags, such as recipes/classic.toml"
    )
    data_root: str = option("./data", "data set with train/ and val/, each with labels.txt")
    save_dir: str = option("./checkpoints", "where checkpoints, history and pictures go")
    save_format: str = option(
        "pth", "format of best.*; last is always .pth", ("pth", "safetensors")
    )
    backbone: str = option("light", "network that looks at the picture", NAMES)
    hidden_size: int = option(
        None, "the neck's units a direction (default: 256; light: 96)", above=0
    )
    num_layers: int = option(None, "the neck's layers (default: 2; light: 1)", above=0)
    dropout: float = option(0.1, "dropout between the neck's layers", least=0, most=1)
    neck: str = option("bilstm", "what looks at the columns together", tuple(NECKS))
    img_height: int = option(
        None, f"height that pictures are scaled to (default: 60; {SCENE_TEXT}: 32)", least=16
    )
    img_width: int = option(
        None, f"width that pictures are scaled to (default: 160; {SCENE_TEXT}: 100)", least=16
    )
    img_channels: int = option(None, "1 grey, 3 RGB (default: 1; networks of torchvision: 3)")
    charset: str | None = option(
        None, "preset charset (default: the data set's own, or what occurs)", tuple(PRESETS)
    )
    charset_file: str | None = option(None, "charset from a file, one character a line")
    alike: str | None = option(
        None, "characters that count as one: groups such as 0oO,1lI,cC; the first stands for all"
    )
    label_case: str = option(
        "keep", "both cases of a letter count as one, written so", ("keep", "lower", "upper")
    )
    label_drop: bool = option(
        False, "labels lose the characters that the charset has not got, counted and told"
    )
    pretrained: bool = option(True, f"ImageNet weights, for backbones that have them ({IMAGENET})")
    pretrained_path: str | None = option(
        None, "backbone weights from a torchvision state_dict file"
    )
    init_from: str | None = option(None, "start from the weights of this checkpoint (fine-tuning)")
    charset_change: str = option(
        "fail", "when labels need characters that --init_from lacks", ("fail", "extend", "replace")
    )
    freeze_backbone: str = option(
        "none", "stages that keep their weights", ("none", "early", "partial", "all")
    )
    backbone_lr_ratio: float = option(
        0.1, "learning rate of loaded backbone stages, times --lr", least=0, most=1
    )
    lr: float = option(None, "peak learning rate (default: 1e-3; light: 3e-3)", above=0)
    batch_size: int = option(None, "pictures a step (default: 32)", above=0)
    num_epochs: int = option(100, "passes over the training split", above=0)
    optimizer: str = option(
        None,
        "muon: orthogonal steps for all but the head (default: adamw; light: muon)",
        OPTIMIZERS,
    )
    weight_decay: float = option(0.01, "of matrices and convolutions", least=0)
    scheduler: str = option("onecycle", "course of the learning rate", SCHEDULERS)
    warmup: float = option(0.1, "share of all steps in which the rate rises", least=0, most=1)
    step_size: int = option(20, "epochs between two drops of --scheduler step", above=0)
    patience: int = option(5, "epochs without a better one before a drop of plateau", above=0)
    gamma: float = option(0.5, "factor of each drop of step and plateau", least=0, most=1)
    clip_norm: float = option(5.0, "largest norm of the gradient", above=0)
    aux_weight: float = option(
        0.5, "weight of a second CTC loss on the backbone's own columns", least=0
    )
    fresh: float = option(
        0.0, "share of each epoch that is drawn anew instead of read from disk", least=0, most=1
    )
    renderer: str = option(
        "fast", "what draws --fresh pictures: the captcha package, or torch, several times as fast",
        RENDERERS,
    )  # fmt: skip
    epoch_size: int = option(
        None, "pictures of an epoch of --fresh 1 (default: as many as the train split has)", above=0
    )
    hard_characters: str | None = option(
        None, "characters that fresh pictures hold more often, such as vV0O"
    )
    hard_weight: int = option(3, "how many times as often as the others", least=1, most=100)
    color_jitter: float = option(
        0.2,
        "brightness, contrast and colour of pictures from disk vary by this much",
        least=0,
        most=1,
    )
    monitor: str = option(
        "sequence_accuracy", "by which best.*, --early_stop and plateau choose", MONITORS
    )
    early_stop: int = option(
        15, "epochs without a better validation that end the run; 0: never", least=0
    )
    overfit_batch: bool = option(False, "learn one batch by heart: proves that a set-up can learn")
    max_bad_rows: int = option(
        0, "rows that cannot be read and may be skipped; each is named", least=0
    )
    num_workers: int | None = option(
        None, "processes that prepare pictures (default: a third of the cores; 0: none)", least=0
    )
    num_threads: int | None = option(
        None, "torch's CPU threads (default: the other cores, at most 8)", above=0
    )
    amp: bool = option(True, "half precision where the hardware has it")
    compile: bool = option(False, "torch.compile the backbone; slower on a CPU, see docs")
    deterministic: bool = option(False, "only kernels that give the same bits every time")
    tensorboard: bool = option(False, "also write the curves for TensorBoard, into --save_dir")
    seed: int = option(0, "everything is drawn from it", least=0)
    device: str = option("auto", "where to train", DEVICES)
    resume: str | None = option(
        None, "last.pth of a run to go on with; auto: the one in --save_dir"
    )

    def problems(self) -> list[str]:
        """Flags that do not go together, a sentence each."""
        fights = [("charset", "charset_file"), ("init_from", "pretrained_path")]
        fights += [("resume", "init_from"), ("resume", "pretrained_path")]
        found = [
            f"--{one} and --{other} fight: give one of them"
            for one, other in fights
            if getattr(self, one) is not None and getattr(self, other) is not None
        ]
        if self.epoch_size and self.fresh < 1:
            found.append(
                f"--epoch_size {self.epoch_size}: an epoch is the train split unless all of it is "
                "drawn anew; add --fresh 1 or leave it out"
            )
        if self.img_channels not in (None, 1, 3):
            found.append(f"--img_channels {self.img_channels}: expected 1 (grey) or 3 (RGB)")
        try:
            if self.alike is not None:
                Alike.of(self.alike)
        except UserError as error:
            found.append(f"--alike {error}")
        return found + self.freeze_problems()

    def freeze_problems(self) -> list[str]:
        """To freeze random weights is refused."""
        loaded = self.init_from or self.pretrained_path or self.resume
        imagenet = self.pretrained and backbone_entry(self.backbone).imagenet_weights
        if self.freeze_backbone == "none" or loaded or imagenet:
            return []
        return [
            f"--freeze_backbone {self.freeze_backbone}: the weights of {self.backbone} would be "
            "random; give --init_from, --pretrained_path or --pretrained (for " + IMAGENET + ")"
        ]


def main(argv=None) -> int:
    from utils.device import set_threads

    parsed = parse(TrainOptions, argv, (__doc__ or "").strip())
    set_threads(parsed.options.num_threads)
    from utils.training.console import print_setup
    from utils.training.setup import prepare_run

    run = prepare_run(parsed)
    print_setup(run, parsed.given)
    return train(run)


def train(run: Run) -> int:
    """The loop. Returns 0; 1 where the run failed; 128 + the signal that asked it to stop."""
    import torch
    from torch import nn
    from tqdm import tqdm

    from models.losses import ctc_loss
    from models.transfer import parameter_groups
    from utils.checkpoint import Header, save_checkpoint, versions
    from utils.recognizer import Recognizer
    from utils.training.batches import EpochBatches, losses_told, training_batches
    from utils.training.calibrate import calibrate
    from utils.training.console import print_calibration, print_end, print_epoch
    from utils.training.curves import scalar_writer
    from utils.training.optimizers import make_optimizer, step_if_finite
    from utils.training.pictures import TrainingPictures
    from utils.training.schedule import lr_factor
    from utils.training.state import Progress, StopRequest, random_state, restore_random_state
    from utils.training.validation import validate, write_run_pictures

    options, device, spec, charset = run.options, run.device, run.spec, run.charset
    model = run.model.to(device).to(memory_format=torch.channels_last)
    aux_head = run.aux_head.to(device)
    if options.compile:
        model.backbone.compile()  # in place: the weights keep their names
    groups = parameter_groups(model, options.lr, run.backbone_lr, options.weight_decay)
    groups += parameter_groups(aux_head, options.lr, options.lr, options.weight_decay)
    parameters = [parameter for group in groups for parameter in group["params"]]
    optimizer = make_optimizer(options.optimizer, groups, fused=device.type in ("cpu", "cuda"))
    scaler = torch.amp.GradScaler(device.type, enabled=run.amp_dtype is torch.float16)
    recognizer = Recognizer(model, spec, charset, device, run.amp_dtype)
    progress = Progress(**run.resumed["progress"]) if run.resumed else Progress()
    pictures = TrainingPictures(
        run.data.train, spec, charset, options.seed, run.data.fresh_recipe, options.fresh,
        options.renderer, options.color_jitter, run.drawing_device,
    )  # fmt: skip
    order = EpochBatches(
        run.data.epoch_size, options.batch_size, options.num_epochs, options.seed,
        progress.epoch, progress.step,
    )  # fmt: skip
    batches = training_batches(pictures, order, run.num_workers, device.type == "cuda")
    steps_per_epoch = order.steps_per_epoch
    total_steps = steps_per_epoch * options.num_epochs
    save_dir = Path(options.save_dir)
    best_path = save_dir / f"best.{options.save_format}"
    if run.resumed:
        optimizer.load_state_dict(run.resumed["optimizer"])
        if run.resumed["scaler"] and scaler.is_enabled():  # both are empty save for fp16
            scaler.load_state_dict(run.resumed["scaler"])
        aux_head.load_state_dict(run.resumed["aux_head"])
        restore_random_state(run.resumed["random"], device)

    def header(metrics: dict) -> Header:
        return Header(model.config, spec, charset, metrics, asdict(options), versions())

    def save_last() -> None:
        state = {
            "progress": asdict(progress),
            "options": asdict(options),
            "backbone_lr": run.backbone_lr,
            "data": run.fingerprint,
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
            "aux_head": aux_head.state_dict(),
            "random": random_state(device),
        }
        save_checkpoint(save_dir / "last.pth", header({}), model.state_dict(), state)

    curves = save_dir / "tensorboard" if options.tensorboard else None
    with (
        StopRequest() as stop, losses_told(), closing(batches),
        scalar_writer(curves) as write_scalars,
    ):  # fmt: skip
        while progress.epoch < options.num_epochs:
            if progress.out_of_patience(options.early_stop):
                print(f"early stop: no better validation in {options.early_stop} epochs")
                break
            model.train()
            clock, waited, losses = time.monotonic(), 0.0, []
            drops = progress.plateaus(options.monitor, options.patience)
            bar = tqdm(
                desc=f"epoch {progress.epoch + 1}/{options.num_epochs}",
                total=run.data.epoch_size, initial=progress.step * options.batch_size,
                unit="pic", disable=None, leave=False,
            )  # fmt: skip
            while progress.step < steps_per_epoch:
                step = progress.epoch * steps_per_epoch + progress.step
                factor = lr_factor(
                    options.scheduler, step, total_steps, steps_per_epoch,
                    options.warmup, options.step_size, options.gamma, drops,
                )  # fmt: skip
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor

                waiting = time.monotonic()
                batch = next(batches).to(device)
                waited += time.monotonic() - waiting
                with torch.autocast(device.type, run.amp_dtype, enabled=run.amp_dtype is not None):
                    columns = model.backbone(batch.images, batch.widths)  # -> (N, T, D)
                    features, lengths = model.neck_features(columns, batch.images, batch.widths)
                    logits = model.head(features)  # (N, T, D) -> (N, T, C)
                    aux_logits = aux_head(columns) if options.aux_weight else None
                loss = ctc_loss(logits, lengths, batch.targets, batch.target_lengths)
                total = loss
                if aux_logits is not None:
                    aux = ctc_loss(aux_logits, lengths, batch.targets, batch.target_lengths)
                    total = loss + options.aux_weight * aux

                optimizer.zero_grad(set_to_none=True)
                scaler.scale(total).backward()
                scaler.unscale_(optimizer)
                norm = nn.utils.clip_grad_norm_(parameters, options.clip_norm)
                finite = total.isfinite() & norm.isfinite()
                if scaler.is_enabled():  # fp16: it looks for itself, and lowers its scale
                    scaler.step(optimizer)
                    scaler.update()
                else:
                    step_if_finite(optimizer, finite)

                progress.count_step(len(batch.images))
                losses.append(torch.where(finite, loss.detach(), torch.nan))
                stopping = stop.signal is not None
                if (
                    stopping or progress.step % 20 == 0 or progress.step == steps_per_epoch
                ):  # the loop's only look
                    progress.count_losses(torch.stack(losses).tolist())
                    losses.clear()
                    progress.blank_share = (logits.argmax(dim=2) == 0).float().mean().item()
                    bar.set_postfix(
                        loss=f"{progress.loss:.3f}", blank=f"{progress.blank_share:.0%}",
                        lr=f"{options.lr * factor:.1e}", refresh=False,
                        wait=f"{waited / (time.monotonic() - clock):.0%}",
                    )  # fmt: skip
                bar.update(len(batch.images))
                if stopping or progress.failing:
                    break
            bar.close()
            progress.seconds += time.monotonic() - clock
            if progress.step < steps_per_epoch or progress.failing:
                break

            validation = validate(recognizer, run.data.val)
            is_best = progress.end_epoch(
                validation.score, validation.loss, options.lr * factor, options.monitor
            )
            print_epoch(progress, options.num_epochs)
            if options.overfit_batch:
                if validation.score.sequence_accuracy == 1:
                    break
                continue
            if is_best:
                metrics = {"val": validation.score.summary(), "epoch": progress.epoch}
                save_checkpoint(best_path, header(metrics), model.state_dict())
            write_run_pictures(save_dir, progress, run.data.val, validation.texts)
            write_scalars(progress.history)
            save_last()
            if stop.signal is not None:
                break
        if stop.signal is not None and progress.step and not options.overfit_batch:
            save_last()
    stopped = stop.signal if progress.epoch < options.num_epochs else None
    if stopped is None and progress.best and not (options.overfit_batch or progress.failing):
        print_calibration(calibrate(best_path, run.data.val, device))
    return print_end(progress, options, best_path, stopped)


if __name__ == "__main__":
    sys.exit(run_script(main))
