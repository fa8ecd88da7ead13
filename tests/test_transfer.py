"""Freezing, optimizer groups and a head that is carried over."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from models.config import ModelConfig
from models.crnn import CRNN
from models.crnn_resnet import ResNet50Backbone
from models.registry import BACKBONES, build_model
from models.transfer import (
    FREEZE_STRATEGIES,
    carry_head,
    count_parameters,
    freeze,
    parameter_groups,
    stages_to_freeze,
)

HEIGHT = 32
RESNET_STAGES = ["stem", "layer1", "layer2", "layer3", "layer4"]

every_backbone = pytest.mark.parametrize("name", BACKBONES)


@pytest.fixture(scope="module")
def originals() -> dict[str, CRNN]:
    torch.manual_seed(0)
    made = {}
    for name, entry in BACKBONES.items():
        channels = entry.defaults.get("img_channels", 1)
        assert isinstance(channels, int)
        made[name] = build_model(ModelConfig(name, 11, HEIGHT, channels, 8, 1))
    return made


@pytest.fixture
def model(originals, name) -> CRNN:
    return copy.deepcopy(originals[name])


def stage_parameters(model: CRNN, stage: str) -> list[nn.Parameter]:
    return [p for module in model.backbone.stage_modules(stage) for p in module.parameters()]


def norms(model: CRNN, stage: str) -> list[nn.BatchNorm2d]:
    modules = [m for top in model.backbone.stage_modules(stage) for m in top.modules()]
    return [module for module in modules if isinstance(module, nn.BatchNorm2d)]


def statistics(norm: nn.BatchNorm2d) -> torch.Tensor:
    return torch.cat([buffer.float().flatten() for buffer in norm.buffers()])


def forward(model: CRNN) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        model(torch.randn(2, model.config.img_channels, HEIGHT, 32))


@pytest.mark.parametrize(
    ("strategy", "frozen"),
    [
        ("none", []),
        ("early", ["stem", "layer1", "layer2"]),
        ("partial", ["stem", "layer1", "layer2", "layer3"]),
        ("all", RESNET_STAGES),
    ],
)
def test_frozen_stages_of_a_resnet(strategy, frozen):
    assert list(ResNet50Backbone.stages) == RESNET_STAGES
    assert list(stages_to_freeze(RESNET_STAGES, strategy)) == frozen


@every_backbone
def test_stages_own_what_is_not_added(model, name):
    """Each parameter of the backbone is in one stage, or in the projection of a ResNet."""
    staged = [p for stage in model.backbone.stages for p in stage_parameters(model, stage)]
    assert len({id(p) for p in staged}) == len(staged)
    own = {id(p): n for n, p in model.backbone.named_parameters()}
    outside = set(own) - {id(p) for p in staged}
    assert {own[key].split(".")[0] for key in outside} == (
        {"project"} if name == "resnet" else set()
    )


@every_backbone
@pytest.mark.parametrize("strategy", FREEZE_STRATEGIES)
def test_freeze(model, strategy):
    stages = list(model.backbone.stages)
    counts = {"none": 0, "early": math.ceil(len(stages) / 2), "partial": -1, "all": len(stages)}
    frozen = stages[: counts[strategy]]
    trainable_before, none_frozen = count_parameters(model)
    freeze(model.train(), strategy)
    assert list(model.frozen_stages) == frozen

    expected = 0
    for stage in stages:
        parameters = stage_parameters(model, stage)
        assert {p.requires_grad for p in parameters} == {stage not in frozen}
        expected += sum(p.numel() for p in parameters if stage in frozen)
    assert all(p.requires_grad for part in (model.neck, model.head) for p in part.parameters())
    assert none_frozen == 0
    assert count_parameters(model) == (trainable_before - expected, expected)

    before = {stage: [statistics(norm) for norm in norms(model, stage)] for stage in stages}
    forward(model)
    for stage in stages:
        for old, norm in zip(before[stage], norms(model, stage), strict=True):
            assert torch.equal(old, statistics(norm)) == (stage in frozen), stage
    assert model.neck.training


@every_backbone
def test_train_keeps_frozen_stages_in_eval(model):
    freeze(model.eval(), "early")
    assert not model.training
    for _ in range(2):
        assert model.train() is model
        for stage in model.backbone.stages:
            is_frozen = stage in model.frozen_stages
            assert {norm.training for norm in norms(model, stage)} == {not is_frozen}
        model.eval()
        assert not any(module.training for module in model.modules())


@every_backbone
@pytest.mark.parametrize("strategy", ["none", "early", "all"])
def test_parameter_groups(model, strategy):
    freeze(model, strategy)
    groups = parameter_groups(model, lr=1e-3, backbone_lr=1e-4, weight_decay=0.05)
    seen = [id(p) for group in groups for p in group["params"]]
    assert len(seen) == len(set(seen))
    assert set(seen) == {id(p) for p in model.parameters() if p.requires_grad}
    staged = {id(p) for stage in model.backbone.stages for p in stage_parameters(model, stage)}
    for group in groups:
        assert group["initial_lr"] == group["lr"]
        for parameter in group["params"]:
            assert group["lr"] == (1e-4 if id(parameter) in staged else 1e-3)
            assert group["weight_decay"] == (0.05 if parameter.ndim > 1 else 0.0)
    torch.optim.AdamW(groups)


def test_parameter_groups_of_another_module():
    """An auxiliary head is no CRNN: all of it learns at the plain rate."""
    groups = parameter_groups(nn.Linear(3, 2), lr=1e-3, backbone_lr=1e-4, weight_decay=0.05)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-3, 0.05), (1e-3, 0.0)]


def test_carry_head_keeps_the_rows_of_known_characters():
    old_head, new_head = nn.Linear(4, 4), nn.Linear(4, 5)
    fresh_weight, fresh_bias = new_head.weight.detach().clone(), new_head.bias.detach().clone()
    old_classes, new_classes = ["<blank>", "a", "b", "c"], ["<blank>", "c", "x", "a", "y"]
    kept = carry_head(old_head.weight, old_head.bias, old_classes, new_classes, new_head)
    assert kept == 3
    sources = {0: 0, 1: 3, 3: 1}
    for row in range(5):
        weight = old_head.weight[sources[row]] if row in sources else fresh_weight[row]
        bias = old_head.bias[sources[row]] if row in sources else fresh_bias[row]
        assert torch.equal(new_head.weight[row], weight)
        assert new_head.bias[row] == bias
