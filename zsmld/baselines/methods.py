"""Simple methods that score words never trained on, from pooled tokens and label vectors.

Each is a function of a training problem and its hyper-parameters, and gives a scorer: features (I,C) and label vectors
(L,E), seen ones first, → scores (I,L). Shapes: I images, C channels, L labels, E label-embedding width, S seen labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special

from zsmld.baselines.fast0tag import fast0tag
from zsmld.baselines.pooled import Floats, Problem

Scorer = Callable[[Floats, Floats], Floats]
Fit = Callable[..., Scorer]


@dataclass(frozen=True)
class Method:
    """A method, and the values of its hyper-parameters that are tried.

    Attributes:
        name: what a table calls it.
        fit: from a problem and one value of each hyper-parameter.
        grid: hyper-parameters.
    """

    name: str
    fit: Fit
    grid: Mapping[str, Sequence[Any]]

    def settings(self) -> list[dict[str, Any]]:
        """Every combination."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]


def eszsl(problem: Problem, *, image_ridge: float, label_ridge: float) -> Scorer:
    """A bilinear score xᵀVs in closed form: V = (XᵀX + γI)⁻¹ Xᵀ Y S (SᵀS + λI)⁻¹.

    Romera-Paredes & Torr, "An embarrassingly simple approach to zero-shot learning", ICML 2015, equation 6; with Y
    standardised a label, so that frequent labels do not outweigh the others.
    """
    left = _ridge(problem.features, _standardised_truth(problem) @ problem.vectors, image_ridge)
    gram = problem.vectors.T @ problem.vectors + label_ridge * np.eye(problem.vectors.shape[1])
    bilinear = scipy.linalg.solve(gram, left.T, assume_a="pos").T  # (C,E)
    return lambda features, vectors: np.asarray(features @ bilinear @ vectors.T)


def conse(problem: Problem, *, image_ridge: float, sharpness: float, best: int) -> Scorer:
    """The cosine of a label to a convex combination of the vectors of the seen labels that an image scores highest.

    Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014, equation 2; the
    classifier of the seen labels is ridge regression with a softmax.
    """
    weights = _ridge(problem.features, _standardised_truth(problem), image_ridge)  # (C,S)
    own = problem.vectors

    def score(features: Floats, vectors: Floats) -> Floats:
        chosen = scipy.special.softmax(sharpness * (features @ weights), axis=1)
        if best < chosen.shape[1]:
            least = np.partition(chosen, -best, axis=1)[:, -best, None]
            chosen = np.where(chosen >= least, chosen, 0.0)
        combined = chosen @ own
        return np.asarray(combined / np.linalg.norm(combined, axis=1, keepdims=True).clip(1e-12) @ vectors.T)

    return score


def mixture(problem: Problem, *, image_ridge: float, sharpness: float, label_ridge: float) -> Scorer:
    """ConSE and ESZSL together, each standardised a label on the training images, with equal weights."""
    both = (
        conse(problem, image_ridge=image_ridge, sharpness=sharpness, best=len(problem.vectors)),
        eszsl(problem, image_ridge=image_ridge, label_ridge=label_ridge),
    )

    def score(features: Floats, vectors: Floats) -> Floats:
        total = np.zeros((len(features), len(vectors)))
        for scorer in both:
            known = scorer(problem.features, vectors)
            total += (scorer(features, vectors) - known.mean(axis=0)) / (known.std(axis=0) + 1e-6)
        return total

    return score


def nearest_seen(problem: Problem, *, image_ridge: float) -> Scorer:
    """A word scores as the seen label with the nearest vector does, by ridge regression; a seen label as itself."""
    weights = _ridge(problem.features, _standardised_truth(problem), image_ridge)
    own = problem.vectors
    return lambda features, vectors: np.asarray((features @ weights)[:, (vectors @ own.T).argmax(axis=1)])


def random_ranking(problem: Problem) -> Scorer:
    """Random scores: chance, with its spread."""
    del problem
    return lambda features, vectors: np.random.default_rng(0).random((len(features), len(vectors)))


def _ridge(features: Floats, targets: Floats, ridge: float) -> Floats:
    """(C,n) = (XᵀX + ridge I)⁻¹ Xᵀ targets."""
    gram = features.T @ features + ridge * np.eye(features.shape[1])
    return np.asarray(scipy.linalg.solve(gram, features.T @ targets, assume_a="pos"))


def _standardised_truth(problem: Problem) -> Floats:
    truth = problem.truth.astype(np.float64)
    return np.asarray((truth - truth.mean(axis=0)) / (truth.std(axis=0) + 1e-6))


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
