"""Hyper-parameters chosen on seen labels that are held out in turn.

Each round holds out a fifth of the seen labels (pseudo-unseen) and a quarter of the training images, whole groups of
them; what ranks those labels best on those images, on the mean of the rounds, is taken. No test image and no unseen
label has a say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zsmld.datasets.holding_out import split_validation
from zsmld.datasets.records import Dataset
from zsmld.evaluation import average_precision
from zsmld.linear.methods import Method, Scorer
from zsmld.linear.problem import Problem, Rows

ROUNDS = 8
_FEWEST_ROUNDS = 4
# Choosing takes no more images than this: what it tells apart shows on far fewer.
_MOST_IMAGES = 8_000


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        rows: images to fit on.
        held_out: images to measure on; none of a group that is among the others.
        shown: labels to fit on.
        hidden: the pseudo-unseen ones.
    """

    rows: Rows
    held_out: Rows
    shown: Rows
    hidden: Rows


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        settings: hyper-parameters.
        figures: mean average precision on pseudo-unseen labels, of each round; empty where nothing was measured.
    """

    settings: dict[str, Any]
    figures: tuple[float, ...] = ()

    @property
    def figure(self) -> float | None:
        """Their mean."""
        return float(np.mean(self.figures)) if self.figures else None

    def beats(self, other: Choice) -> bool:
        """Whether it is better in the same rounds, by more than twice the standard error of the difference."""
        if len(self.figures) < _FEWEST_ROUNDS or len(other.figures) != len(self.figures):
            return False
        by = np.array(self.figures) - np.array(other.figures)
        return bool(by.mean() > 2 * by.std(ddof=1) / np.sqrt(len(by)))


def rounds(dataset: Dataset, labels: int, count: int) -> list[Round]:
    """Rounds; the number of one is all that is drawn from.

    Where records of the split `val` are among the images, these are what is held out, every time.

    Args:
        dataset: I images.
        labels: S.
        count: how many rounds.
    """
    found = []
    for number in range(count):
        rows, held_out = split_validation(dataset, 0.25, number)
        hidden, shown = np.split(np.random.default_rng(number).permutation(labels), [max(labels // 5, 1)])
        found.append(Round(rows, held_out, np.sort(shown), np.sort(hidden)))
    return found


def choose(method: Method, problem: Problem, given: Sequence[Round] = ()) -> Choice:
    """The hyper-parameters with the best mean average precision on pseudo-unseen labels.

    Args:
        method: whose.
        problem: images and seen labels.
        given: rounds to measure in, instead of `ROUNDS` of them.
    """
    candidates = method.settings()
    # In the middle of the grid, where nothing can be measured.
    unmeasured = Choice(candidates[len(candidates) // 2])
    if len(problem.vectors) < 2:
        return unmeasured
    if not given:
        problem = _some(problem)
        given = rounds(problem.dataset, len(problem.vectors), ROUNDS)
    figures = np.empty((len(given), len(candidates)))
    for number, each in enumerate(given):
        part = problem.part(each.rows, each.shown)
        fit = method.draft or method.fit
        figures[number] = [_figure(fit(part, **settings), problem, each) for settings in candidates]
    measured = figures[np.isfinite(figures).all(axis=1)]
    if not len(measured):
        return unmeasured
    best = int(measured.mean(axis=0).argmax())
    return Choice(candidates[best], tuple(measured[:, best].tolist()))


def _figure(scorer: Scorer, problem: Problem, each: Round) -> float:
    """NaN where no pseudo-unseen label has a held-out image."""
    both = np.ix_(each.held_out, each.hidden)
    pooled = torch.from_numpy(problem.pooled[each.held_out]).double()
    scores = scorer(pooled, torch.from_numpy(problem.vectors[each.hidden]).double())
    known = None if problem.known is None else problem.known[both]
    precisions = average_precision(scores.numpy(), problem.truth[both], known)
    return float(np.nanmean(precisions)) if np.isfinite(precisions).any() else float("nan")


def _some(problem: Problem) -> Problem:
    """The problem, or a part of its images where there are very many."""
    if len(problem.pooled) <= _MOST_IMAGES:
        return problem
    rows = np.sort(np.random.default_rng(0).choice(len(problem.pooled), _MOST_IMAGES, replace=False))
    return problem.part(rows, np.arange(len(problem.vectors)))
