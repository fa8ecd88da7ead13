"""Every backbone of the registry: shapes, gradients, and a padded batch that stays honest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.crnn import CRNN
from models.losses import ctc_loss
from models.registry import BACKBONES, NECKS, backbone_entry, build_model
from models.transfer import count_parameters

HEIGHT = 32
WIDTHS = [61, 40, 64, 33, 8, 47, 9, 62]

NAMES = [*BACKBONES, *(f"light+{neck}" for neck in NECKS)]
"""Every backbone with the usual neck, and `light` with each neck."""

every_model = pytest.mark.parametrize("name", NAMES)


def small_config(name: str) -> ModelConfig:
    backbone, _, neck = name.partition("+")
    channels = BACKBONES[backbone].defaults.get("img_channels", 1)
    assert isinstance(channels, int)
    return ModelConfig(backbone, 11, HEIGHT, channels, 8, 2, 0.0, neck or "bilstm")


def liven(model: CRNN) -> None:
    """Statistics and affine terms that turn a column of zeros into something else."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            statistics = dict(module.named_buffers())
            nn.init.normal_(statistics["running_mean"], std=0.5)
            nn.init.uniform_(statistics["running_var"], 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, mean=0.2, std=0.5)


@pytest.fixture(scope="module")
def models() -> dict[str, CRNN]:
    """One small network of each backbone, in evaluation mode; no test changes them."""
    torch.manual_seed(0)
    made = {name: build_model(small_config(name)) for name in NAMES}
    for model in made.values():
        liven(model)
    return {name: model.eval() for name, model in made.items()}


@pytest.fixture(scope="module")
def mixed(models) -> dict[str, tuple[list[Tensor], Tensor, Tensor]]:
    """For each backbone: pictures of WIDTHS, the same as one padded batch, and the widths."""
    torch.manual_seed(1)
    cases = {}
    for name, model in models.items():
        channels = model.config.img_channels
        pictures = [torch.randn(1, channels, HEIGHT, width) for width in WIDTHS]
        batch = torch.zeros(len(WIDTHS), channels, HEIGHT, max(WIDTHS))
        for row, picture in zip(batch, pictures, strict=True):
            row[..., : picture.shape[3]] = picture[0]
        cases[name] = (pictures, batch, torch.tensor(WIDTHS))
    return cases


@every_model
@pytest.mark.parametrize("width", [160, 97])
def test_shapes(models, name, width):
    model = models[name]
    images = torch.randn(2, model.config.img_channels, HEIGHT, width)
    with torch.no_grad():
        columns = model.backbone(images, None)
        features, lengths = model.encode(images)
        logits, same_lengths = model(images)
    steps = model.backbone.out_width(width)
    assert columns.shape == (2, steps, model.backbone.out_channels)
    assert features.shape == (2, steps, model.neck.out_features)
    assert logits.shape == (2, steps, 11)
    assert lengths.tolist() == same_lengths.tolist() == [steps, steps]
    assert torch.equal(logits, model.head(features))
    assert logits.isfinite().all()


@every_model
def test_time_steps_of_the_classic_width(models, name):
    backbone = models[name].backbone
    assert backbone.out_width(160) == 40
    assert backbone.width_stride == 4
    widths = torch.tensor(WIDTHS)
    assert backbone.out_width(widths).tolist() == [backbone.out_width(w) for w in WIDTHS]


@every_model
@pytest.mark.parametrize("height", [32, 45, 48, 60, 80])
def test_heights(name, height):
    model = build_model(replace(small_config(name), img_height=height)).eval()
    images = torch.randn(1, model.config.img_channels, height, 32)
    with torch.no_grad():
        logits, _ = model(images)
    assert logits.shape == (1, 8, 11)
    assert logits.isfinite().all()


