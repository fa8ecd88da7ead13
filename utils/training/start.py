"""Where a run starts: its folder, which is its own, and its step, which all ranks agree on."""

from __future__ import annotations

import math
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.errors import UserError
from utils.files import remove_leftovers
from utils.lock import locked
from utils.ranks import Ranks
from utils.training.order import EpochBatches
from utils.training.state import BEFORE_LAST, LAST, Progress, carry_best, keep_previous_run

if TYPE_CHECKING:
    from utils.training.setup import Run

LOCK = ".train.lock"
TAKEN = "--save_dir {}: another training is writing to it; wait for its end, or give another folder"

PATIENCE = 15
"""Seconds that a run waits for the folder: one that was killed leaves it when its workers notice,
which takes 5."""


class OwnFolder(ExitStack):
    """A save_dir that no other training writes to meanwhile.

    A context manager. It is locked before its state is read; one that is not there has none, and is
    made, and locked, by `take`. Only rank 0 does anything; `wanted`: whether anything is written.
    """

    def __init__(self, save_dir: Path, ranks: Ranks, wanted: bool):
        super().__init__()
        self._save_dir, self._ranks = save_dir, ranks
        self._wanted = wanted and ranks.is_main
        self._is_locked = self._is_taken = False

    def __enter__(self) -> OwnFolder:
        with self._ranks.one_answer():
            if self._wanted and self._save_dir.is_dir():
                is_new = not (self._save_dir / LOCK).exists()
                self._lock()
                if is_new:
                    self.callback(self._leave)
        return self

    def _leave(self) -> None:
        """Nothing behind, where no run came of it; but Windows deletes no file that is held."""
        if not self._is_taken:
            with suppress(OSError):
                (self._save_dir / LOCK).unlink()

    def _lock(self) -> None:
        taken = TAKEN.format(self._save_dir)
        self.enter_context(locked(self._save_dir / LOCK, taken, PATIENCE))
        self._is_locked = True

    def take(self, run: Run) -> None:
        """Make it the run's, without leftovers of a save that was killed, and with an earlier run's
        files out of the way."""
        with self._ranks.one_answer():
            if not self._wanted:
                return
            if not self._is_locked:
                self._lock()
            self._is_taken = True
            remove_leftovers(self._save_dir)
            if run.start is None:
                keep_previous_run(self._save_dir)
            else:
                carry_best(run.start.path.parent, self._save_dir)
            if run.start and run.start.path == self._save_dir / BEFORE_LAST:
                (self._save_dir / LAST).unlink(missing_ok=True)  # damaged; this one stays


def check_same_start(run: Run) -> None:
    """UserError where the ranks do not all go on from the same step, with the same data."""
    progress = run.resumed["progress"] if run.resumed else {}
    step = f"epoch {progress.get('epoch', 0) + 1}, step {progress.get('step', 0)}"
    starts = run.ranks.everyones((step, run.fingerprint))
    if len({start for start, _ in starts}) > 1:
        told = "; ".join(f"rank {rank}: {start}" for rank, (start, _) in enumerate(starts))
        raise UserError(
            f"the ranks would go on from different steps ({told}): --save_dir must be one folder "
            "that all machines share"
        )
    if len(set(starts)) > 1:
        raise UserError("the ranks have different data: --data_root must be the same on all")
    counts = set(run.ranks.everyones(run.ranks.local_world_size))
    if run.options.grad_comm == "local_sgd" and len(counts) > 1:
        raise UserError(
            f"--grad_comm local_sgd: expected as many ranks on each machine, not {sorted(counts)}; "
            "start torchrun with the same --nproc_per_node on all"
        )


def begun(run: Run) -> tuple[Progress, EpochBatches]:
    """How far the run is, and the batches from there on.

    Where it goes on with more or fewer pictures a step, its first step ends where one of these
    would: none of the epoch is left out or learned twice. Where it has learned all of an epoch, and
    has still to validate, the batches begin with the next.
    """
    progress, size = Progress(), run.global_batch_size
    skipped, ordered_by = 0, size
    if run.resumed:
        progress = Progress(**run.resumed["progress"])
        before = size_before(run.resumed)
        ordered_by = run.resumed.get("ordered_by", before)
        learned = progress.step * before
        progress.step, skipped = divmod(learned, size)
        if learned >= run.data.epoch_size:
            progress.step, skipped, ordered_by = -(-run.data.epoch_size // size), 0, size
    batches = EpochBatches(
        run.data.epoch_size, size, run.options.num_epochs, run.options.seed,
        progress.epoch, progress.step, widths=run.train_widths, shares=run.shares,
        num_places=len(run.data.train), ranks=run.ranks, skipped=skipped, ordered_by=ordered_by,
    )  # fmt: skip
    return progress, batches


def size_before(resumed: dict[str, Any]) -> int:
    """Pictures of a step of the run that goes on; older ones had one rank."""
    return resumed.get("global_batch_size", resumed["options"]["batch_size"])


def told_of_ranks(run: Run) -> list[str]:
    """How many pictures a step has, where these are not one batch; and what is no more as it was
    when the run began."""
    options, ranks, size = run.options, run.ranks, run.global_batch_size
    told = []
    if size != options.batch_size:
        parts = [f"{options.batch_size} x {options.accumulate}" if options.accumulate > 1 else
                 f"{options.batch_size}"]  # fmt: skip
        parts += [f"on each of {ranks.world_size} ranks"] if ranks.are_many else []
        told.append(f"a step: {size} pictures, {' '.join(parts)}; peak rate {run.lr:.1e}")
    if ranks.are_many:
        told.append(f"gradients are shared as {options.grad_comm}")
    before = size_before(run.resumed) if run.resumed else size
    if before != size:
        steps = [-(-run.data.epoch_size // each) for each in (before, size)]
        told.append(
            f"steps had {before} pictures before, and have {size} now: an epoch has {steps[1]:,} "
            f"steps in place of {steps[0]:,}, and the course of the rate is stretched to them; "
            f"--accumulate, --batch_size and --scale_lr can keep both as they were"
        )
    return told


def lr_scale(kind: str, batches: float) -> float:
    """Of --scale_lr, for a step of so many batches.

    linear: Goyal et al., 2017 (arXiv:1706.02677); sqrt: Krizhevsky, 2014 (arXiv:1404.5997).
    """
    return {"none": 1.0, "sqrt": math.sqrt(batches), "linear": batches}[kind]
