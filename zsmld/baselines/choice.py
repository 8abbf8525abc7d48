"""Hyper-parameters of the simple methods, chosen on seen labels that are held out in turn.

Each round holds out a fifth of the seen labels (pseudo-unseen) and a quarter of the training images, whole groups of
them; what ranks those labels best on those images, on the mean of the rounds, is taken. No test image and no unseen
label has a say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld.baselines.methods import METHODS, Method, Scorer
from zsmld.baselines.pooled import Floats, Problem, pooled_tokens, standardised, unit_vectors
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import TrainedModel
from zsmld.evaluation import average_precision
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.training import split_validation

ROUNDS = 4


@dataclass(frozen=True)
class Fitted:
    """A method that was fitted.

    Attributes:
        name: of the method.
        settings: its hyper-parameters.
        scores: (I,L) of the test images, seen labels first.
    """

    name: str
    settings: dict[str, Any]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """What every method takes.

    Attributes:
        problem: training images and seen labels.
        features: (I,C) of the test images.
        vectors: (L,E) of the labels to score, seen ones first.
    """

    problem: Problem
    features: Floats
    vectors: Floats


def prepare(trained: TrainedModel, table: LabelEmbeddings, training: Dataset, test: Dataset) -> Prepared:
    """Pool and standardise what the methods take.

    Args:
        trained: its backbone and its seen labels are used, not its decoder.
        table: vectors of the labels to score, seen ones first.
        training: records to fit on; those of the split `test` have no place in it.
        test: records to score.
    """
    seen = np.arange(len(table)) < len(trained.seen)
    vectors = unit_vectors(table.vectors, seen)
    features, of_test = standardised(pooled_tokens(trained, training), pooled_tokens(trained, test))
    return Prepared(Problem(features, training.targets(trained.seen), vectors[seen], training), of_test, vectors)


def fit_method(name: str, prepared: Prepared) -> Fitted:
    """Choose the hyper-parameters of a method of `METHODS`, fit it, and score the test images."""
    method = METHODS[name]
    settings = choose(method, prepared.problem)
    scores = method.fit(prepared.problem, **settings)(prepared.features, prepared.vectors)
    return Fitted(method.name, settings, scores.astype(np.float32))


def choose(method: Method, problem: Problem) -> dict[str, Any]:
    """The hyper-parameters with the best mean average precision on pseudo-unseen labels."""
    candidates = method.settings()
    if len(candidates) == 1 or len(problem.vectors) < 2:
        return candidates[0]
    totals = np.zeros(len(candidates))
    for number in range(ROUNDS):
        rows, held_out = split_validation(problem.dataset, 0.25, number)
        order = np.random.default_rng(number).permutation(len(problem.vectors))
        hidden, shown = np.split(order, [max(len(order) // 5, 1)])
        part = problem.part(rows, shown)
        truth = problem.truth[np.ix_(held_out, hidden)]
        for at, settings in enumerate(candidates):
            totals[at] += _mean(method.fit(part, **settings), problem, held_out, hidden, truth)
    return candidates[int(totals.argmax())]


def _mean(
    scorer: Scorer, problem: Problem, rows: NDArray[np.int64], labels: NDArray[np.int64], truth: NDArray[np.bool_]
) -> float:
    precisions = average_precision(scorer(problem.features[rows], problem.vectors[labels]), truth)
    return float(np.nanmean(precisions)) if np.isfinite(precisions).any() else 0.0
