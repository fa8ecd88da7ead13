"""The CTC loss (Graves et al., 2006), in fp32 and with true lengths."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def ctc_loss(logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Mean CTC loss, each sequence's divided by its target length: a scalar in fp32.

    logits (N, T, C) of any float type, lengths (N,), targets (N, S) padded with anything,
    target_lengths (N,). This is the one place where shapes turn to CTC's (T, N, C). Lengths are
    best on the CPU: CUDA's CTC fetches them otherwise, and waits for all work before. All is
    computed on the CPU where the device has no CTC (mps), or none that is deterministic when
    that is asked.
    """
    log_probs = F.log_softmax(logits.float(), dim=2).transpose(0, 1)  # (N, T, C) -> (T, N, C)
    wants_cpu = log_probs.is_mps or (
        log_probs.is_cuda and torch.are_deterministic_algorithms_enabled()
    )
    if wants_cpu:
        log_probs = log_probs.cpu()
        lengths, targets, target_lengths = lengths.cpu(), targets.cpu(), target_lengths.cpu()
    loss = F.ctc_loss(log_probs, targets, lengths, target_lengths, blank=0, reduction="mean")
    return loss.to(logits.device)
