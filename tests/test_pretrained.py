"""torchvision's ResNet50 weights: all of them fit, and each stage computes what it did there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from models.config import ModelConfig
from models.crnn import CRNN
from models.crnn_resnet import ResNet50Backbone
from models.transfer import load_backbone

HEIGHT = 32


@pytest.fixture(scope="module")
def original() -> CRNN:
    return build(channels=3)


@pytest.fixture
def model(original) -> CRNN:
    return copy.deepcopy(original)


def build(channels: int, text_strides: bool = True) -> CRNN:
    config = ModelConfig("resnet", 11, HEIGHT, channels, 8, 1)
    return CRNN(config, ResNet50Backbone(config, text_strides)).eval()


@pytest.fixture(scope="module")
def torchvision_resnet() -> nn.Module:
    """Random weights, and BatchNorm statistics that a wrong order of layers would betray."""
    torch.manual_seed(2)
    network = resnet50(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            statistics = dict(module.named_buffers())
            nn.init.normal_(statistics["running_mean"], std=0.2)
            nn.init.uniform_(statistics["running_var"], 0.5, 1.5)
            statistics["num_batches_tracked"].fill_(7)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return network.eval()


def test_torchvision_weights_fit_entirely(model, torchvision_resnet):
    weights = torchvision_resnet.state_dict()
    load_backbone(model, weights)
    loaded = model.backbone.state_dict()
    assert {key for key in weights if key not in loaded} == {"fc.weight", "fc.bias"}
    assert {key for key in loaded if key not in weights} == {"project.weight", "project.bias"}
    assert all(torch.equal(loaded[key], weights[key]) for key in weights if key in loaded)


def test_weights_from_before_num_batches_tracked(model, torchvision_resnet):
    """torchvision itself still loads its first ImageNet files, which lack that counter."""
    weights = torchvision_resnet.state_dict()
    old = {key: value for key, value in weights.items() if "num_batches" not in key}
    load_backbone(model, old)
    loaded = model.backbone.state_dict()
    assert all(torch.equal(loaded[key], old[key]) for key in old if key in loaded)


def stage_outputs(network: nn.Module, last: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """What enters each layer and then `last`: the outputs of stem, layer1, ..., layer4."""
    taken: list[torch.Tensor] = []

    def take(_, inputs):
        taken.append(inputs[0].clone())

    entries = [getattr(network, f"layer{i}")[0].conv1 for i in range(1, 5)] + [last]
    hooks = [module.register_forward_pre_hook(take) for module in entries]
    with torch.no_grad():
        network(images) if isinstance(last, nn.AdaptiveAvgPool2d) else network(images, None)
    for hook in hooks:
        hook.remove()
    return taken


def test_stages_equal_torchvision_with_its_strides(torchvision_resnet):
    model = build(channels=3, text_strides=False)
    load_backbone(model, torchvision_resnet.state_dict())
    images = torch.randn(1, 3, 64, 96)
    expected = stage_outputs(torchvision_resnet, torchvision_resnet.avgpool, images)
    found = stage_outputs(model.backbone, model.backbone.get_submodule("project"), images)
    assert [tuple(x.shape[1:]) for x in expected[:4]] == [
        (64, 16, 24),
        (256, 16, 24),
        (512, 8, 12),
        (1024, 4, 6),
    ]
    for own, theirs in zip(found[:4], expected[:4], strict=True):
        torch.testing.assert_close(own, theirs)
    torch.testing.assert_close(found[4], expected[4].mean(dim=2).transpose(1, 2))


def test_grey_first_convolution_reads_grey_as_the_original_reads_rgb(torchvision_resnet):
    weights = torchvision_resnet.state_dict()
    grey = torch.randn(1, 1, HEIGHT, 40)
    columns = []
    for channels in (1, 3):
        model = build(channels)
        project = model.backbone.get_submodule("project")
        nn.init.constant_(project.get_parameter("weight"), 0.01)
        nn.init.zeros_(project.get_parameter("bias"))
        load_backbone(model, weights)
        with torch.no_grad():
            columns.append(model.backbone(grey.expand(1, channels, HEIGHT, 40), None))
    torch.testing.assert_close(columns[0], columns[1], rtol=1e-4, atol=1e-4)


def test_weights_that_do_not_fit_are_named_and_change_nothing(model, torchvision_resnet):
    before = copy.deepcopy(model.backbone.state_dict())
    weights = dict(torchvision_resnet.state_dict())

    missing = {key: value for key, value in weights.items() if key != "layer3.1.conv2.weight"}
    with pytest.raises(KeyError, match=r"1 of 318 .*missing.*layer3\.1\.conv2\.weight"):
        load_backbone(model, missing)
    with pytest.raises(KeyError, match=r"1 are foreign.*layer5\.weight"):
        load_backbone(model, {**weights, "layer5.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match=r"1 are foreign.*project\.weight"):
        load_backbone(model, {**weights, "project.weight": torch.zeros(512, 2048)})
    wrong = {**weights, "layer2.0.conv1.weight": torch.zeros(128, 255, 1, 1)}
    with pytest.raises(ValueError, match=r"layer2\.0\.conv1\.weight has shape \(128, 255, 1, 1\)"):
        load_backbone(model, wrong)

    after = model.backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
