"""The CTC loss (Graves et al., 2006), in fp32 and with true lengths; whole, or for large charsets.

`full_ctc_loss` and `chunked_ctc_loss` take the same and give the same: the features before the
head (N, T, D), the head, tensors of lengths (N,), targets (N, S) padded with anything,
target_lengths (N,) -> the mean loss, each sequence's divided by its target length: a scalar in
fp32. Lengths are best on the CPU: CUDA's CTC fetches them otherwise, and waits for all work before.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.heads import CHUNK, LARGE


def full_ctc_loss(
    features: Tensor, head: nn.Linear, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> Tensor:
    """By way of all logits (N, T, C)."""
    return ctc_loss(head(features), lengths, targets, target_lengths)


def ctc_loss(logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Of logits (N, T, C) of any float type: the end of `full_ctc_loss`.

    This is the one place where shapes turn to CTC's (T, N, C).
    """
    log_probs = F.log_softmax(logits.float(), dim=2).transpose(0, 1)  # (N, T, C) -> (T, N, C)
    return _each_ctc_loss(log_probs, lengths, targets, target_lengths, "mean")


def _each_ctc_loss(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, reduction: str
) -> Tensor:
    """Computed on the CPU where the device has no CTC (mps), or none that is deterministic when
    that is asked."""
    device = log_probs.device
    if log_probs.is_mps or (log_probs.is_cuda and torch.are_deterministic_algorithms_enabled()):
        log_probs = log_probs.cpu()
    if log_probs.is_cpu:
        lengths, targets, target_lengths = lengths.cpu(), targets.cpu(), target_lengths.cpu()
    loss = F.ctc_loss(log_probs, targets, lengths, target_lengths, blank=0, reduction=reduction)
    return loss.to(device)


def chunked_ctc_loss(
    features: Tensor, head: nn.Linear, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> Tensor:
    """Without ever holding the logits: memory grows with C only as the head's weights do.

    The recursion of CTC needs the log-probabilities of the blank and of the target's characters
    only, and of the other classes the log-sum-exp of each step. The gradient of a logit is its
    probability less the share of paths through it, which is 0 but for those classes. So each chunk
    of steps goes through the head once, and gives its log-sum-exp and the gradient of the other
    classes at the same time (as fused linear cross-entropy does, Hsu et al., 2024,
    arXiv:2410.10989); nothing is computed twice. The recursion runs in float64.

    The head's weights are used as they are: its hooks are not called. No second derivative.
    """
    parts = (features, head.weight, head.bias)
    wants = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in parts)
    return _ChunkedCTC.apply(*parts, lengths, targets, target_lengths, wants)


class _ChunkedCTC(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, weight, bias, lengths, targets, target_lengths, wants):
        dtype = features.dtype
        if torch.is_autocast_enabled(features.device.type):
            dtype = torch.get_autocast_dtype(features.device.type)
        ctx.dtypes = [None if x is None else x.dtype for x in (features, weight, bias)]
        with torch.autocast(features.device.type, enabled=False):
            part = _Parts(features, weight, bias, lengths, targets, target_lengths, dtype)
            part.other_classes(wants)
            loss = part.own_classes(wants)
        if wants:
            ctx.save_for_backward(*part.gradients())
        return loss

    @staticmethod
    def backward(ctx, gradient):
        """They are kept in float32, so that a scaled loss of fp16 loses none of the small ones."""
        found = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        scaled = [None if dtype is None else (gradient * x).to(dtype) for x, dtype in found]
        return *scaled, None, None, None, None


