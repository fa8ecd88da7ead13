"""What starts from other weights: loading, freezing and the differential learning rate.

Written once over the ordered, named stages that every backbone declares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.crnn import CRNN

FREEZE_STRATEGIES = ("none", "early", "partial", "all")
CLASSIFIERS = ("fc.", "classifier.")
"""What torchvision's networks end in."""


def stages_to_freeze(names: list[str], strategy: str) -> tuple[str, ...]:
    """The frozen ones among ordered stage names.

    `early` takes the first half, rounded up (stem, layer1 and layer2 of a ResNet), `partial` all
    but the last, `all` every one. What a backbone adds outside its stages is never frozen.
    """
    counts = {
        "none": 0,
        "early": math.ceil(len(names) / 2),
        "partial": len(names) - 1,
        "all": len(names),
    }
    return tuple(names[: counts[strategy]])


def freeze(model: CRNN, strategy: str, thawed: int = 0) -> None:
    """Freeze the backbone's stages by strategy, save for the last `thawed` of them; their BatchNorm
    stands still from here on."""
    frozen = stages_to_freeze(list(model.backbone.stages), strategy)
    model.frozen_stages = frozen[: max(0, len(frozen) - thawed)]
    for stage in frozen:
        for module in model.backbone.stage_modules(stage):
            module.requires_grad_(stage not in model.frozen_stages)
    model.train(model.training)


def parameter_groups(
    model: nn.Module, lr: float, backbone_lr: float, weight_decay: float, frozen_too: bool = False
):
    """Optimizer groups of the trainable parameters, or of all: backbone stages at `backbone_lr`,
    the rest at `lr`.

    Weight decay goes to matrices and convolutions only, not to biases and BatchNorm. Those between
    the picture and the head are marked `hidden`: an optimizer may treat them as the maps they are.
    """
    staged: set[int] = set()
    head = model
    if isinstance(model, CRNN):
        head = model.head
        for stage in model.backbone.stages:
            for module in model.backbone.stage_modules(stage):
                staged.update(id(parameter) for parameter in module.parameters())
    heads = {id(parameter) for parameter in head.parameters()}
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad or frozen_too:
            rate = backbone_lr if id(parameter) in staged else lr
            matrix = parameter.ndim > 1
            key = (rate, weight_decay if matrix else 0.0, matrix and id(parameter) not in heads)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": params, "lr": rate, "initial_lr": rate, "weight_decay": decay, "hidden": hidden}
        for (rate, decay, hidden), params in groups.items()
    ]


def load_backbone(model: CRNN, state_dict: Mapping[str, Tensor]) -> None:
    """Put a classification network's weights into the backbone's stages, strictly.

    Every tensor of every stage must be there and fit; only the classifier is left over, and only
    BatchNorm's counters may be missing, as in torchvision's first files. A grey first
    convolution takes the sum over RGB. KeyError or ValueError says what does not fit.
    """
    loaded = {name: value for name, value in state_dict.items() if not name.startswith(CLASSIFIERS)}
    own = model.backbone.state_dict()
    prefixes = tuple(f"{m}." for modules in model.backbone.stages.values() for m in modules)
    wanted = [name for name in own if name.startswith(prefixes)]
    loaded = {name: own[name] for name in wanted if name.endswith("num_batches_tracked")} | loaded
    missing = [name for name in wanted if name not in loaded]
    foreign = [name for name in loaded if name not in wanted]
    if missing or foreign:
        raise KeyError(
            f"{len(missing)} of {len(wanted)} tensors are missing (such as {missing[:1]}) and "
            f"{len(foreign)} are foreign (such as {foreign[:1]})"
        )
    for name in wanted:
        value = loaded[name]
        if value.ndim == 4 and value.shape[1] == 3 and own[name].shape[1] == 1:
            value = value.sum(dim=1, keepdim=True)
        if value.shape != own[name].shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(own[name].shape)}")
        own[name] = value
    model.backbone.load_state_dict(own)


def fit_picture(
    weights: Mapping[str, Tensor], model: nn.Module, grey: Sequence[float]
) -> dict[str, Tensor]:
    """Weights for a model of other picture rows or channels; what fits stays as it is.

    Of kernels (out, in, rows, columns) that span all the height that is left, each row is dealt to
    the new ones that lie where it lay. A first convolution of grey pictures sees the grey of RGB
    ones, made with the shares `grey`; one of RGB sees a grey picture as three like channels.
    """
    own = model.state_dict()
    fitted, is_first = dict(weights), True
    for name, value in weights.items():
        wanted = own[name].shape if name in own else value.shape
        if value.ndim != 4 or len(wanted) != 4:
            continue
        if is_first and 3 * value.shape[1] == wanted[1]:
            value = torch.cat([value * share for share in grey], dim=1)
        elif is_first and value.shape[1] == 3 * wanted[1]:
            value = value.unflatten(1, (3, -1)).sum(dim=1)
        if value.shape[2] != wanted[2]:
            old, new = torch.arange(value.shape[2]), torch.arange(wanted[2])[:, None]
            scale = len(old) / len(new)
            ends = torch.minimum((new + 1) * scale, old + 1)
            shares = (ends - torch.maximum(new * scale, old)).clamp(min=0)  # (new rows, old rows)
            value = torch.einsum("oirc,nr->oinc", value, shares.to(value.dtype))
        fitted[name], is_first = value, False
    return fitted


def carry_head(
    weight: Tensor, bias: Tensor, old_classes: list[str], new_classes: list[str], head: nn.Linear
) -> int:
    """Rows of the old head (classes in order, blank first) into a new one; returns how many."""
    rows = {character: row for row, character in enumerate(old_classes)}
    kept = [(row, rows[ch]) for row, ch in enumerate(new_classes) if ch in rows]
    with torch.no_grad():
        for new_row, old_row in kept:
            head.weight[new_row] = weight[old_row]
            head.bias[new_row] = bias[old_row]
    return len(kept)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, frozen) numbers of parameters."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trainable, sum(p.numel() for p in model.parameters()) - trainable
