"""Which of a photograph's labels are given: the best K, those that reach a threshold, or both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsmld.errors import UsageError

BEST = 5
AUTO = "auto"


@dataclass(frozen=True)
class Selection:
    """How labels are chosen.

    Attributes:
        top_k: at most so many labels of a photograph, 0 for any number.
        by_threshold: only those whose score reaches their threshold.
        threshold: one for all labels; None for that of each label, which the model has learnt.
    """

    top_k: int = BEST
    by_threshold: bool = False
    threshold: float | None = None

    @classmethod
    def of(cls, top_k: int | None, threshold: float | str | None) -> Selection:
        """What was asked for: with neither the best 5, with a threshold alone all that reach it.

        Args:
            top_k: a number of labels, 0 for all; None where it was not given.
            threshold: a probability, `auto` for that of each label, None for none.

        Raises:
            UsageError: a threshold that is neither.
        """
        if threshold is None:
            return cls(BEST if top_k is None else top_k)
        return cls(top_k or 0, by_threshold=True, threshold=_probability(threshold))

    def ranked(self, scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
        """Which of one photograph's labels are given, best first; equal scores stay in the order they were given.

        Args:
            scores: (L,) probabilities.
            thresholds: (L,) of each label.
        """
        kept = np.flatnonzero(scores >= thresholds) if self.by_threshold else np.arange(len(scores))
        return kept[best_of(scores[kept], self.top_k)]


def best_of(scores: NDArray[np.float64], top_k: int) -> NDArray[np.intp]:
    """Places of the `top_k` best of (L,) scores, 0 for all, as a stable sort of all of them has them in front."""
    if 0 < top_k < len(scores):
        # Sorting 21,000 scores takes as long as all else that is done to a photograph but the tower.
        least = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
        kept = np.flatnonzero(scores >= least)
        return np.asarray(kept[np.argsort(-scores[kept], kind="stable")[:top_k]])
    return np.argsort(-scores, kind="stable")


def _probability(threshold: float | str) -> float | None:
    if threshold == AUTO:
        return None
    try:
        value = float(threshold)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"--threshold: {threshold!r} is neither a number from 0 to 1 nor {AUTO}")
    return value
