"""Asymmetric loss (Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021, equations 4 to 7)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    known: Tensor | None = None,
    weights: Tensor | None = None,
    gamma_negative: float = 4.0,
    gamma_positive: float = 0.0,
    margin: float = 0.05,
) -> Tensor:
    """Binary cross-entropy that forgets easy negatives: summed over the labels, averaged over the images.

    Positives cost -(1-p)^γ+ log p, negatives -(p_m)^γ- log(1-p_m) with p_m = max(p - margin, 0), p the sigmoid of
    the logit. As in the published code no gradient flows through the two focusing factors.

    Args:
        logits: (B,L).
        targets: (B,L), 1 where the image has the label.
        known: (B,L), true where it is known whether it has; an unknown label costs nothing. None where all are known.
        weights: (L,) what a label counts; None where all count 1.

    Returns:
        a scalar.
    """
    positive = -F.logsigmoid(logits)
    probability = torch.sigmoid(logits)
    shifted = (probability - margin).clamp(min=0)
    # log1p(-p) is minus infinity where the sigmoid rounds to 1 and no margin is taken off.
    negative = -torch.log1p(-shifted.clamp(max=1 - torch.finfo(logits.dtype).eps))
    with torch.no_grad():
        focus = torch.where(targets > 0, (1 - probability) ** gamma_positive, shifted**gamma_negative)
    cost = focus * torch.where(targets > 0, positive, negative)
    if known is not None:
        cost = torch.where(known, cost, 0.0)
    if weights is not None:
        cost = cost * weights
    return cost.sum() / len(logits)
