"""A head in chunks: what reading wants of logits (N, T, C) that are never held whole."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CHUNK = 2**23
"""Logits that are held at a time where not all are."""

LARGE = 1000
"""Classes from which on logits are not held whole: the chunked CTC loss takes no longer than the
full one from there on (on a CPU), readers give Steps, and new heads start with blanks."""


def start_with_blanks(head: nn.Linear) -> None:
    """A new head of many classes: the blank (class 0) is as likely as all others together.

    Where all classes are alike, the first thousands of steps go by until most are blank: their loss
    is T log C, and its gradient drowns that of the characters.
    """
    if head.out_features >= LARGE:  # a few dozen are past that in no time
        with torch.no_grad():
            head.bias[0] = math.log(head.out_features - 1)


def best_classes(features: Tensor, head: nn.Linear) -> Tensor:
    """The most probable class of each step, (N, T, D) -> (N, T)."""
    with torch.no_grad():
        rows = features.flatten(0, 1).to(head.weight.dtype)
        size = max(1, CHUNK // len(head.weight))
        return torch.cat([head(part).argmax(dim=1) for part in rows.split(size)]).view(
            features.shape[:2]
        )


class HeadSteps:
    """What a head says of features (N, T, D): of every step the best class and the sum of all, and
    log-probabilities of those classes that are asked for. Logits are divided by the temperature.
    """

    def __init__(self, features: Tensor, head: nn.Linear, temperature: float = 1.0):
        self._features, self._head, self._temperature = features, head, temperature
        rows = features.flatten(0, 1)
        best, sums = [], []
        for part in rows.split(max(1, CHUNK // len(head.weight))):
            logits = head(part).float().div_(temperature)  # (size, C)
            most, classes = logits.max(dim=1)
            best.append(classes)
            # As logsumexp does, which goes over the logits twice as often.
            sums.append(logits.sub_(most[:, None]).exp_().sum(dim=1).log_().add_(most))
        self.best = torch.cat(best).view(features.shape[:2])
        """(N, T)"""
        self._sums = torch.cat(sums).view(features.shape[:2])

    def at(self, rows: Tensor, classes: Tensor) -> Tensor:
        """Log-probabilities (M, T, S), in fp32, of classes (M, S) in the pictures rows (M,)."""
        weight, bias = self._head.weight[classes], self._head.bias[classes]  # (M, S, D), (M, S)
        # One operation, so that half precision rounds as it does in the head.
        logits = torch.baddbmm(bias[:, None], self._features[rows], weight.transpose(1, 2))
        return logits.float() / self._temperature - self._sums[rows][:, :, None]
