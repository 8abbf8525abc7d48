"""Seen against unseen: what lowering the scores of seen labels gives and takes; and how good probabilities are.

A model trained on seen labels alone scores them too high beside unseen ones. "Calibrated stacking" (Chao et al., "An
empirical study and analysis of generalized zero-shot learning", ECCV 2016) takes one offset off all seen scores and
draws what becomes of seen and unseen labels, as a curve. Average precision over images cannot show it: it ranks the
images of one label, and an offset moves them all alike. What an offset changes is the order of the labels within an
image, so the curve is in mean average precision *over images*: of the labels that an image has, ranked among all labels
(MiAP of Zhang et al., "Fast Zero-Shot Image Tagging", CVPR 2016), the seen and the unseen ones apart: true labels of
the other part are passed over, so that what lifts one part can only press the other down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld.decoder.probabilities import Probabilities
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.metrics import harmonic_mean

Floats = NDArray[np.float64]
_POINTS = 41
# More images do not move the curve where it could be seen.
MOST_IMAGES = 20_000
_IMAGES_AT_ONCE = 512
_BINS = 15


@dataclass(frozen=True)
class OffsetCurve:
    """What becomes of seen and unseen labels as the scores of the seen ones are lowered.

    Attributes:
        offsets: (n,) ascending; the first and the last are infinite: all seen labels first, all seen labels last.
        seen, unseen: (n,) mean average precision over images of the seen, and of the unseen labels that they have.
        images: how many images have seen ones, and unseen ones.
    """

    offsets: Floats
    seen: Floats
    unseen: Floats
    images: tuple[int, int]

    @property
    def harmonic(self) -> Floats:
        """(n,) harmonic mean of the two."""
        return harmonic_mean(self.seen, self.unseen)

    @property
    def area(self) -> float:
        """Area under unseen against seen, in [0,1]; 1 would be both perfect at once."""
        order = np.argsort(self.seen, kind="stable")
        seen, unseen = self.seen[order], self.unseen[order]
        # Under the first point the curve is flat: a worse seen figure is always to be had.
        return float(np.trapezoid(np.concatenate([unseen[:1], unseen]), np.concatenate([[0.0], seen])))

    def best(self) -> float:
        """The offset with the highest harmonic mean, of several the nearest to 0: for validation labels only."""
        finite = np.isfinite(self.offsets)
        offsets, harmonic = self.offsets[finite], self.harmonic[finite]
        highest = offsets[harmonic >= harmonic.max() - 1e-12]
        return float(highest[np.argmin(np.abs(highest))])

    def to_json(self) -> dict[str, Any]:
        """Points, area and counts; the infinite offsets as null."""
        points = zip(self.offsets, self.seen, self.unseen, strict=True)
        return {
            "points": [
                {"offset": float(offset) if np.isfinite(offset) else None, "seen": float(seen), "unseen": float(unseen)}
                for offset, seen, unseen in points
            ],
            "area": self.area,
            "images_with_seen": self.images[0],
            "images_with_unseen": self.images[1],
        }


def offset_curve(
    table: ScoreTable, offsets: Floats | None = None, *, also: Sequence[float] = (), seed: int = 0
) -> OffsetCurve | None:
    """The curve of a table; of at most 20,000 of its images, drawn at random.

    Args:
        table: scores and truth. Labels that are unknown of an image have no place in its ranking.
        offsets: where to measure, in units of the scores; besides, always without offset, and at both ends. By default
            where the best seen label of so many images falls behind their best unseen one.
        also: more of them.
        seed: of the choice of images.

    Returns:
        None where no image has a seen label, or none has an unseen one.
    """
    rows = np.arange(len(table.scores))
    if len(rows) > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_IMAGES, replace=False))
    if not table.seen.any() or table.seen.all() or not len(rows):
        return None
    points = _default_offsets(table, rows) if offsets is None else np.asarray(offsets, dtype=np.float64)
    points = np.unique(np.concatenate([[-np.inf], points, also, [0.0, np.inf]]))
    sums, images = np.zeros((2, len(points))), np.zeros(2, dtype=np.int64)
    for row in rows:
        for part, precision in enumerate(_of_image(table, int(row), points)):
            if precision is not None:
                sums[part] += precision
                images[part] += 1
    if not images.all():
        return None
    seen, unseen = sums / images[:, None]
    return OffsetCurve(points, seen, unseen, (int(images[0]), int(images[1])))


def _default_offsets(table: ScoreTable, rows: NDArray[np.intp]) -> Floats:
    lead = table.scores[rows][:, table.seen].max(axis=1) - table.scores[rows][:, ~table.seen].max(axis=1)
    lead = lead[np.isfinite(lead)].astype(np.float64)
    return np.quantile(lead, np.linspace(0, 1, _POINTS)) if len(lead) else np.zeros(0)


def _of_image(table: ScoreTable, row: int, offsets: Floats) -> tuple[Floats | None, Floats | None]:
    """(n,) average precision of the seen, and of the unseen labels of one image, at every offset."""
    scores, truth, seen = table.scores[row].astype(np.float64), table.truth[row], table.seen
    if table.known is not None:
        there = table.known[row]
        scores, truth, seen = scores[there], truth[there], seen[there]
    return (
        _of_part(scores[seen], truth[seen], scores[~seen], truth[~seen], offsets),
        _of_part(scores[~seen], truth[~seen], scores[seen], truth[seen], -offsets),
    )


def _of_part(
    own: Floats, own_truth: NDArray[np.bool_], others: Floats, others_truth: NDArray[np.bool_], lowered: Floats
) -> Floats | None:
    """(n,) mean precision at the true ones of one part, among those and all that are false, when its scores are lowered
    by each of (n,)."""
    positives = own[own_truth]
    if not len(positives):
        return None
    thresholds = positives[:, None] - lowered  # (p,n): what a label of the other part needs to be ranked as high
    above = _at_least(own, positives)[:, None] + _at_least(others[~others_truth], thresholds)
    return np.asarray((_at_least(positives, positives)[:, None] / above).mean(axis=0))


def _at_least(scores: Floats, thresholds: Floats) -> NDArray[np.intp]:
    ascending = np.sort(scores)
    return np.asarray(len(ascending) - np.searchsorted(ascending, thresholds, side="left"))


@dataclass(frozen=True)
class Reliability:
    """Probabilities against how often they were right, in bins of equal width.

    Attributes:
        predicted, true: (15,) mean probability of a bin, and the part of it that is true; NaN where it is empty.
        counts: (15,) pairs of image and label.
    """

    predicted: Floats
    true: Floats
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al., AAAI 2015): the mean distance of the two, over pairs."""
        gaps = np.nan_to_num(np.abs(self.predicted - self.true))
        return float((gaps * self.counts).sum() / max(int(self.counts.sum()), 1))

    def to_json(self) -> dict[str, Any]:
        """The error and the bins that hold something."""
        held = np.flatnonzero(self.counts)
        bins = [
            {"predicted": float(self.predicted[at]), "true": float(self.true[at]), "pairs": int(self.counts[at])}
            for at in held
        ]
        return {"expected_calibration_error": self.error, "bins": bins}


