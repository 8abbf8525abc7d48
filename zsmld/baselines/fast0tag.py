"""Fast0Tag, its linear form: an image is mapped to a direction along which its labels' vectors come first.

Zhang, Gong & Shah, "Fast Zero-Shot Image Tagging", CVPR 2016. The map x ↦ Wx is trained with the RankNet loss of its
equation 3: each label of an image against each that it lacks, log(1 + exp(s_n - s_p)), every image weighing the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from zsmld.baselines.pooled import Floats, Problem

_STEPS, _BATCH, _RATE = 400, 256, 1e-2


def fast0tag(problem: Problem, *, weight_decay: float) -> Callable[[Floats, Floats], Floats]:
    """A linear map from features to label vectors.

    Args:
        problem: images without a seen label, or with all of them, tell nothing.
        weight_decay: of the map, decoupled (AdamW).
    """
    telling = problem.truth.any(axis=1) & ~problem.truth.all(axis=1)
    features = torch.from_numpy(problem.features[telling]).float()
    truth = torch.from_numpy(problem.truth[telling])
    vectors = torch.from_numpy(problem.vectors).float()
    weights = torch.zeros(features.shape[1], vectors.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([weights], lr=_RATE, weight_decay=weight_decay / _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    draw = np.random.default_rng(0)
    for _ in range(_STEPS):
        rows = torch.from_numpy(draw.integers(len(features), size=min(_BATCH, len(features))))
        optimizer.zero_grad()
        loss = _rank_loss(features[rows] @ weights @ vectors.T, truth[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    learnt = weights.detach().double().numpy()
    return lambda features, vectors: np.asarray(features @ learnt @ vectors.T)


def _rank_loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over images of the mean over their pairs of a label and one that they lack."""
    image, label = truth.nonzero(as_tuple=True)
    differences = scores[image] - scores[image, label, None]  # (p,L): every label against a true one
    lacking = ~truth[image]
    pairs = F.softplus(differences) * lacking
    weight = 1 / (truth.sum(dim=1)[image] * lacking.sum(dim=1))
    return (pairs.sum(dim=1) * weight).sum() / len(scores)
