"""AP, precision, recall and F1 at K: arrays in, numbers out; ties broken by file order only where that is asked for.

Shapes: I images, L labels. Scores are compared as float32, the precision that models put out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zsmld.errors import UsageError
from zsmld.evaluation.ranks import images_above

# Scores go through in blocks: beside them there is little memory in use, whatever the number of images and labels.
_LABELS_AT_ONCE, _IMAGES_AT_ONCE, _NUMBERS_AT_ONCE = 64, 1024, 2**23
_MOST_WORKERS = 8
Floats = NDArray[np.floating]
Booleans = NDArray[np.bool_]
# How equal scores are ranked: together, or by their place in the file, as a sort does that knows no better.
Ties = Literal["grouped", "earlier first", "later first"]


def average_precision(
    scores: ArrayLike, targets: ArrayLike, known: ArrayLike | None = None, ties: Ties = "grouped"
) -> NDArray[np.float64]:
    """Average precision of each label over the images.

    AP = Σ_n (R_n - R_{n-1}) P_n over the distinct scores n, highest first: images of equal score enter together,
    as in scikit-learn, so the order of the files has no say.

    Args:
        scores: (I,L), higher is more likely.
        targets: (I,L), true where the image has the label.
        known: (I,L), true where it is known whether it has: the others are left out of that label's ranking. None
            where all are known.
        ties: how images of equal score are ranked. All but `grouped` is for figures that were published so.

    Returns:
        (L,) in [0,1]; NaN where a label has no positive.
    """
    scored, truth, sure = _checked(scores, targets, known)
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    at_once = min(max(_NUMBERS_AT_ONCE // (workers * max(len(scored), 1)), 1), _LABELS_AT_ONCE)
    blocks = [slice(start, start + at_once) for start in range(0, scored.shape[1], at_once)]

    def of_block(block: slice) -> list[float]:
        own, true = in_order(_as_rows(scored[:, block]), ties), _as_rows(truth[:, block])
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


def in_order(scores: NDArray[np.float32], ties: Ties) -> NDArray[np.float32]:
    """Scores (n,I), or where ties are to be broken their ranks, of which no two are equal."""
    if ties == "grouped":
        return scores
    forward = slice(None, None, 1 if ties == "later first" else -1)
    order = np.argsort(scores[:, forward], axis=1, kind="stable")
    ranks = np.empty_like(scores)
    np.put_along_axis(ranks[:, forward], order, np.arange(scores.shape[1], dtype=np.float32)[None], axis=1)
    return ranks


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


def top_k(
    scores: ArrayLike, targets: ArrayLike, k: int, known: ArrayLike | None = None, ties: Ties = "grouped"
) -> TopK:
    """Precision, recall and F1 of the top K labels of every image, true positives pooled over images (micro).

    Labels that tie at the K-th place share the places that are left, so that the order of the labels has no say.

    Args:
        scores: (I,L).
        targets: (I,L).
        k: K; where there are fewer labels than K, all of them.
        known: (I,L): the top K of an image are those of the labels that are known of it. None where all are.
        ties: how labels of equal score are ranked. All but `grouped` is for figures that were published so.
    """
    return hits_at(scores, targets, [k], known, ties)[k].pooled()


@dataclass(frozen=True)
class Hits:
    """What the K best labels of each image came to: (I,) each.

    Attributes:
        hits: true ones among them; of labels that tie at the K-th place, in part.
        predicted: how many there are; K but for images of which fewer labels are known.
        positives: true labels of the image.
        most: the hits of a perfect ranking.
    """

    hits: NDArray[np.float64]
    predicted: NDArray[np.float64]
    positives: NDArray[np.float64]
    most: NDArray[np.float64]

    def pooled(self) -> TopK:
        """The figures over all images."""
        hits, predicted, positives = (float(each.sum()) for each in (self.hits, self.predicted, self.positives))
        return TopK(
            precision=_ratio(hits, predicted),
            recall=_ratio(hits, positives),
            f1=_ratio(2 * hits, predicted + positives),
            f1_ceiling=_ratio(2 * float(self.most.sum()), predicted + positives),
        )


def hits_at(
    scores: ArrayLike,
    targets: ArrayLike,
    ks: Sequence[int],
    known: ArrayLike | None = None,
    ties: Ties = "grouped",
    columns: NDArray[np.intp] | None = None,
) -> dict[int, Hits]:
    """What `top_k` pools, an image, for each K; of some labels only where `columns` says which, in which order."""
    if min(ks) < 1:
        raise UsageError(f"K is {min(ks)}, expected at least 1")
    scored, truth, sure = _checked(scores, targets, known)
    some = slice(None) if columns is None else columns
    labels = scored.shape[1] if columns is None else len(columns)
    positives = np.zeros(len(scored))
    hits = {k: np.zeros(len(scored)) for k in ks}
    predicted = {k: np.full(len(scored), float(min(k, labels))) for k in ks}

    def count(start: int) -> None:
        block = slice(start, start + _IMAGES_AT_ONCE)
        own, true = scored[block][:, some], truth[block][:, some]
        there = None if sure is None else sure[block][:, some]
        positives[block] = true.sum(axis=1)
        if there is not None:
            # Unknown labels come last, and what is left of the K places for them is nobody's.
            own = np.where(there, own, np.float32(-np.inf))
        for k, member in _memberships(own, ks, ties):
            hits[k][block] = np.sum(true * (member if there is None else member * there), axis=1)
            if there is not None:
                predicted[k][block] = np.minimum(k, there.sum(axis=1))

    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_WORKERS)) as pool:
        list(pool.map(count, range(0, len(scored), _IMAGES_AT_ONCE)))
    return {k: Hits(hits[k], predicted[k], positives, np.minimum(positives, min(k, labels))) for k in ks}


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


def _memberships(
    scores: NDArray[np.float32], ks: Sequence[int], ties: Ties
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """For each K (I,L): 1 above the K-th best score of an image, 0 under it; ties at it share what is left, or are
    broken."""
    places = {k: scores.shape[1] - min(k, scores.shape[1]) for k in ks}
    parted = np.partition(scores, sorted(set(places.values())), axis=1)
    for k, place in places.items():
        threshold = parted[:, place : place + 1]  # (I,1)
        above, tied = scores > threshold, scores == threshold
        left = scores.shape[1] - place - above.sum(axis=1, keepdims=True)
        if ties == "grouped":
            yield k, above + tied * (left / tied.sum(axis=1, keepdims=True))
            continue
        forward = slice(None, None, 1 if ties == "earlier first" else -1)
        taken = np.zeros_like(tied)
        taken[:, forward] = tied[:, forward] & (np.cumsum(tied[:, forward], axis=1) <= left)
        yield k, (above | taken).astype(np.float64)


def in_top_k(scores: NDArray[np.float32], k: int) -> Booleans:
    """(I,L): whether a label is among the K best of an image, or ties with the last of them."""
    return next(member for _, member in _memberships(scores, [k], "grouped")) > 0


def harmonic_mean(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """2ab / (a + b), and 0 where both are 0: high only where seen and unseen labels are both good."""
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = one + other
    return np.asarray(np.divide(2 * one * other, both, out=np.zeros_like(both), where=both != 0))


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
