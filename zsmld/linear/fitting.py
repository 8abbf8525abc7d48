"""A method, its hyper-parameters chosen, fitted on all there is; and a path whose logits mean something.

Shapes: I images, S seen labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zsmld.datasets.holding_out import split_validation
from zsmld.decoder.linear import LinearPath
from zsmld.linear.choice import Choice, choose
from zsmld.linear.methods import METHODS, PATH, Method, Scorer
from zsmld.linear.problem import Problem, Rows

_FOLDS = 4
# Images whose out-of-fold scores the scale and the offsets are fitted on.
_MOST_IMAGES = 8_000
# How firmly the offset of a label with few images is held to that of the others.
_HOLD = 1e-3
# How firmly a scale and an offset are held to given ones: as by ten true pairs.
_FIRM = 5.0


@dataclass(frozen=True)
class Fitted:
    """A method that was fitted.

    Attributes:
        name: of the method.
        choice: its hyper-parameters.
        scorer: pooled tokens (n,C) and label vectors (L,E) → (n,L).
    """

    name: str
    choice: Choice
    scorer: Scorer


def fit_method(name: str, problem: Problem) -> Fitted:
    """Choose the hyper-parameters of a method of `METHODS` and fit it.

    Records of the split `val` have a part in the choice alone, here and in `fit_path`.
    """
    method = METHODS[name]
    choice = choose(method, problem)
    return Fitted(method.name, choice, method.fit(problem.without_validation(), **choice.settings))


def fit_path(problem: Problem, method: Method = PATH, choice: Choice | None = None) -> tuple[LinearPath, Choice]:
    """A path in single precision, for a head.

    Its logits are probabilities' as well as a scale and offsets can make them: these are fitted, by maximum likelihood,
    on scores of images that had no part in the fit (four folds, whole groups of images).

    Args:
        problem: images and seen labels.
        method: one whose scorer is a `LinearPath`.
        choice: its hyper-parameters; None has them chosen.
    """
    choice = choose(method, problem) if choice is None else choice
    problem = problem.without_validation()
    path = method.fit(problem, **choice.settings)
    assert isinstance(path, LinearPath)
    _calibrate(path, problem, method, choice)
    return path.float().eval(), choice


def _folds(problem: Problem) -> Iterator[tuple[Rows, Rows]]:
    """(rows to fit on, rows to score), which share no group; every image is scored once."""
    left, dataset = np.arange(len(problem.pooled)), problem.dataset
    everything = left
    for number in range(_FOLDS):
        rest, taken = split_validation(dataset, 1 / (_FOLDS - number), number) if number < _FOLDS - 1 else (left, None)
        scored = left if taken is None else left[taken]
        yield np.setdiff1d(everything, scored), scored
        if taken is not None:
            left, dataset = left[rest], dataset.take(rest)


def _calibrate(path: LinearPath, problem: Problem, method: Method, choice: Choice) -> None:
    """Set scale and offsets."""
    vectors = torch.from_numpy(problem.vectors).double()
    everything = np.arange(len(problem.vectors))
    chosen = np.sort(np.random.default_rng(0).permutation(len(problem.pooled))[:_MOST_IMAGES])
    scores = torch.full((len(chosen), len(vectors)), torch.nan, dtype=torch.float64)
    for rows, scored in _folds(problem):
        of_fold = np.isin(chosen, scored)
        if len(rows) and of_fold.any():
            part = method.fit(problem.part(rows, everything), **choice.settings)
            scores[of_fold] = part(torch.from_numpy(problem.pooled[chosen[of_fold]]).double(), vectors)
    known = torch.isfinite(scores)
    if problem.known is not None:
        known &= torch.from_numpy(problem.known[chosen])
    kin = path.kinship(path.units(vectors)) if path.standardised else None
    scale, offset, own = fit_logistic(scores.nan_to_num(), torch.from_numpy(problem.truth[chosen]), known, kin)
    path.scale.copy_(scale)
    path.offset.copy_(offset)
    if path.standardised:
        path.own_offsets.copy_(own)


def fit_logistic(
    scores: Tensor,
    truth: Tensor,
    known: Tensor,
    kin: Tensor | None = None,
    towards: tuple[float, float] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Logistic regression of the truth on scores, by maximum likelihood.

    Args:
        scores: (I,S), float64.
        truth: (I,S).
        known: (I,S), true where it counts.
        kin: (S,S), what the offset of a label is made of; None for one offset in common.
        towards: a scale and a common offset that are to be left only as far as the scores ask for it; so that scores
            which a threshold separates have a finite scale.

    Returns:
        a positive scale, the common offset, and (S,) the offsets of labels, none of one in common.
    """
    kin = torch.zeros(scores.shape[1], 0, dtype=torch.float64) if kin is None else kin
    certain = scores[known]
    spread = (certain - certain.mean()).square().mean().sqrt().nan_to_num() + 1e-12
    scores, targets = scores / spread, truth.double()
    # log(scale), common offset, offsets of the labels
    values = torch.zeros(2 + kin.shape[1], dtype=torch.float64)
    values[1:] = torch.logit(targets[known].mean().nan_to_num().clamp(1e-4, 1 - 1e-4))
    given = None
    if towards is not None:
        given = torch.tensor([math.log(towards[0]), towards[1]], dtype=torch.float64)
        given[0] += spread.log()
        values[:2] = given
    values.requires_grad_()
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        optimizer.zero_grad()
        offsets = values[1] + kin @ (values[2:] - values[1])
        each = F.binary_cross_entropy_with_logits(values[0].exp() * scores + offsets, targets, reduction="none")
        total = (each * known).sum() / len(scores) + _HOLD * (values[2:] - values[1]).square().sum()
        if given is not None:
            total = total + _FIRM / len(scores) * (values[:2] - given).square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(cost)  # type: ignore[no-untyped-call]
    fitted = values.detach()
    return fitted[0].exp() / spread, fitted[1], fitted[2:]
