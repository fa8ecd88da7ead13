"""Necks: as packed sequences are, and what looks at how far."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.necks import BiGRU, BiLSTM, sine_positions
from models.registry import build_model


def test_unknown_neck_names_those_that_there_are():
    with pytest.raises(ValueError, match="'lstm' is not one of bilstm, bigru, transformer"):
        build_model(ModelConfig(neck="lstm"))


def torch_weights(own: BiLSTM | BiGRU) -> dict[str, Tensor]:
    """Ours, by the names of torch's own bidirectional layer."""
    weights = {}
    for layer, (ahead, back) in enumerate(zip(own.ahead, own.back, strict=True)):
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            weights[f"{kind}_l{layer}"] = getattr(ahead, f"{kind}_l0")
            weights[f"{kind}_l{layer}_reverse"] = getattr(back, f"{kind}_l0")
    return weights


@pytest.mark.parametrize("neck", [BiLSTM, BiGRU])
def test_recurrent_necks_equal_packed_sequences(neck):
    torch.manual_seed(2)
    own = neck(5, 4, num_layers=2)
    theirs = neck.cell(5, 4, 2, batch_first=True, bidirectional=True)
    theirs.load_state_dict(torch_weights(own))
    lengths = torch.tensor([7, 3, 1, 5])
    x = torch.randn(4, 7, 5)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    found = own(x, lengths)
    for row, steps in enumerate(lengths):
        torch.testing.assert_close(found[row, :steps], expected[row, :steps])
    torch.testing.assert_close(own(x, None), theirs(x)[0])


def test_sine_positions_are_those_of_the_paper():
    found = sine_positions(50, 6, torch.device("cpu"))
    for place, pair in ((0, 0), (1, 0), (7, 1), (49, 2)):
        angle = place / 10_000 ** (2 * pair / 6)
        assert found[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert found[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_bilstm_drops_between_its_layers_only():
    torch.manual_seed(3)
    x = torch.randn(1, 6, 5)
    one, two = BiLSTM(5, 4, 1, dropout=0.9), BiLSTM(5, 4, 2, dropout=0.9)
    assert torch.equal(one.train()(x, None), one.eval()(x, None))
    assert not torch.equal(two.train()(x, None), two.eval()(x, None))