@every_model
def test_every_parameter_learns(name):
    torch.manual_seed(1)
    model = build_model(small_config(name)).train()
    images = torch.randn(3, model.config.img_channels, HEIGHT, 48)
    logits, lengths = model(images, torch.tensor([48, 40, 31]))
    targets = torch.tensor([[1, 2, 3], [4, 4, 0], [9, 0, 0]])
    loss = ctc_loss(logits, lengths, targets, torch.tensor([3, 2, 1]))
    loss.backward()
    assert loss.isfinite()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    idle = [name for name, grad in gradients.items() if grad is None or not grad.abs().sum() > 0]
    assert idle == []
    assert all(grad.isfinite().all() for grad in gradients.values())


@every_model
def test_alone_equals_in_a_mixed_batch(models, mixed, name):
    model = models[name]
    pictures, batch, widths = mixed[name]
    with torch.no_grad():
        logits, lengths = model(batch, widths)
        for row, picture in enumerate(pictures):
            alone, (steps,) = model(picture)
            assert lengths[row] == steps
            log_probs = logits[row, :steps].log_softmax(1)
            expected = alone[0].log_softmax(1)
            assert (log_probs - expected).abs().max() < 1e-4, f"width {WIDTHS[row]}"
            assert (log_probs.exp() - expected.exp()).abs().max() < 1e-5, f"width {WIDTHS[row]}"


@every_model
def test_columns_alone_equal_columns_in_a_mixed_batch(models, mixed, name):
    """Before the neck, where small masking errors are not yet squashed by an LSTM."""
    backbone = models[name].backbone
    pictures, batch, widths = mixed[name]
    with torch.no_grad():
        columns = backbone(batch, widths)
        for row, picture in enumerate(pictures):
            alone = backbone(picture, None)[0]
            error = (columns[row, : len(alone)] - alone).abs().max() / alone.abs().max()
            assert error < 1e-5, f"width {WIDTHS[row]}"


@every_model
def test_pixels_past_the_true_width_change_nothing(models, mixed, name):
    model = models[name]
    _, batch, widths = mixed[name]
    noisy = batch.clone()
    for row, width in zip(noisy, WIDTHS, strict=True):
        row[..., width:] = 5 * torch.randn_like(row[..., width:])
    with torch.no_grad():
        clean, lengths = model(batch, widths)
        other, _ = model(noisy, widths)
    for row, steps in enumerate(lengths):
        assert torch.equal(clean[row, :steps], other[row, :steps]), f"width {WIDTHS[row]}"


@every_model
def test_full_widths_equal_no_widths(models, name):
    model = models[name]
    images = torch.randn(2, model.config.img_channels, HEIGHT, 45)
    with torch.no_grad():
        unmasked, lengths = model(images)
        masked, same_lengths = model(images, torch.tensor([45, 45]))
    assert torch.equal(lengths, same_lengths)
    torch.testing.assert_close(masked, unmasked, rtol=1e-5, atol=1e-6)


def test_light_is_a_sixth_of_basic():
    parameters = {}
    for name in ("light", "basic"):
        known = ModelConfig.__dataclass_fields__
        defaults = {k: v for k, v in BACKBONES[name].defaults.items() if k in known}
        with torch.device("meta"):
            parameters[name] = sum(count_parameters(build_model(ModelConfig(name, **defaults))))
    assert 6 * parameters["light"] <= parameters["basic"]


@pytest.mark.parametrize(
    ("asked", "near"), [("resnet34_vg", "resnet34_vd"), ("lite", "light"), ("Basic", "basic")]
)
def test_unknown_backbone_names_the_nearest(asked, near):
    with pytest.raises(ValueError, match=f"'{asked}' is not one of .*did you mean '{near}'"):
        backbone_entry(asked)
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        build_model(ModelConfig(asked))


@pytest.mark.parametrize("neck", [n for n in NECKS if n != "none"])
def test_a_neck_looks_at_all_columns(models, neck):
    """The last of them changes what is made of the first."""
    model = models[f"light+{neck}"].neck
    x = torch.randn(1, 9, 128)
    other = x.clone()
    other[:, -1] += 1
    with torch.no_grad():
        assert not torch.equal(model(x, None)[:, 0], model(other, None)[:, 0])
