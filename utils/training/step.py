"""From a batch to its losses; and how the ranks of a run bring their gradients together."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import (
    default_hooks,
    post_localSGD_hook,
    powerSGD_hook,
)
from torch.nn.parallel import DistributedDataParallel

from models.crnn import CRNN
from utils.ranks import Ranks
from utils.training.batch import Batch
from utils.training.curriculum import Lesson

if TYPE_CHECKING:
    from utils.training.options import TrainOptions

WHOLE_STEPS = 20
"""Steps of a run that share whole gradients before powersgd and local_sgd begin: the first ones
are large, and all ranks are to take them together."""


class Losses(NamedTuple):
    """What a step makes of a batch: the sum to descend, the loss of the reader, and the features
    (N, T, D) with the head that reads them."""

    total: Tensor
    loss: Tensor
    features: Tensor
    head: nn.Linear


class Step(nn.Module):
    """Both CTC losses of a batch: means over its pictures.

    Where the sum is not finite, no gradient is: so all ranks see it, and skip that step.
    """

    def __init__(
        self,
        model: CRNN,
        aux_head: nn.Linear,
        ctc_loss: Callable[..., Tensor],
        aux_weight: float,
        lesson: Lesson,
    ):
        super().__init__()
        self.model, self.aux_weight = model, aux_weight
        self.aux_head = aux_head if aux_weight else None  # else its gradient would be waited for
        self._ctc_loss, self._lesson = ctc_loss, lesson

    def forward(self, batch: Batch, epoch: int) -> Losses:
        model = self.model
        columns = model.backbone(batch.images, batch.widths)  # -> (N, T, D)
        features, lengths = model.neck_features(columns, batch.images, batch.widths)
        heads: list[nn.Linear] = [model.head, *([self.aux_head] if self.aux_head else [])]
        targets = batch.targets
        if self._lesson.lasts(epoch):
            heads, targets = self._lesson.of(heads, targets)
        texts = (lengths, targets, batch.target_lengths)
        total = loss = self._ctc_loss(features, heads[0], *texts)
        if self.aux_head:
            total = loss + self.aux_weight * self._ctc_loss(columns, heads[1], *texts)
        return Losses(total * (1 + 0 * total.detach()), loss.detach(), features.detach(), heads[0])


def powersgd_in_turn(state, bucket):
    """torch's hook, one bucket after the other: it sends three messages for each, the second and
    third when those before are there, and over gloo they came in another order on each rank."""
    found: torch.futures.Future[Tensor] = torch.futures.Future()
    found.set_result(powerSGD_hook.powerSGD_hook(state, bucket).wait())
    return found


def in_ddp(step: Step, device: torch.device, **changes: Any) -> DistributedDataParallel:
    """torch's wrapper as a training has it, but for `changes` of its arguments."""
    ids = [device.index] if device.type == "cuda" else None
    arguments = {"broadcast_buffers": False, "gradient_as_bucket_view": True, **changes}
    with warnings.catch_warnings():  # the newer name is not in torch 2.11
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        return DistributedDataParallel(step, ids, **arguments)


class SharedStep:
    """A Step whose gradients become those of all ranks, by what --grad_comm says; of one rank, they
    are its own.

    fp32: torch's DistributedDataParallel as it is (Li et al., 2020, arXiv:2006.15704). bf16: half
    as many bytes. powersgd: a matrix of rank --powersgd_rank for each gradient, what is left out is
    added to the next (Vogels et al., 2019, arXiv:1905.13727). local_sgd: ranks of one machine share
    every gradient, and all ranks their weights every --average_every steps (Lin et al., 2018,
    arXiv:1808.07217).
    """

    def __init__(self, step: Step, options: TrainOptions, ranks: Ranks, device: torch.device):
        self._step, self._options, self._ranks, self._device = step, options, ranks, device
        self._shared: DistributedDataParallel | None = None
        self._powersgd: powerSGD_hook.PowerSGDState | None = None
        self._steps = 0
        self._is_local = ranks.are_many and options.grad_comm == "local_sgd"
        if self._is_local:
            self._machine, _ = dist.new_subgroups(ranks.local_world_size)
        self.renew()

    def renew(self) -> None:
        """To be called when other parameters learn than before."""
        if not self._ranks.are_many:
            return
        shared = in_ddp(self._step, self._device)
        if self._options.grad_comm == "bf16":
            shared.register_comm_hook(None, default_hooks.bf16_compress_hook)
        elif self._options.grad_comm == "powersgd":
            self._powersgd = powerSGD_hook.PowerSGDState(
                None, self._options.powersgd_rank, WHOLE_STEPS
            )
            on_cpu = self._device.type == "cpu"
            hook = powersgd_in_turn if on_cpu else powerSGD_hook.powerSGD_hook
            shared.register_comm_hook(self._powersgd, hook)
        elif self._options.grad_comm == "local_sgd":
            state = post_localSGD_hook.PostLocalSGDState(None, self._machine, WHOLE_STEPS)
            shared.register_comm_hook(state, post_localSGD_hook.post_localSGD_hook)
        self._shared = shared

    def __call__(self, batch: Batch, epoch: int) -> Losses:
        return (self._shared or self._step)(batch, epoch)

    def sharing(self, is_last: bool) -> Any:
        """A context for one batch of several that are one step: gradients are shared at the
        last."""
        return nullcontext() if is_last or self._shared is None else self._shared.no_sync()

    def after(self, finite: Tensor) -> None:
        """To be called when the optimizer has made its step, or has left it out."""
        self._steps += 1
        alone = self._steps - WHOLE_STEPS  # steps with gradients of this machine only
        if self._is_local and alone >= 0 and alone % self._options.average_every == 0:
            self._average([parameter.data for parameter in self._step.parameters()])
        if self._powersgd is not None and not finite:  # what it keeps for the next is not either
            self._powersgd.error_dict.clear()
            self._powersgd.p_memory_dict.clear()
            self._powersgd.q_memory_dict.clear()

    def settle(self) -> None:
        """All ranks have the same model: the mean of their weights, where these may differ, and of
        what BatchNorm has seen."""
        if self._ranks.are_many:
            differ = list(self._step.parameters()) if self._is_local else []
            self._average([each.data for each in (*differ, *self._step.buffers())])

    def _average(self, tensors: list[Tensor]) -> None:
        """Over all ranks, in place, all floats in one message."""
        floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        if floats:
            mean = self._ranks.total(torch.cat([each.flatten() for each in floats]))
            mean /= self._ranks.world_size
            parts = mean.split([each.numel() for each in floats])
            for each, part in zip(floats, parts, strict=True):
                each.copy_(part.view_as(each))
