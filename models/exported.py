"""Networks as exported files hold them: tensors in, tensors out, nothing left to do around them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.crnn import CRNN


class ReadingNetwork(nn.Module):
    """images (N, Ch, H, W), widths (N,) int64 -> log_probs (N, T, C) in fp32, lengths (N,) int64.

    The logits are divided by the temperature that makes confidences true.
    """

    def __init__(self, model: CRNN, temperature: float = 1.0):
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        logits, lengths = self.model(images, widths)
        return (logits.float() / self.temperature).log_softmax(dim=2), lengths


class PlainNetwork(nn.Module):
    """images (N, Ch, H, W) of levels 0 to 1, all of one width -> logits (T, N, C).

    For programs that know nothing of true widths, and of no other normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: CRNN, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.model = model
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])  # (Ch, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits, _ = self.model((images - self.mean) / self.std)
        return logits.transpose(0, 1)
