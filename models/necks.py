"""What looks at the columns together before the head reads them: (N, T, D) -> (N, T, out_features).

Every neck takes the true lengths (N,), int64, or None where every picture fills the batch, and
gives a picture the same in any batch. `hidden_size` counts the units of one direction, so that all
but `none` have twice as many features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.layers import flip_within

MOST_HEADS = 8


class Neck(nn.Module):
    """What every neck is; a subclass sets `out_features`."""

    out_features: int

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Columns (N, T, D), true lengths (N,) or None -> features (N, T, out_features)."""
        raise NotImplementedError


class _Bidirectional(Neck):
    """Stacked recurrent layers in both directions over true lengths.

    The backward direction starts at the true end, by a flip within the length, a form that
    torch.export traces (packed sequences are not). Dropout stands between the layers.
    """

    cell: type[nn.LSTM] | type[nn.GRU]

    def __init__(self, in_features: int, hidden_size: int, num_layers: int, dropout: float = 0.0):
        super().__init__()
        self.out_features = 2 * hidden_size
        sizes = [in_features] + [self.out_features] * (num_layers - 1)
        self.ahead = nn.ModuleList(self.cell(size, hidden_size, batch_first=True) for size in sizes)
        self.back = nn.ModuleList(self.cell(size, hidden_size, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        for layer, (ahead, back) in enumerate(zip(self.ahead, self.back, strict=True)):
            if layer:
                x = self.dropout(x)
            forward, _ = ahead(x)  # (N, T, D) -> (N, T, hidden_size)
            backward, _ = back(flip_within(x, lengths))
            x = torch.cat([forward, flip_within(backward, lengths)], dim=2)
        return x


class BiLSTM(_Bidirectional):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) in both directions."""

    cell = nn.LSTM


class BiGRU(_Bidirectional):
    """Gated recurrent units (Cho et al., 2014, arXiv:1406.1078): three quarters of the weights."""

    cell = nn.GRU


class Transformer(Neck):
    """Encoder layers (Vaswani et al., 2017, arXiv:1706.03762), the norm before each part, over
    columns with the paper's sine positions, which know no longest line."""

    def __init__(self, in_features: int, hidden_size: int, num_layers: int, dropout: float = 0.0):
        super().__init__()
        self.out_features = size = 2 * hidden_size
        self.project = nn.Linear(in_features, size)
        layer = nn.TransformerEncoderLayer(
            size, num_heads(size), 2 * size, dropout, batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(size)
        self.layers = nn.TransformerEncoder(layer, num_layers, norm, enable_nested_tensor=False)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.project(x)  # (N, T, D) -> (N, T, 2 * hidden_size)
        x = x + sine_positions(x.shape[1], x.shape[2], x.device).to(x.dtype)
        return self.layers(x, src_key_padding_mask=past(x, lengths))


class AttentiveBiLSTM(Neck):
    """A BiLSTM, and to each of its features what self-attention over all of them adds."""

    def __init__(self, in_features: int, hidden_size: int, num_layers: int, dropout: float = 0.0):
        super().__init__()
        self.lstm = BiLSTM(in_features, hidden_size, num_layers, dropout)
        self.out_features = size = self.lstm.out_features
        self.norm = nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, num_heads(size), dropout, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.lstm(x, lengths)
        looked = self.norm(x)
        mask = past(x, lengths)
        return x + self.attention(looked, looked, looked, mask, need_weights=False)[0]


class NoNeck(Neck):
    """Each column by itself: what the convolutions see around it is all there is."""

    def __init__(self, in_features: int, hidden_size: int, num_layers: int, dropout: float = 0.0):
        super().__init__()
        self.out_features = in_features

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return x


def num_heads(size: int) -> int:
    """At most 8 that divide the features."""
    return math.gcd(size, MOST_HEADS)


def past(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """(N, T), true at steps past the true lengths, which nothing may look at."""
    if lengths is None:
        return None
    return torch.arange(x.shape[1], device=x.device) >= lengths[:, None]


def sine_positions(steps: int, size: int, device: torch.device) -> Tensor:
    """(T, size): sines and cosines of each place at wavelengths from 2 pi to 20,000 pi."""
    place = torch.arange(steps, device=device)[:, None]
    rate = torch.exp(torch.arange(0, size, 2, device=device) * (-math.log(10_000.0) / size))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], dim=2).flatten(1)
