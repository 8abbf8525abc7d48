"""AP, mAP, precision, recall and F1 at K: arrays in, numbers out; ties never broken by file order.

Shapes: I images, L labels. Scores are compared as float32, the precision that models put out.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zsmld.errors import UsageError
from zsmld.evaluation.ranks import images_above

# Scores go through in blocks: beside them there is little memory in use, whatever the number of images and labels.
_LABELS_AT_ONCE, _IMAGES_AT_ONCE, _NUMBERS_AT_ONCE = 64, 1024, 2**23
_MOST_WORKERS = 8
Floats = NDArray[np.floating]
Booleans = NDArray[np.bool_]


def average_precision(scores: ArrayLike, targets: ArrayLike, known: ArrayLike | None = None) -> NDArray[np.float64]:
    """Average precision of each label over the images.

    AP = Σ_n (R_n - R_{n-1}) P_n over the distinct scores n, highest first: images of equal score enter together,
    as in scikit-learn, so the order of the files has no say.

    Args:
        scores: (I,L), higher is more likely.
        targets: (I,L), true where the image has the label.
        known: (I,L), true where it is known whether it has: the others are left out of that label's ranking. None
            where all are known.

    Returns:
        (L,) in [0,1]; NaN where a label has no positive.
    """
    scored, truth, sure = _checked(scores, targets, known)
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    at_once = min(max(_NUMBERS_AT_ONCE // (workers * max(len(scored), 1)), 1), _LABELS_AT_ONCE)
    blocks = [slice(start, start + at_once) for start in range(0, scored.shape[1], at_once)]

    def of_block(block: slice) -> list[float]:
        own, true = _as_rows(scored[:, block]), _as_rows(truth[:, block])
        if sure is None:
            return [_one_average_precision(*label) for label in zip(own, true, strict=True)]
        ranked = _as_rows(sure[:, block])
        return [_one_average_precision(s[r], t[r]) for s, t, r in zip(own, true, ranked, strict=True)]

    # numpy lets other threads work while it copies, sorts and counts.
    with ThreadPoolExecutor(workers) as pool:
        return np.array([precision for block in pool.map(of_block, blocks) for precision in block], dtype=np.float64)


def _as_rows(columns: NDArray[Any]) -> NDArray[Any]:
    """(I,n) → (n,I) in memory: a column alone is read a number a cache line."""
    rows = np.empty(columns.shape[::-1], dtype=columns.dtype)
    for start in range(0, len(columns), _IMAGES_AT_ONCE):
        tile = slice(start, start + _IMAGES_AT_ONCE)
        rows[:, tile] = columns[tile].T
    return rows


def _one_average_precision(scores: NDArray[np.float32], truth: Booleans) -> float:
    positives = np.sort(scores[np.flatnonzero(truth)])
    if not len(positives):
        return float("nan")
    # For each positive: how many positives, and how many images, score at least as high as it does.
    positives_above = len(positives) - np.searchsorted(positives, positives, side="left")
    return float(np.mean(positives_above / images_above(scores, positives)))


@dataclass(frozen=True)
class TopK:
    """Micro-averaged figures of the K best labels of every image, in [0,1].

    `f1_ceiling` is what a perfect ranking would reach: images rarely have exactly K labels.
    """

    precision: float
    recall: float
    f1: float
    f1_ceiling: float


def top_k(scores: ArrayLike, targets: ArrayLike, k: int, known: ArrayLike | None = None) -> TopK:
    """Precision, recall and F1 of the top K labels of every image, true positives pooled over images (micro).

    Labels that tie at the K-th place share the places that are left, so the order of the labels has no say.

    Args:
        scores: (I,L).
        targets: (I,L).
        k: K; where there are fewer labels than K, all of them.
        known: (I,L): the top K of an image are those of the labels that are known of it. None where all are.
    """
    if k < 1:
        raise UsageError(f"K is {k}, expected at least 1")
    scored, truth, sure = _checked(scores, targets, known)
    k = min(k, scored.shape[1])
    hits, predicted = 0.0, float(k * len(scored))
    for start in range(0, len(scored), _IMAGES_AT_ONCE):
        block = slice(start, start + _IMAGES_AT_ONCE)
        if sure is None:
            member = _membership(scored[block], k)
        else:
            # Unknown labels come last, and what is left of the K places for them is nobody's.
            member = _membership(np.where(sure[block], scored[block], np.float32(-np.inf)), k) * sure[block]
        hits += float(np.sum(truth[block] * member))
    if sure is not None:
        predicted = float(np.minimum(k, sure.sum(axis=1)).sum())
    positives = truth.sum(axis=1)
    return TopK(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, positives.sum()),
        f1=_ratio(2 * hits, predicted + positives.sum()),
        f1_ceiling=_ratio(2 * np.minimum(positives, k).sum(), predicted + positives.sum()),
    )


def accuracy(scores: ArrayLike, targets: ArrayLike, k: int) -> float:
    """Part of the images whose class is among the K best, in [0,1]; ties at the K-th place count in part.

    Args:
        scores: (I,L).
        targets: (I,L); an image without any of the classes counts as wrong.
        k: K.

    Raises:
        UsageError: an image has more than one class.
    """
    truth = np.asarray(targets)
    counts = truth.sum(axis=1)
    if (counts > 1).any():
        raise UsageError(f"{int((counts > 1).sum())} images have more than one class, accuracy needs one")
    # Of images with one class, recall is accuracy.
    return top_k(scores, targets, k).recall * _ratio(counts.sum(), len(truth))


def _membership(scores: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """(I,L): 1 above the K-th best score of an image, 0 under it; ties at it share what is left."""
    threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # (I,1)
    above, tied = scores > threshold, scores == threshold
    left = k - above.sum(axis=1, keepdims=True)
    share: NDArray[np.float64] = above + tied * (left / tied.sum(axis=1, keepdims=True))
    return share


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b), and 0 where both are 0: high only where seen and unseen labels are both good."""
    return _ratio(2 * a * b, a + b)