def are_probabilities(scores: NDArray[np.float32]) -> bool:
    """Whether all scores are between 0 and 1."""
    return bool(scores.size) and bool(scores.min() >= 0) and bool(scores.max() <= 1)


def reliability(table: ScoreTable, columns: NDArray[np.intp], shown: Probabilities | None = None) -> Reliability:
    """How good the probabilities of these labels are.

    Args:
        table: scores and truth.
        columns: which labels.
        shown: what makes probabilities of the scores; by default the logistic function, where they are none already.
    """
    counts, predicted, true = np.zeros(_BINS, dtype=np.int64), np.zeros(_BINS), np.zeros(_BINS)
    given = shown is None and are_probabilities(table.scores)
    shown = shown or Probabilities()
    for start in range(0, len(table.scores), _IMAGES_AT_ONCE):
        block = slice(start, start + _IMAGES_AT_ONCE)
        scores, truth = table.scores[block][:, columns], table.truth[block][:, columns]
        sure = slice(None) if table.known is None else table.known[block][:, columns]
        probabilities = (scores if given else shown.of(scores, table.seen[columns]))[sure].ravel()
        bins = np.minimum((probabilities * _BINS).astype(np.int64), _BINS - 1)
        counts += np.bincount(bins, minlength=_BINS)
        predicted += np.bincount(bins, weights=probabilities, minlength=_BINS)
        true += np.bincount(bins, weights=truth[sure].ravel(), minlength=_BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(predicted / counts, true / counts, counts)
