"""Methods that score words never trained on, from pooled tokens and label vectors, fitted in seconds.

Each is a function of a training problem and its hyper-parameters, and gives a scorer: pooled tokens (n,C) and label
vectors (L,E), both as they are, → scores (n,L). Most are a `LinearPath`, and can be the head of a model.
Shapes: I images, C channels, L labels, E label-embedding width, S seen labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsmld.decoder.linear import LinearPath
from zsmld.linear.fast0tag import learnt_map
from zsmld.linear.problem import Problem

# What a label's own classifier is to tell needs less of a ridge than what is to carry over to other labels. The figures
# are flat about it, from a hundredth to one (docs/experiments.md).
_OWN_RIDGE = 0.1
Scorer = Callable[[Tensor, Tensor], Tensor]
Fit = Callable[..., Scorer]


@dataclass(frozen=True)
class Method:
    """A method, and the values of its hyper-parameters that are tried.

    Attributes:
        name: what a table calls it.
        fit: from a problem and one value of each hyper-parameter.
        grid: hyper-parameters.
        draft: fits what ranks the images of a label never trained on nearly as `fit` does, faster; None for `fit`.
    """

    name: str
    fit: Fit
    grid: Mapping[str, Sequence[Any]]
    draft: Fit | None = None

    def settings(self) -> list[dict[str, Any]]:
        """Every combination."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]


def eszsl(problem: Problem, *, image_ridge: float, label_ridge: float) -> LinearPath:
    """A bilinear score xᵀVs in closed form: V = (XᵀX + γI)⁻¹ Xᵀ Y S (SᵀS + λI)⁻¹.

    Romera-Paredes & Torr, "An embarrassingly simple approach to zero-shot learning", ICML 2015, equation 6; with Y
    standardised a label, so that frequent labels do not outweigh the others.
    """
    return _path(problem, bilinear=problem.bilinear(image_ridge, label_ridge), unit=False)


def conse(problem: Problem, *, image_ridge: float, sharpness: float, best: int) -> LinearPath:
    """The cosine of a label to a convex combination of the vectors of the seen labels that an image scores highest.

    Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014, equation 2; the
    classifier of the seen labels is ridge regression with a softmax.
    """
    weights = problem.solve(image_ridge)
    return _path(problem, classifier=weights, sharpness=sharpness, best=best)


def fast0tag(problem: Problem, *, weight_decay: float) -> LinearPath:
    """The linear form of Fast0Tag; see `zsmld.linear.fast0tag`."""
    return _path(problem, bilinear=learnt_map(problem, weight_decay), unit=False)


def two_directions(problem: Problem, *, image_ridge: float, sharpness: float, label_ridge: float) -> LinearPath:
    """The linear path of the default recipe: ConSE's direction and ESZSL's, each of length 1, added.

    Scores are standardised a label on the training images; seen labels add their own classifier (docs/linear_path.md).
    """
    path = _directions(
        problem, image_ridge=image_ridge, sharpness=sharpness, label_ridge=label_ridge, standardised=True
    )
    width = path.label_features + path.in_features
    total, squares = torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
    for _, features in problem.blocks():
        both = torch.cat([path.direction(features), features], dim=1)
        total += both.sum(dim=0)
        squares += both.T @ both
    path.moment_mean.copy_(total / len(problem.pooled))
    path.moment_covariance.copy_(squares / len(problem.pooled) - torch.outer(path.moment_mean, path.moment_mean))
    path.own.copy_(problem.classifiers(image_ridge * _OWN_RIDGE))
    path.own_offsets.zero_()
    return path


def _directions(
    problem: Problem, *, image_ridge: float, sharpness: float, label_ridge: float, standardised: bool = False
) -> LinearPath:
    return _path(
        problem, bilinear=problem.bilinear(image_ridge, label_ridge), classifier=problem.classifiers(image_ridge),
        sharpness=sharpness, standardised=standardised,
    )  # fmt: skip


def mixture(problem: Problem, *, image_ridge: float, sharpness: float, label_ridge: float) -> Scorer:
    """ConSE and ESZSL together, each standardised a label on the training images, with equal weights."""
    both = (
        conse(problem, image_ridge=image_ridge, sharpness=sharpness, best=len(problem.vectors)),
        eszsl(problem, image_ridge=image_ridge, label_ridge=label_ridge),
    )
    own = torch.from_numpy(problem.pooled).double()

    def score(pooled: Tensor, vectors: Tensor) -> Tensor:
        total = torch.zeros(len(pooled), len(vectors), dtype=torch.float64)
        for scorer in both:
            known = scorer(own, vectors)
            total += (scorer(pooled, vectors) - known.mean(dim=0)) / (known.std(dim=0, correction=0) + 1e-6)
        return total

    return score


def nearest_seen(problem: Problem, *, image_ridge: float) -> Scorer:
    """A word scores as the seen label with the nearest vector does, by ridge regression; a seen label as itself."""
    path = _path(problem, classifier=problem.solve(image_ridge))

    def score(pooled: Tensor, vectors: Tensor) -> Tensor:
        nearest = (path.units(vectors) @ path.seen.T).argmax(dim=1)
        return (path.features(pooled) @ path.classifier)[:, nearest]

    return score


def random_ranking(problem: Problem) -> Scorer:
    """Random scores: chance, with its spread."""
    del problem
    return lambda pooled, vectors: torch.from_numpy(np.random.default_rng(0).random((len(pooled), len(vectors))))


def _path(
    problem: Problem,
    *,
    bilinear: Tensor | None = None,
    classifier: Tensor | None = None,
    sharpness: float = 1.0,
    best: int | None = None,
    unit: bool = True,
    standardised: bool = False,
) -> LinearPath:
    """A path in double precision, with logits that are the scores themselves."""
    path = LinearPath(
        len(problem.mean), len(problem.centre), len(problem.vectors), bilinear=bilinear is not None,
        convex=classifier is not None, sharpness=sharpness, best=best, unit=unit, standardised=standardised,
    ).double()  # fmt: skip
    for name, value in (
        ("mean", problem.mean), ("deviation", problem.deviation), ("centre", problem.centre), ("seen", problem.units),
        ("bilinear", bilinear), ("classifier", classifier),
    ):  # fmt: skip
        if value is not None:
            getattr(path, name).copy_(value)
    path.scale.fill_(1)
    path.offset.fill_(0)
    return path


_RIDGES = (1e1, 1e2, 1e3, 1e4, 1e5)
METHODS = {
    "chance": Method("random ranking", random_ranking, {}),
    "nearest": Method("nearest seen label", nearest_seen, {"image_ridge": _RIDGES}),
    "conse": Method("ConSE", conse, {"image_ridge": _RIDGES, "sharpness": (1.0, 3.0, 10.0), "best": (10, 10**6)}),
    "eszsl": Method("ESZSL", eszsl, {"image_ridge": _RIDGES, "label_ridge": (1e-2, 1e-1, 1e0, 1e1)}),
    "mixture": Method(
        "ConSE + ESZSL", mixture, {"image_ridge": _RIDGES, "sharpness": (1.0, 3.0), "label_ridge": (1e0, 1e1)}
    ),
    "fast0tag": Method("Fast0Tag, linear", fast0tag, {"weight_decay": (1e-4, 1e-3, 1e-2, 1e-1)}),
}
PATH = Method(
    "two directions", two_directions,
    {"image_ridge": (1e2, 1e3, 3e3, 1e4, 3e4, 1e5), "sharpness": (0.25, 0.5, 1.0), "label_ridge": (3.0, 10.0, 30.0)},
    draft=_directions,
)  # fmt: skip
