"""What a run remembers between two steps, so that it can stop anywhere and go on exactly."""

from __future__ import annotations

import csv
import io
import math
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from utils.errors import UserError
from utils.files import atomic_write, write_text
from utils.metrics import Score
from utils.training.schedule import MONITORS

MAX_NON_FINITE = 50
"""Steps of one epoch without a finite loss or gradient, each skipped, that end a run."""

STATE_KEYS = frozenset(
    {"progress", "options", "backbone_lr", "data", "optimizer", "scaler", "aux_head", "random"}
)
"""What last.pth holds besides weights and header."""

LAST, BEFORE_LAST = "last.pth", "before_last.pth"
"""The state of a run to go on from, and an older one in case it is damaged."""

RUN_FILES = (
    "best.pth", "best.safetensors", LAST, "history.csv", "curves.png", "predictions.png"
)  # fmt: skip

STALL_PICTURES = 80_000
"""Pictures after which a model that reads only blanks gets a sentence of advice."""


@dataclass
class Progress:
    """Position, running sums of the epoch under way, best validation so far, and history."""

    epoch: int = 0
    step: int = 0
    """Steps done in `epoch`."""
    pictures: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    blank_share: float = 1.0
    seconds: float = 0.0
    non_finite: int = 0
    """Skipped steps of the epoch under way."""
    best: list[float] = field(default_factory=list)
    """Its `goodness`."""
    epochs_since_best: int = 0
    stall_told: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean loss of the epoch so far."""
        return self.loss_sum / self.loss_steps if self.loss_steps else math.nan

    @property
    def failing(self) -> bool:
        return self.non_finite >= MAX_NON_FINITE

    def out_of_patience(self, early_stop: int) -> bool:
        """True where the last `early_stop` epochs brought nothing better; 0 has no end."""
        return 0 < early_stop <= self.epochs_since_best

    def told_stall(self) -> bool:
        """True once: where the best path is still almost all blanks after many pictures."""
        stalled = self.pictures >= STALL_PICTURES and self.blank_share > 0.99
        first = stalled and not self.stall_told
        self.stall_told |= stalled
        return first

    def count_step(self, pictures: int) -> None:
        self.step += 1
        self.pictures += pictures

    def count_losses(self, losses: list[float]) -> None:
        """Note the losses of some steps; nan is one that was not finite, and was skipped."""
        finite = [loss for loss in losses if not math.isnan(loss)]
        self.non_finite += len(losses) - len(finite)
        for loss in finite:  # one by one: a resumed run then has the same sum, to the bit
            self.loss_sum += loss
        self.loss_steps += len(finite)

    def end_epoch(
        self, score: Score, val_loss: float, lr: float, monitor: str = MONITORS[0]
    ) -> bool:
        """Note an epoch's validation and go on to the next; True where it is the best so far."""
        self.history.append(
            {
                "epoch": self.epoch + 1,
                "pictures": self.pictures,
                "loss": round(self.loss, 6),
                "val_loss": round(val_loss, 6),
                "sequence_accuracy": score.sequence_accuracy,
                "sequence_accuracy_ignoring_case": score.sequence_accuracy_ignoring_case,
                "character_accuracy": score.character_accuracy,
                "lr": lr,
                "blank_share": round(self.blank_share, 4),
                "skipped": self.non_finite,
                "seconds": round(self.seconds, 3),
            }
        )
        reached = goodness(self.history[-1], monitor)
        is_best = reached > self.best
        if is_best:
            self.best = reached
        self.epochs_since_best = _waits(self.history, monitor)[-1]
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.loss_steps, self.non_finite = 0.0, 0, 0
        return is_best

    def plateaus(self, monitor: str, patience: int) -> int:
        """How often `patience` epochs went by without a better one, a new count after each."""
        waits = _waits(self.history, monitor)
        return sum(waited > 0 and waited % patience == 0 for waited in waits)


def _waits(history: list[dict[str, float]], monitor: str) -> list[int]:
    """After each epoch, how many there were since the best one. The blank plateau, on which no
    character is right yet, is no standstill."""
    waits: list[int] = []
    waited, best, started = 0, [-math.inf], False
    for row in history:
        reached = goodness(row, monitor)
        started |= row["character_accuracy"] > 0
        waited = waited + 1 if started and reached <= best else 0
        best = max(best, reached)
        waits.append(waited)
    return waits


def goodness(row: dict[str, float], monitor: str) -> list[float]:
    """A row of the history by what --monitor names, then by the loss; more is better."""
    loss = row["val_loss"]
    smallness = -loss if math.isfinite(loss) else -math.inf
    figures = {
        "sequence_accuracy": row["sequence_accuracy"],
        "cer": row["character_accuracy"],  # 1 - cer
        "loss": smallness,
    }
    return [figures[monitor], smallness]


def random_state(device: torch.device) -> dict[str, Any]:
    """States of the generators that a step on this device draws from."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the states back; those of another kind of device are passed over."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed what draws at random; `deterministic` also refuses kernels that are not."""
    random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks of cuBLAS
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not deterministic  # the fastest convolutions for this size


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """history.csv: one row an epoch."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, buffer.getvalue())


def check_unchanged(
    stored: dict[str, Any], given: dict[str, Any], free: frozenset[str], path: Path
) -> None:
    """UserError naming every given flag that differs from the stored run's and is not free."""
    sentences = [
        f"--{name} {value}: the run in {path} has {stored.get(name)}; leave the flag out to "
        f"resume, or start a new run with --init_from {path}"
        for name, value in given.items()
        if name not in free and stored.get(name) != value
    ]
    if sentences:
        raise UserError("\n".join(sentences))


def carry_best(source: Path, save_dir: Path) -> None:
    """Where a run goes on in another folder, its best checkpoint so far goes with it."""
    if source.resolve() == save_dir.resolve():
        return
    keep_previous_run(save_dir)
    for name in RUN_FILES[:2]:
        if (source / name).is_file():
            with atomic_write(save_dir / name) as file:
                file.write((source / name).read_bytes())


def keep_previous_run(save_dir: Path) -> None:
    """Rename an earlier run's checkpoints, so that a new run never overwrites them."""
    if (save_dir / LAST).is_file():  # a run of one epoch has none
        (save_dir / f"previous_{BEFORE_LAST}").unlink(missing_ok=True)
    for name in (BEFORE_LAST, *RUN_FILES[:3]):  # the first: last.pth may be damaged
        if (save_dir / name).is_file():
            os.replace(save_dir / name, save_dir / f"previous_{name}")
            if name != BEFORE_LAST:
                print(f"kept the earlier run's {name} as {save_dir / f'previous_{name}'}")
    if (save_dir / "tensorboard").is_dir():
        shutil.rmtree(save_dir / "previous_tensorboard", ignore_errors=True)
        os.replace(save_dir / "tensorboard", save_dir / "previous_tensorboard")
