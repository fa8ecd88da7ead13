"""torchvision's weights: all of them fit, and each layer computes what it did there."""

from __future__ import annotations

import copy
import importlib

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from models.config import ModelConfig
from models.crnn import CRNN
from models.necks import NoNeck
from models.registry import BACKBONES
from models.transfer import load_backbone

HEIGHT = 32
NETWORKS = {
    name: entry.imagenet_weights.removesuffix("_Weights").lower()
    for name, entry in BACKBONES.items()
    if entry.imagenet_weights
}
"""torchvision's names of those that can start from ImageNet."""

every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(scope="module")
def original() -> CRNN:
    return build("resnet", channels=3)


@pytest.fixture
def model(original) -> CRNN:
    return copy.deepcopy(original)


def build(name: str, channels: int, text_strides: bool = True) -> CRNN:
    """A model that hands on what its backbone makes of a picture."""
    config = ModelConfig(name, 11, HEIGHT, channels, 8, 1, neck="none")
    entry = BACKBONES[name]
    backbone = getattr(importlib.import_module(entry.module), entry.builder)(config, text_strides)
    return CRNN(config, backbone, NoNeck(backbone.out_channels, 8, 1)).eval()


def original_of(name: str) -> nn.Module:
    """Random weights, and BatchNorm statistics that a wrong order of layers would betray."""
    torch.manual_seed(2)
    network = get_model(NETWORKS[name], weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            statistics = dict(module.named_buffers())
            nn.init.normal_(statistics["running_mean"], std=0.2)
            nn.init.uniform_(statistics["running_var"], 0.5, 1.5)
            statistics["num_batches_tracked"].fill_(7)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return network.eval()


@pytest.fixture(scope="module")
def torchvision_resnet() -> nn.Module:
    return original_of("resnet")


@every_network
def test_torchvision_weights_fit_entirely(name):
    model, weights = build(name, channels=3), original_of(name).state_dict()
    load_backbone(model, weights)
    loaded = model.backbone.state_dict()
    left = {key.split(".")[0] for key in weights if key not in loaded}
    assert left == {"classifier" if "mobilenet" in name else "fc"}
    added = {"project.weight", "project.bias"} if name == "resnet" else set()
    assert {key for key in loaded if key not in weights} == added
    assert all(torch.equal(loaded[key], weights[key]) for key in weights if key in loaded)


def test_weights_from_before_num_batches_tracked(model, torchvision_resnet):
    """torchvision itself still loads its first ImageNet files, which lack that counter."""
    weights = torchvision_resnet.state_dict()
    old = {key: value for key, value in weights.items() if "num_batches" not in key}
    load_backbone(model, old)
    loaded = model.backbone.state_dict()
    assert all(torch.equal(loaded[key], old[key]) for key in old if key in loaded)


def what_enters(network: nn.Module, images: Tensor, *words: None) -> dict[str, Tensor]:
    """The input of each convolution and of the last pool, by name, and what comes out."""
    taken: dict[str, Tensor] = {}

    def taker(name: str):
        return lambda _, inputs: taken.update({name: inputs[0].clone()})

    hooks = [
        module.register_forward_pre_hook(taker(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) or name == "avgpool"
    ]
    with torch.no_grad():
        taken["out"] = network(images, *words)
    for hook in hooks:
        hook.remove()
    return taken


@every_network
def test_every_layer_computes_what_torchvision_computes(name):
    """With torchvision's strides, from the first convolution to what is pooled in the end."""
    network = original_of(name)
    model = build(name, channels=3, text_strides=False)
    load_backbone(model, network.state_dict())
    if name == "resnet":
        model.backbone.project = nn.Identity()
    images = torch.randn(1, 3, 64, 96)
    expected, found = what_enters(network, images), what_enters(model.backbone, images, None)
    assert expected.keys() - found.keys() == {"avgpool"}
    torch.testing.assert_close(found.pop("out"), expected["avgpool"].mean(dim=2).transpose(1, 2))
    assert len(found) > 15
    for each, value in found.items():
        torch.testing.assert_close(value, expected[each], msg=each)


@every_network
def test_grey_first_convolution_reads_grey_as_the_original_reads_rgb(name):
    weights = original_of(name).state_dict()
    grey = torch.randn(1, 1, HEIGHT, 40)
    columns = []
    for channels in (1, 3):
        model = build(name, channels)
        if name == "resnet":
            model.backbone.project = nn.Identity()
        load_backbone(model, weights)
        with torch.no_grad():
            columns.append(model.backbone(grey.expand(1, channels, HEIGHT, 40), None))
    error = (columns[0] - columns[1]).abs().max() / columns[1].abs().max()
    assert error < 1e-5


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
