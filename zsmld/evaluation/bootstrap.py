"""Bootstrap over images: how far a figure could move, had other images of the same kind been taken for testing.

A resample draws as many images as there are, with replacement (Efron & Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13: percentile intervals), and gives every image a weight: how often it was drawn. All labels
see the same resamples, so that what is common to them moves the mean over labels as it should; and so do all models
that are scored on the same images, which makes differences between them paired.

Average precision of weighted images needs, at each positive, the weight of the images that score at least as high.
Between two positives only the sum of weights matters: one sparse product a label adds them up for all resamples.

In one thing the plain bootstrap is not followed. An image that was drawn three times would rank beside two copies of
itself: a positive would have two more positives at its own rank than any other sample of images would give it, and the
average precision of resamples would lie above that of the sample, for rare labels by more than its spread. Here an
image counts as often as it was drawn for others, and once for itself (`scripts/experiment_intervals.py` has what
intervals cover with and without that).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from zsmld.evaluation.metrics import Ties, in_order

Scores = NDArray[np.float32]
Truth = NDArray[np.bool_]
Weights = NDArray[np.uint16]
Floats = NDArray[np.float64]

RESAMPLES = 1000
_BLOCK = 512  # resamples that one sparse product is for
_MOST_WEIGHTS = 2**27  # of a pass, two bytes each
# Sums of so many weights stay under 2^16: their mean is this, their deviation its root.
_MOST_SUMMED = 2**15
_ROWS, _POSITIVES = 8192, 1024
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Resampled:
    """R resamples.

    Attributes:
        precisions: (R,L) average precision of each label; NaN where a resample has no positive of it.
        totals: (R,m) sums over images, each as often as it was drawn, of numbers an image.
    """

    precisions: NDArray[np.float32]
    totals: Floats


def resample(
    scores: Scores,
    truth: Truth,
    known: Truth | None = None,
    *,
    per_image: Floats,
    ties: Ties = "grouped",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """Average precision of every label, and sums over images, of every resample.

    Args:
        scores: (I,L).
        truth: (I,L).
        known: (I,L), where the truth is known; None where all of it is.
        per_image: (I,m) numbers to add up.
        ties: how images of equal score are ranked.
        resamples: R.
        seed: of the draws. They depend on it, R and I alone.
    """
    precisions = np.full((resamples, scores.shape[1]), np.nan, dtype=np.float32)
    totals = np.empty((resamples, per_image.shape[1]))
    at_once = max(_MOST_WEIGHTS // max(len(scores), 1) // _BLOCK, 1) * _BLOCK
    # scipy and numpy let other threads work while they add up.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_WORKERS)) as pool:
        for start in range(0, resamples, at_once):
            starts = range(start, min(start + at_once, resamples), _BLOCK)
            weights = dict(zip(starts, pool.map(partial(draw, len(scores), resamples, seed), starts), strict=True))
            for first, drawn in weights.items():
                totals[first : first + _BLOCK] = _totals(drawn, per_image)

            def of_label(label: int, weights: dict[int, Weights] = weights) -> None:
                sure = np.arange(len(scores)) if known is None else np.flatnonzero(known[:, label])
                ranked = _Ranked.of(in_order(scores[sure, label][None], ties)[0], truth[sure, label], sure)
                if ranked is None:
                    return
                for first, drawn in weights.items():
                    precisions[first : first + _BLOCK, label] = ranked.precisions(drawn)

            list(pool.map(of_label, range(scores.shape[1])))
    return Resampled(precisions, totals)


def draw(images: int, resamples: int, seed: int, first: int) -> Weights:
    """(I,n): how often each image was drawn, in the resamples from the one numbered `first` on, at most 512."""
    generator = np.random.default_rng([seed, first])
    weights = np.empty((min(_BLOCK, resamples - first), images), dtype=np.uint16)
    for resampled in weights:
        resampled[:] = np.bincount(generator.integers(images, size=images), minlength=images)
    return np.ascontiguousarray(weights.T)


def _totals(weights: Weights, per_image: Floats) -> Floats:
    totals = np.zeros((weights.shape[1], per_image.shape[1]))
    for start in range(0, len(weights), _ROWS):
        block = slice(start, start + _ROWS)
        totals += weights[block].T.astype(np.float64) @ per_image[block]
    return totals


@dataclass(frozen=True)
class _Ranked:
    """The images of one label, by the levels of score that positives have: lowest first.

    Attributes:
        above: the images that reach each level but not the next.
        hits: the positives among them.
        positives: (P,) rows of the positives.
        level: (P,) of these.
    """

    above: _Groups
    hits: _Groups
    positives: NDArray[np.intp]
    level: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Scores, truth: Truth, rows: NDArray[np.intp]) -> _Ranked | None:
        """From scores and truth of the images `rows`; None without a positive."""
        positives = np.flatnonzero(truth)
        levels = np.unique(scores[positives])
        if not len(levels):
            return None
        # Images under the lowest level have no say.
        reached = np.searchsorted(levels, scores, side="right") - 1
        there = np.flatnonzero(reached >= 0)
        return cls(
            _Groups.of(rows[there], reached[there], len(levels)),
            _Groups.of(rows[positives], reached[positives], len(levels)),
            rows[positives],
            reached[positives],
        )

    def precisions(self, weights: Weights) -> Scores:
        """(n,) of n resamples."""
        above, hits = self.above.from_the_top(weights), self.hits.from_the_top(weights)
        total, drawn = np.zeros((2, weights.shape[1]), dtype=np.float32)
        for start in range(0, len(self.positives), _POSITIVES):
            some = slice(start, start + _POSITIVES)
            times = weights[self.positives[some]].astype(np.float32)
            copies, level = times - 1, self.level[some]
            # Of an image that was not drawn the ratio has no meaning, and no weight.
            ratio = (hits[level] - copies) / np.maximum(above[level] - copies, 1)
            total += (times * ratio).sum(axis=0)
            drawn += times.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / drawn, dtype=np.float32)


@dataclass(frozen=True)
class _Groups:
    """Images in groups, ready to have their weights added up a group."""

    pieces: Any  # (p,I) sparse, ones; scipy has no types
    first: NDArray[np.intp]

    @classmethod
    def of(cls, rows: NDArray[np.intp], group: NDArray[np.intp], groups: int) -> _Groups:
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(groups))
        # A group of very many images is added up in pieces.
        cuts = np.unique(np.concatenate([starts, np.arange(0, len(order), _MOST_SUMMED), [len(order)]]))
        parts = (np.ones(len(order), dtype=np.uint16), rows[order].astype(np.int32), cuts.astype(np.int32))
        shape = (len(cuts) - 1, int(rows.max()) + 1)
        return cls(scipy.sparse.csr_matrix(parts, shape=shape), np.searchsorted(cuts, starts))

    def from_the_top(self, weights: Weights) -> Scores:
        """(groups,n): the weight of the images of a group and of all after it."""
        summed: Scores = (self.pieces @ weights[: self.pieces.shape[1]]).astype(np.float32)
        # numpy's cumsum over rows takes ten times as long.
        for row in range(len(summed) - 2, -1, -1):
            summed[row] += summed[row + 1]
        return summed[self.first]


def interval(values: NDArray[np.floating], level: float = 0.95) -> tuple[float, float] | None:
    """The percentile interval of a figure over its resamples; None where no resample has one."""
    there = values[np.isfinite(values)]
    if not len(there):
        return None
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
