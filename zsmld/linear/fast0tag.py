"""Fast0Tag, its linear form: an image is mapped to a direction along which its labels' vectors come first.

Zhang, Gong & Shah, "Fast Zero-Shot Image Tagging", CVPR 2016. The map x ↦ xW is trained with the RankNet loss of its
equation 3: each label of an image against each that it lacks, log(1 + exp(s_n - s_p)), every image weighing the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zsmld.linear.problem import Problem

_STEPS, _BATCH, _RATE = 400, 256, 1e-2


def learnt_map(problem: Problem, weight_decay: float) -> Tensor:
    """(C,E), W: from features to label vectors.

    Args:
        problem: images without a seen label, or with all of them, tell nothing; unknown labels are neither a label of
            the image nor one that it lacks.
        weight_decay: of the map, decoupled (AdamW).
    """
    known = np.ones_like(problem.truth) if problem.known is None else problem.known
    having, lacking = problem.truth & known, ~problem.truth & known
    telling = np.flatnonzero(having.any(axis=1) & lacking.any(axis=1))
    vectors = problem.units.float()
    weights = torch.zeros(problem.pooled.shape[1], vectors.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([weights], lr=_RATE, weight_decay=weight_decay / _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    draw = np.random.default_rng(0)
    for _ in range(_STEPS):
        rows = telling[draw.integers(len(telling), size=min(_BATCH, len(telling)))]
        optimizer.zero_grad()
        scores = problem.features(rows).float() @ weights @ vectors.T
        loss = rank_loss(scores, torch.from_numpy(having[rows]), torch.from_numpy(lacking[rows]))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return weights.detach().double()


def rank_loss(scores: Tensor, truth: Tensor, lacking: Tensor) -> Tensor:
    """Mean over images of the mean over their pairs of a label and one that they lack; all are (B,L)."""
    image, label = truth.nonzero(as_tuple=True)
    differences = scores[image] - scores[image, label, None]  # (p,L): every label against a true one
    pairs = F.softplus(differences) * lacking[image]
    weight = 1 / (truth.sum(dim=1)[image] * lacking.sum(dim=1)[image])
    return (pairs.sum(dim=1) * weight).sum() / len(scores)
