"""Train or fine-tune one CRNN reader; the whole loop is visible here.

python train.py --data_root ./data                      a small model, from scratch
python train.py --resume auto                           go on where the last run stopped
python train.py --init_from model.pth --data_root mine  fine-tune on your own pictures
torchrun --nproc_per_node 4 train.py ...                on four GPUs, or processes of a CPU
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from utils.errors import run_script
from utils.options import parse
from utils.ranks import Ranks
from utils.training.options import TrainOptions

if TYPE_CHECKING:
    from utils.training.setup import Run


def main(argv=None) -> int:
    from utils.device import set_threads

    ranks = Ranks.of_environment()
    with ranks.joined():
        with ranks.one_answer():
            parsed = parse(TrainOptions, argv, (__doc__ or "").strip())
            set_threads(parsed.options.num_threads)
        from utils.training.console import print_setup
        from utils.training.resolve import save_dir_of
        from utils.training.setup import prepare_run
        from utils.training.start import OwnFolder, check_same_start

        with OwnFolder(save_dir_of(parsed), ranks, not parsed.options.overfit_batch) as folder:
            with ranks.one_answer():
                run = prepare_run(parsed, ranks)
            with ranks.one_answer():
                check_same_start(run)
            folder.take(run)
            print_setup(run, parsed.given)
            return train(run)


def train(run: Run) -> int:
    """The loop. Returns 0; 1 where the run failed; 128 + the signal that asked it to stop."""
    import torch
    from torch import autocast, nn
    from tqdm import tqdm

    from models.heads import best_classes
    from models.losses import CTC, ctc_of
    from models.transfer import freeze, parameter_groups
    from utils.checkpoint import Header, load_checkpoint, save_checkpoint, versions
    from utils.networks import TorchNetwork
    from utils.recognizer import Recognizer
    from utils.training.batches import losses_told, training_batches
    from utils.training.calibrate import calibrate
    from utils.training.console import print_calibration, print_end, print_epoch, print_old
    from utils.training.curves import scalar_writer
    from utils.training.optimizers import make_optimizer, step_if_finite
    from utils.training.pictures import TrainingPictures
    from utils.training.saving import Saver
    from utils.training.schedule import lr_factor
    from utils.training.start import begun
    from utils.training.state import random_state, restore_random_state
    from utils.training.step import SharedStep, Step
    from utils.training.stop import StopRequest
    from utils.training.validation import skip_bad_rows, validate, write_run_pictures

    options, device, spec, charset = run.options, run.device, run.spec, run.charset
    ranks, is_main = run.ranks, run.ranks.is_main
    model = run.model.to(device).to(memory_format=torch.channels_last)
    aux_head = run.aux_head.to(device)
    ctc_loss = CTC[ctc_of(options.ctc, charset.num_classes)]
    if options.compile:
        model.backbone.compile()  # in place: the weights keep their names
    groups = parameter_groups(
        model, run.lr, run.backbone_lr, options.weight_decay, bool(options.unfreeze_every)
    )
    groups += parameter_groups(aux_head, run.lr, run.lr, options.weight_decay)
    peaks = [group["initial_lr"] for group in groups]
    parameters = [parameter for group in groups for parameter in group["params"]]
    optimizer = make_optimizer(options.optimizer, groups, fused=device.type in ("cpu", "cuda"))
    scaler = torch.amp.GradScaler(device.type, enabled=run.amp_dtype is torch.float16)
    recognizer = Recognizer(TorchNetwork(model, device, run.amp_dtype), spec, charset)
    pictures = TrainingPictures(
        run.data.train, spec, charset, options.seed, run.data.fresh_recipe, options.fresh,
        options.renderer, options.color_jitter, run.drawing_device, options.augment,
        options.max_bad_rows > 0, run.lesson,
    )  # fmt: skip
    progress, order = begun(run)
    skipped: list[str] = []
    batches = training_batches(pictures, order, run.num_workers, device.type == "cuda", skipped)
    step_of = SharedStep(
        Step(model, aux_head, ctc_loss, options.aux_weight, run.lesson), options, ranks, device
    )
    steps_per_epoch = order.steps_per_epoch
    total_steps = steps_per_epoch * options.num_epochs
    save_dir = Path(options.save_dir)
    best_path = save_dir / f"best.{options.save_format}"
    if run.resumed:
        optimizer.load_state_dict(run.resumed["optimizer"])
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["initial_lr"] = peak  # with other ranks, --scale_lr may have another
        if run.resumed["scaler"] and scaler.is_enabled():  # both are empty save for fp16
            scaler.load_state_dict(run.resumed["scaler"])
        aux_head.load_state_dict(run.resumed["aux_head"])
        restore_random_state(run.resumed["random"], device)
    if not is_main:  # each rank drops out other features
        torch.manual_seed(hash((options.seed, ranks.rank, progress.epoch, progress.step)))

    def header(metrics: dict) -> Header:
        trained = asdict(options) | {
            "world_size": ranks.world_size, "global_batch_size": run.global_batch_size
        }  # fmt: skip
        return Header(model.config, spec, charset, metrics, trained, versions())

    def save_last() -> None:
        state = {
            "progress": asdict(progress),
            "options": asdict(options),
            "global_batch_size": run.global_batch_size,
            "ordered_by": order.order_size(progress.epoch),
            "lr": run.lr,
            "backbone_lr": run.backbone_lr,
            "data": run.fingerprint,
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
            "aux_head": aux_head.state_dict(),
            "random": random_state(device),
            "old": run.old and run.old.to_json(),
        }
        if is_main:
            saver.save(header({}), model.state_dict(), state)

    curves = save_dir / "tensorboard" if options.tensorboard and is_main else None
    look_every = 20 if device.type == "cuda" or not ranks.are_many else 5
    with (
        StopRequest(ranks, look_every) as stop, losses_told(), closing(batches),
        scalar_writer(curves) as write_scalars, Saver(save_dir) as saver,
    ):  # fmt: skip
        while progress.epoch < options.num_epochs:
            if progress.out_of_patience(options.early_stop):
                print(f"early stop: no better validation in {options.early_stop} epochs")
                break
            if options.unfreeze_every:
                frozen = model.frozen_stages
                freeze(model, options.freeze_backbone, progress.epoch // options.unfreeze_every)
                if model.frozen_stages != frozen:
                    step_of.renew()
            if run.lesson.ends_before(progress.epoch) and not progress.step:
                optimizer.state.clear()  # its averages are those of a few classes
            model.train()
            clock, waited, losses = time.monotonic(), 0.0, []
            before = progress.seconds
            drops = progress.plateaus(options.monitor, options.patience)
            bar = tqdm(
                desc=f"epoch {progress.epoch + 1}/{options.num_epochs}",
                total=run.data.epoch_size, initial=order.position(progress.epoch, progress.step),
                unit="pic", disable=None if is_main else True, leave=False,
            )  # fmt: skip
            while progress.step < steps_per_epoch:
                step = progress.epoch * steps_per_epoch + progress.step
                factor = lr_factor(
                    options.scheduler, *run.lesson.schedule(step, total_steps, steps_per_epoch),
                    steps_per_epoch, options.warmup, options.step_size, options.gamma, drops,
                )  # fmt: skip
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor

                waiting = time.monotonic()
                batch = next(batches).to(device)
                waited += time.monotonic() - waiting
                optimizer.zero_grad(set_to_none=True)
                weight = order.weight(progress.epoch, progress.step)
                loss, parts = torch.zeros((), device=device), list(batch.split(options.batch_size))
                for part in parts:
                    share = weight * (len(part.images) / len(batch.images))
                    with step_of.sharing(part is parts[-1]):
                        with autocast(device.type, run.amp_dtype, run.amp_dtype is not None):
                            found = step_of(part, progress.epoch)  # backbone, neck, head, CTC
                        scaler.scale(found.total * share).backward()
                    loss += found.loss * share

                scaler.unscale_(optimizer)
                norm = nn.utils.clip_grad_norm_(parameters, options.clip_norm)
                finite = norm.isfinite()
                if scaler.is_enabled():  # fp16: it looks for itself, and lowers its scale
                    scaler.step(optimizer)
                    scaler.update()
                else:
                    step_if_finite(optimizer, finite)
                step_of.after(finite)

                learned = len(order.learned(progress.epoch, progress.step))
                progress.count_step(learned)
                losses.append(torch.where(finite, loss, torch.nan))
                every = options.save_every_steps
                is_last = progress.step == steps_per_epoch
                saves = every and not (step + 1) % every and not is_last
                saves = saves and not options.overfit_batch
                if stop.due() or saves or is_last:  # the loop's only look
                    stopping = stop.agreed()
                    means = ranks.total(torch.stack(losses)) / ranks.world_size
                    progress.count_losses(means.tolist())
                    losses.clear()
                    skip_bad_rows(run.data.bad_rows, skipped, ranks)
                    best = best_classes(found.features, found.head)
                    progress.blank_share = (best == 0).float().mean().item()
                    bar.set_postfix(
                        loss=f"{progress.loss:.3f}", blank=f"{progress.blank_share:.0%}",
                        lr=f"{run.lr * factor:.1e}", refresh=False,
                        wait=f"{waited / (time.monotonic() - clock):.0%}",
                    )  # fmt: skip
                    progress.seconds = before + time.monotonic() - clock
                    if saves:
                        step_of.settle()
                        save_last()
                    if stopping or progress.failing:
                        break
                bar.update(learned)
            bar.close()
            if stop.signal is not None or progress.failing:
                break

            step_of.settle()
            validation = validate(recognizer, run.data.val, ranks, stop, options.batch_size)
            if validation is None:
                break
            lr = optimizer.param_groups[-1]["lr"]  # of the heads, as the last step had it
            is_best = progress.end_epoch(validation.score, validation.loss, lr, options.monitor)
            print_epoch(progress, options.num_epochs)
            if options.overfit_batch:
                if validation.score.sequence_accuracy == 1:
                    break
                continue
            if is_best and is_main:
                metrics = {"val": validation.score.summary(), "epoch": progress.epoch}
                save_checkpoint(best_path, header(metrics), model.state_dict())
            if is_main:
                write_run_pictures(save_dir, progress, run.data.val, validation.texts)
            write_scalars(progress.history)
            save_last()
            if stop.agreed():
                break
        if stop.signal is not None and progress.step and not options.overfit_batch:
            step_of.settle()
            save_last()
    stopped = stop.signal if progress.epoch < options.num_epochs else None
    is_whole = stopped is None and not (options.overfit_batch or progress.failing)
    if is_whole and progress.best and is_main:
        forgotten = {}
        if run.old is not None and best_path.is_file():
            after = run.old.score(load_checkpoint(best_path), device)
            forgotten = {"before": run.old.before, "after": after}
            print_old(run.old, after)
        print_calibration(calibrate(best_path, run.data.val, device, old=forgotten))
    return print_end(progress, options, best_path, stopped)


if __name__ == "__main__":
    sys.exit(run_script(main))
