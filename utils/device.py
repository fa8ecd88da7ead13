"""Choosing the device, its threads and its half precision. torch is imported late."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from utils.errors import UserError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(num_threads: int | None) -> int:
    """Give torch its CPU threads (None: this process's share of the usable cores, at most 8); call
    before torch is used.

    Waiting threads sleep: OpenMP's default is to spin, which takes a core from the workers that
    draw pictures, and a busy neighbour then slows every step.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    import torch

    threads = num_threads or min(own_cores(), 8)
    torch.set_num_threads(threads)
    return threads


def own_cores() -> int:
    """This process's share of them, where torchrun has started several on this machine."""
    from utils.ranks import Ranks

    return max(1, usable_cores() // Ranks.of_environment().local_world_size)


def share_cores(num_workers: int | None, num_threads: int | None, device: str) -> tuple[int, int]:
    """(num_workers, num_threads) of a training: what the user gave, else a fair share of what each
    of its processes on this machine has.

    On a CPU a third of the cores (at least one) prepare pictures and the others compute. They
    overlap only where there is but one: OpenMP waits at every loop for its slowest thread, so one
    shared core slows all.
    """
    cores = own_cores()
    if num_workers is None:
        num_workers = max(1, cores // 3) if device == "cpu" else min(cores, 16)
    if num_threads is None:
        num_threads = min(max(1, cores - num_workers), 8)
    return num_workers, num_threads


def pick_device(name: str) -> torch.device:
    """The device of that name; auto takes cuda, then mps, then cpu. Of several GPUs, the rank's on
    this machine."""
    import torch

    from utils.ranks import Ranks

    ranks = Ranks.of_environment()
    found = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if found[kind])
    if not found[name]:
        there = ", ".join(kind for kind, is_there in found.items() if is_there)
        raise UserError(
            f"--device {name}: not on this machine, which has {there}; use --device auto"
        )
    if name != "cuda" or not ranks.are_many:
        return torch.device(name)
    count = torch.cuda.device_count()
    if ranks.local_rank >= count:
        raise UserError(
            f"rank {ranks.local_rank} of this machine has no GPU, of which there are {count}; "
            f"start torchrun with --nproc_per_node {count}, or with --device cpu"
        )
    return torch.device(name, ranks.local_rank)


def half_precision(device: torch.device, wanted: bool) -> torch.dtype | None:
    """The autocast type: bf16 where the hardware has it, fp16 on older CUDA, None for fp32."""
    import torch

    if not wanted or device.type == "mps":
        return None
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public ones
    has_bf16 = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if has_bf16 else None
