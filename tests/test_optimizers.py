"""Muon, and steps that are skipped because something was not finite."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.config import ModelConfig
from models.registry import build_model
from models.transfer import parameter_groups
from utils.training.optimizers import make_optimizer, orthogonalised, step_if_finite
from utils.training.schedule import OPTIMIZERS

NAMES = pytest.mark.parametrize("name", OPTIMIZERS)


def small_model() -> nn.Module:
    torch.manual_seed(0)
    config = ModelConfig("light", 11, img_height=32, hidden_size=16, num_layers=1)
    return build_model(config).to(memory_format=torch.channels_last)


def optimizer_of(model: nn.Module, name: str, fused: bool = True) -> torch.optim.Optimizer:
    return make_optimizer(name, parameter_groups(model, 0.01, 0.01, 0.1), fused)


def give_gradients(model: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (16, 16), (1, 9), (9, 1)])
def test_orthogonalised_keeps_the_directions_and_levels_their_strength(
    shape: tuple[int, int],
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix)
    levels = u.T @ found @ v.T  # diagonal, if the directions are those of the matrix
    assert torch.allclose(levels, levels.diagonal().diag(), atol=1e-6)
    assert levels.diagonal().min() > 0.65
    assert levels.diagonal().max() < 1.25
    assert torch.allclose(orthogonalised(1e6 * matrix), found, atol=1e-5)


def test_orthogonalised_is_newton_schulz_on_the_matrix_itself() -> None:
    matrix = torch.randn(12, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert torch.allclose(orthogonalised(matrix), x, atol=1e-9)


def test_orthogonalised_takes_what_is_flat_or_empty() -> None:
    flat = torch.ones(6, 8)
    assert orthogonalised(flat).isfinite().all()
    assert orthogonalised(torch.zeros(6, 8)).abs().max() == 0


def test_muon_steps_hidden_matrices_only_and_the_rest_is_adamw() -> None:
    ours, adamw = small_model(), small_model()
    for model, name in ((ours, "muon"), (adamw, "adamw")):
        optimizer = optimizer_of(model, name)
        for seed in range(3):
            give_gradients(model, seed)
            optimizer.step()
    theirs = weights(adamw)
    for name, value in ours.named_parameters():
        hidden = value.ndim > 1 and not name.startswith("head")
        assert torch.equal(value, theirs[name]) != hidden, name


def test_a_step_of_muon_is_as_large_as_one_of_adamw() -> None:
    """Liu et al., 2025: a root mean square of 0.2 times the learning rate for every matrix."""
    model = small_model()
    before = weights(model)
    optimizer = make_optimizer("muon", parameter_groups(model, 0.01, 0.01, 0.0), True)
    give_gradients(model)
    optimizer.step()
    for name, value in model.named_parameters():
        if value.ndim > 1 and not name.startswith("head"):
            size = (value.detach() - before[name]).square().mean().sqrt().item()
            assert size == pytest.approx(0.2 * 0.01, rel=0.3), name


def test_muon_decays_its_weights() -> None:
    model = small_model()
    before = weights(model)["backbone.stage3.convs.0.weight"]
    optimizer = optimizer_of(model, "muon")
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = model.get_parameter("backbone.stage3.convs.0.weight")
    assert torch.allclose(after, before * (1 - 0.01 * 0.1), rtol=1e-6, atol=0)


@NAMES
@pytest.mark.parametrize("fused", [True, False])
def test_a_step_that_is_not_finite_changes_nothing(name: str, fused: bool) -> None:
    model = small_model()
    optimizer = optimizer_of(model, name, fused)
    for seed in range(2):
        give_gradients(model, seed)
        step_if_finite(optimizer, torch.tensor(True))
    before, state = weights(model), copy.deepcopy(optimizer.state_dict()["state"])
    give_gradients(model)
    next(model.parameters()).grad.fill_(torch.nan)  # type: ignore[union-attr]
    step_if_finite(optimizer, torch.tensor(False))
    for key, value in weights(model).items():
        assert torch.equal(value, before[key]), key
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            assert torch.equal(value, state[index][key]), (index, key)


@NAMES
def test_steps_after_a_skipped_one_are_as_if_it_had_not_been(name: str) -> None:
    one, other = small_model(), small_model()
    for model, skips in ((one, False), (other, True)):
        optimizer = optimizer_of(model, name)
        for seed in range(3):
            if skips and seed == 1:
                give_gradients(model, 99)
                step_if_finite(optimizer, torch.tensor(False))
            give_gradients(model, seed)
            step_if_finite(optimizer, torch.tensor(True))
    for key, value in weights(one).items():
        assert torch.equal(value, weights(other)[key]), key


@NAMES
def test_a_loaded_optimizer_goes_on_to_the_same_weights(name: str) -> None:
    whole, broken = small_model(), small_model()
    optimizer = optimizer_of(whole, name)
    for seed in range(2):
        give_gradients(whole, seed)
        optimizer.step()
    broken.load_state_dict(whole.state_dict())
    resumed = optimizer_of(broken, name)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for model, each in ((whole, optimizer), (broken, resumed)):
        give_gradients(model, 7)
        each.step()
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[key]), key


def test_a_grad_scaler_skips_what_is_not_finite() -> None:
    model = small_model()
    optimizer, before = optimizer_of(model, "muon"), weights(model)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.zeros(()))  # it starts with the first loss
    give_gradients(model)
    next(model.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    for key, value in weights(model).items():
        assert torch.equal(value, before[key]), key