def chance(targets: ArrayLike, known: ArrayLike | None = None) -> NDArray[np.float64]:
    """Expected average precision of a random ranking, a label: (I,L) → (L,); of the `known` images, where given.

    Exact for a uniformly random order without ties: with P positives among I images, the expectation of P_n at a
    positive of rank n is 1/n + (n-1)/n · (P-1)/(I-1), averaged over n. Slightly above the prevalence P/I.
    """
    truth = np.asarray(targets, dtype=bool)
    positives = truth.sum(axis=0).astype(np.float64)
    ranked = np.full(truth.shape[1], len(truth)) if known is None else np.asarray(known, dtype=bool).sum(axis=0)
    images = np.maximum(ranked, 1)
    harmonic = np.cumsum(1.0 / np.arange(1, len(truth) + 1))[images - 1] / images  # mean of 1/n
    expected = harmonic + (1 - harmonic) * (positives - 1) / np.maximum(images - 1, 1)
    return np.where(positives > 0, expected, np.nan)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else 0.0


def _checked(
    scores: ArrayLike, targets: ArrayLike, known: ArrayLike | None
) -> tuple[NDArray[np.float32], Booleans, Booleans | None]:
    """All as (I,L) arrays of one shape; NaN scores, which no ranking can place, are refused."""
    scored, truth = np.asarray(scores, dtype=np.float32), np.asarray(targets)
    if scored.ndim != 2 or scored.shape != truth.shape:
        raise UsageError(f"scores of shape {scored.shape} and targets of shape {truth.shape}, expected both (I, L)")
    # The maximum of anything with NaN is NaN, and takes no memory.
    if scored.size and np.isnan(scored.max()):
        raise UsageError(f"{int(np.isnan(scored).sum())} scores are NaN, expected numbers")
    if truth.dtype != np.bool_ and not np.isin(truth, (0, 1)).all():
        raise UsageError("targets hold values other than 0 and 1")
    if known is None:
        return scored, truth.astype(np.bool_, copy=False), None
    sure = np.asarray(known, dtype=np.bool_)
    if sure.shape != scored.shape:
        raise UsageError(f"known of shape {sure.shape}, expected that of the scores, {scored.shape}")
    truth = truth.astype(np.bool_, copy=False)
    if (truth & ~sure).any():
        raise UsageError("a label is true of an image of which it is unknown")
    return scored, truth, sure
