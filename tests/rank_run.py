"""train.py as torchrun starts it, with something that goes wrong on one rank, or with its losses
told. Arguments: a JSON object, then those of train.py."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import train
from utils.errors import run_script
from utils.ranks import Ranks
from utils.training import state, step, stop

RANK = int(os.environ.get("RANK", "0"))


def main() -> int:
    asked: dict[str, Any] = json.loads(sys.argv[1])
    if path := asked.get("losses"):
        tell_losses(Path(path))
    if path := asked.get("weights"):
        tell_weights(Path(path))
    if asked.get("still"):
        keep_batchnorm_still()
    if asked.get("nan_on") == RANK:
        spoil(asked["at"])
    if "stop_on" in asked:
        stop.LOOK_SECONDS = 600  # steps are counted here, however long they take
    if asked.get("stop_on") == RANK:
        at_step(asked["at"], signal.SIGTERM, once=None)
    if asked.get("kill_on") == RANK:
        at_step(asked["at"], signal.SIGKILL, once=Path(asked["once"]))
    argv = sys.argv[2:]
    if asked.get("machines"):  # each rank is one of its own
        os.environ["LOCAL_WORLD_SIZE"] = "1"
    if asked.get("no_data_on") == RANK:
        argv += ["--data_root", "nowhere"]
    if asked.get("no_run_on") == RANK:
        argv += ["--save_dir", "nowhere"]
    return with_threads_ended(argv)


def with_threads_ended(argv: list[str]) -> int:
    """A training, behind which no thread is left that had to do with other ranks."""
    loop, during = train.train, []

    def looked(run: Any) -> int:
        code = loop(run)
        during.append(gloo_threads())
        return code

    train.train = looked
    code = train.main(argv)
    are_many = Ranks.of_environment().are_many
    assert (during[0] > 0) == (are_many and sys.platform == "linux")
    deadline = time.monotonic() + 2  # an ended one may be listed for a moment
    while gloo_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gloo_threads() == 0
    return code


def gloo_threads() -> int:
    """Of this process, where the system lists them."""
    count = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it ends
            count += path.read_text().startswith("pt_gloo")
    return count


def tell_losses(path: Path) -> None:
    """Every step's, as rank 0 has them, a line each."""
    count_losses = state.Progress.count_losses

    def told(progress: state.Progress, losses: list[float]) -> None:
        if RANK == 0:
            with path.open("a") as file:
                file.writelines(f"{loss!r}\n" for loss in losses)
        count_losses(progress, losses)

    state.Progress.count_losses = told  # type: ignore[method-assign]


def tell_weights(path: Path) -> None:
    """One number of all weights and statistics of each rank, whenever they are to be alike."""
    settle = step.SharedStep.settle

    def told(shared: step.SharedStep) -> None:
        settle(shared)
        tensors = [each.double().flatten() for each in shared._step.state_dict().values()]
        with path.with_name(f"{path.name}{RANK}").open("a") as file:
            file.write(f"{torch.cat(tensors).sum().item()!r}\n")

    step.SharedStep.settle = told  # type: ignore[method-assign]


def keep_batchnorm_still() -> None:
    """It goes by what it has seen before, and not by the pictures of one rank; its own weights and
    all others learn."""
    for kind in (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d):
        kind.train = lambda self, _=True: torch.nn.Module.train(self, False)  # type: ignore


def spoil(at: int) -> None:
    """The loss of that step of the run is not finite on this rank."""
    forward, calls = step.Step.forward, iter(range(10**6))

    def spoiled(self: step.Step, batch: Any, epoch: int) -> step.Losses:
        losses = forward(self, batch, epoch)
        if next(calls) != at:
            return losses
        total = losses.total * float("inf")
        return losses._replace(total=total * (1 + 0 * total.detach()))

    step.Step.forward = spoiled  # type: ignore[method-assign]


def at_step(at: int, number: int, once: Path | None) -> None:
    """That signal comes to this rank behind that step; only once for all processes."""
    count_step, calls = state.Progress.count_step, iter(range(10**6))

    def counted(progress: state.Progress, pictures: int) -> None:
        count_step(progress, pictures)
        if next(calls) == at and not (once and once.exists()):
            if once:
                once.touch()
            os.kill(os.getpid(), number)

    state.Progress.count_step = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(run_script(main))
