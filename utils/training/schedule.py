"""Learning-rate schedules as pure functions of the step, so that a resume needs no state."""

from __future__ import annotations

import math

OPTIMIZERS = ("muon", "adamw", "adam")
MONITORS = ("sequence_accuracy", "cer", "loss")
SCHEDULERS = ("onecycle", "cosine", "step", "plateau", "constant")


def lr_factor(
    scheduler: str,
    step: int,
    total_steps: int,
    steps_per_epoch: int,
    warmup: float = 0.1,
    step_size: int = 20,
    gamma: float = 0.5,
    drops: int = 0,
) -> float:
    """What the base learning rate is multiplied by at a step (from 0).

    onecycle: 1/25 up to 1 over the warm-up share, then down to 1e-4 of the start, both along a
    cosine (Smith and Topin, 2017, arXiv:1708.07120, as torch's OneCycleLR). The others rise in a
    line over the warm-up share. cosine: then a cosine to 0. step: times gamma every step_size
    epochs. plateau: times gamma for each of the `drops` so far. constant: 1.
    """
    warm_steps = warmup * total_steps
    if scheduler == "onecycle":
        start = 1 / 25
        warm_steps -= 1  # torch's peak: the last step of the warm-up, not the first one after it
        if step < warm_steps:
            return _cosine(start, 1.0, step / warm_steps)
        return _cosine(1.0, start / 1e4, (step - warm_steps) / max(total_steps - 1 - warm_steps, 1))
    if step < warm_steps:
        return (step + 1) / (warm_steps + 1)
    if scheduler == "cosine":
        return _cosine(1.0, 0.0, (step - warm_steps) / max(total_steps - warm_steps, 1))
    if scheduler == "step":
        return gamma ** (step // steps_per_epoch // step_size)
    return gamma**drops if scheduler == "plateau" else 1.0


def _cosine(begin: float, end: float, share: float) -> float:
    """From begin (share 0) to end (share 1) along half a cosine."""
    return end + (begin - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