class _Parts:
    """What becomes of one batch: R true steps of all pictures, in rows; K classes of a picture of
    its own, the blank and its target's characters."""

    def __init__(self, features, weight, bias, lengths, targets, target_lengths, dtype):
        count, steps, _ = features.shape
        self.device = device = features.device
        self.lengths, self.target_lengths = lengths, target_lengths
        self.features, self.weight = features.to(dtype), weight.to(dtype)
        self.bias = weight.new_zeros(len(weight)).float() if bias is None else bias.float()
        # What is small in fp16 is 0; bf16 reaches as far as fp32.
        self.exact = torch.float32 if dtype == torch.float16 else dtype
        sizes = target_lengths.to(device)
        self.share = 1 / (sizes.clamp(min=1) * count).float()  # (N,), of the mean
        true = torch.arange(steps) < lengths.cpu()[:, None]  # (N, T)
        self.rows = true.flatten().nonzero().squeeze(1).to(device)  # (R,)
        self.true = true.to(device)
        if not targets.shape[1]:
            targets = targets.new_zeros(count, 1)
        places = torch.arange(targets.shape[1], device=device)
        inside = places < sizes[:, None]  # (N, S)
        targets = torch.where(inside, targets, 0)
        # A character that comes again has the class of its first place.
        first = (targets[:, :, None] == targets[:, None, :]).int().argmax(dim=2)  # (N, S)
        self.own_targets = torch.where(inside, first + 1, 0)
        self.classes = F.pad(targets, (1, 0)).long()  # (N, K), K = S + 1
        self.used = F.pad(inside & (first == places), (1, 0), value=True)

    def other_classes(self, wants: bool) -> None:
        """log_sum_exp (N, T) over all classes; and, where it is wanted, the gradient of those that
        are none of the picture's own."""
        count, steps, size = self.features.shape
        rows = self.features.flatten(0, 1)[self.rows]  # (R, D)
        pictures = self.rows // steps  # (R,)
        sums = torch.empty(len(rows), device=self.device)
        if wants:
            self.by_row = torch.empty(rows.shape, device=self.device)
            self.by_weight = torch.zeros(self.weight.shape, device=self.device)
            self.by_bias = torch.zeros_like(self.bias)
            exact_weight = self.weight.to(self.exact)
        size = max(1, CHUNK // len(self.weight))
        for start in range(0, len(rows), size):
            here = slice(start, start + size)
            logits = (rows[here] @ self.weight.T).float().add_(self.bias)  # (size, C)
            sums[here] = logits.logsumexp(dim=1)
            if wants:
                shares = logits.sub_(sums[here, None]).exp_()
                shares.mul_(self.share[pictures[here], None])
                # Of its own classes, probability and paths nearly cancel: both at once, below.
                shares.scatter_(1, self.classes[pictures[here]], 0)
                self.by_bias += shares.sum(dim=0)
                shares = shares.to(self.exact)
                self.by_row[here] = (shares @ exact_weight).float()
                self._add_by_weight(shares.T, rows[here].to(self.exact))
        flat = torch.zeros(count * steps, device=self.device)
        self.log_sum_exp = flat.index_copy_(0, self.rows, sums).view(count, steps)

    def _add_by_weight(self, shares: Tensor, rows: Tensor) -> None:
        if shares.dtype == torch.float32:
            self.by_weight.addmm_(shares, rows)
        else:
            self.by_weight += shares @ rows

    def own_classes(self, wants: bool) -> Tensor:
        """The loss; and the gradient of each picture's own classes."""
        own_weight = self.weight[self.classes]  # (N, K, D)
        logits = (self.features @ own_weight.transpose(1, 2)).float()  # (N, T, K)
        log_probs = logits + self.bias[self.classes][:, None] - self.log_sum_exp[:, :, None]
        # K is small, so that the recursion's long sums of logarithms cost nothing in float64.
        log_probs = log_probs.cpu() if log_probs.is_mps else log_probs
        log_probs = log_probs.double().transpose(0, 1).detach().requires_grad_(wants)  # (T, N, K)
        with torch.set_grad_enabled(wants):
            losses = _each_ctc_loss(
                log_probs, self.lengths, self.own_targets, self.target_lengths, "none"
            )
            loss = (losses * self.share.to(losses.device)).sum()
        if wants:
            # torch gives the gradient that is right behind a log_softmax: probability less paths.
            [gradient] = torch.autograd.grad(loss, log_probs)
            gradient = gradient.float().transpose(0, 1).to(self.device)  # (N, T, K)
            gradient = torch.where(self.used[:, None] & self.true[:, :, None], gradient, 0)
            self.by_bias.index_add_(0, self.classes.flatten(), gradient.sum(dim=1).flatten())
            gradient = gradient.to(self.exact)
            by_own = gradient.transpose(1, 2) @ self.features.to(self.exact)  # (N, K, D)
            self.by_weight.index_add_(0, self.classes.flatten(), by_own.float().flatten(0, 1))
            by_step = (gradient @ own_weight.to(self.exact)).float()  # (N, T, D)
            self.by_row += by_step.flatten(0, 1)[self.rows]
        return loss.detach().float().to(self.device)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the loss by features (N, T, D), weight and bias, in float32."""
        by_features = torch.zeros(self.features.shape, device=self.device)
        by_features.flatten(0, 1).index_copy_(0, self.rows, self.by_row)
        return by_features, self.by_weight, self.by_bias


def ctc_of(kind: str, num_classes: int) -> str:
    """Which of CTC that is: auto takes the chunked one where it costs no time."""
    return ("chunked" if num_classes >= LARGE else "full") if kind == "auto" else kind


CTC: dict[str, Callable[[Tensor, nn.Linear, Tensor, Tensor, Tensor], Tensor]] = {
    "full": full_ctc_loss,
    "chunked": chunked_ctc_loss,
}
