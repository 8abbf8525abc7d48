"""Probabilities, measured on held-out images: from tables of scores to curves and thresholds.

Labels that the scores' own training had stand for labels trained on, those that it had not for words never trained on:
so the correction for these is measured without an unseen label, and without a test image.

*Curves* are logistic regressions, held to what is known without them as firmly as ten true pairs would hold them: data
that a threshold separates would send them to infinity. *Thresholds* have the best F1 on the held-out images: a common
one over all pairs of labels of a kind, and one of each label that has enough of them. To the label's own pairs 40 true
ones of all labels are added, with as many false ones as come with them, so that a few images do not decide; and it has
at least half of the common odds: where no threshold is any good F1 is best when all images are given the label, which
is of no use to anybody (docs/probabilities.md).

Shapes: I images, S labels, n pairs of image and label, G thresholds that are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray

from zsmld.decoder.probabilities import Curve, Probabilities
from zsmld.evaluation import ScoreTable
from zsmld.linear import fit_logistic

# Images of a table that are looked at: more would move nothing that can be seen.
MOST_IMAGES = 5_000
# True pairs that a curve, and a threshold of its own, need.
FEWEST_POSITIVES = 10
# True pairs of all labels that are added to a label's own.
BORROWED = 40
# Thresholds that are tried, in log-odds.
GRID = np.arange(-80, 81) / 10
# Steps below the common threshold, where its odds are halved.
LOWEST = 7
Floats = NDArray[np.float64]


def some_of(images: int) -> NDArray[np.int64]:
    """Which of so many held-out images are looked at: all, or `MOST_IMAGES` of them, drawn."""
    if images <= MOST_IMAGES:
        return np.arange(images)
    return np.sort(np.random.default_rng(0).choice(images, MOST_IMAGES, replace=False))


def measured(seen_of: Sequence[ScoreTable], unseen_of: Sequence[ScoreTable], *, fitted: bool = False) -> Probabilities:
    """Curves and thresholds from the scores of held-out images.

    Args:
        seen_of: tables whose labels that were trained on count as such.
        unseen_of: tables whose labels that were not trained on stand for words never trained on.
        fitted: the logits of labels trained on have been made those of probabilities already, on held-out images.
    """
    seen, unseen = _pairs(seen_of, of_seen=True), _pairs(unseen_of, of_seen=False)
    if seen.truth.sum() < FEWEST_POSITIVES:
        return Probabilities()
    curve = seen.told(Curve() if fitted else seen.curve(Curve()))
    counts = seen.counts(curve)
    common = _best(counts.pooled().f1())
    curve = replace(curve, threshold=_probability(common))
    own = {
        name: _probability(at)
        for name, at, positives in zip(seen.names, own_thresholds(counts, common), counts.positives, strict=True)
        if positives >= FEWEST_POSITIVES
    }
    if unseen.truth.sum() < FEWEST_POSITIVES:
        return Probabilities(curve, replace(curve, labels=0, positives=0), own)
    other = unseen.told(unseen.curve(curve))
    threshold = _probability(_best(unseen.counts(other).pooled().f1()))
    return Probabilities(curve, replace(other, threshold=threshold), own)


@dataclass(frozen=True)
class Counts:
    """Pairs at or above each threshold of `GRID`.

    Attributes:
        true, false: (S,G).
        positives: (S,) true pairs at any score.
    """

    true: Floats
    false: Floats
    positives: Floats

    def pooled(self) -> Counts:
        """Those of all labels together, as of one."""
        return Counts(*(part.sum(axis=0, keepdims=True) for part in (self.true, self.false, self.positives)))

    def f1(self) -> Floats:
        """(S,G)."""
        positives = self.positives[:, None]
        return np.asarray(2 * self.true / np.maximum(self.true + self.false + positives, 1))


def own_thresholds(counts: Counts, common: int) -> list[int]:
    """Of each label, the place in `GRID` of its own threshold.

    Args:
        counts: of labels, of which at least one has a true pair.
        common: the place of the common threshold.
    """
    pooled = counts.pooled()
    share = BORROWED / pooled.positives
    mixed = Counts(
        counts.true + share * pooled.true, counts.false + share * pooled.false, counts.positives + BORROWED
    )  # fmt: skip
    f1 = mixed.f1()
    f1[:, : max(common - LOWEST, 0)] = -1
    return [_best(row, common) for row in f1]


def _best(f1: Floats, near: int | None = None) -> int:
    """The place of the highest value; of several the middle one, or the nearest to a place."""
    places = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return int(places[len(places) // 2 if near is None else np.abs(places - near).argmin()])


def _probability(place: int) -> float:
    return float(scipy.special.expit(GRID[place]))


@dataclass(frozen=True)
class _Pairs:
    """Pairs of held-out image and label, of one kind of labels, whose truth is known.

    Attributes:
        names: S labels.
        labels: (n,) place of the pair's label in `names`.
        logits, truth: (n,).
    """

    names: tuple[str, ...]
    labels: NDArray[np.int32]
    logits: Floats
    truth: NDArray[np.bool_]

    def told(self, curve: Curve) -> Curve:
        """A curve with what it was measured on."""
        there = np.unique(self.labels[self.truth])
        return replace(curve, labels=len(there), positives=int(self.truth.sum()))

    def curve(self, towards: Curve) -> Curve:
        """Scale and shift by logistic regression, held to those of a curve."""
        logits, truth = torch.from_numpy(self.logits).unsqueeze(1), torch.from_numpy(self.truth).unsqueeze(1)
        scale, shift, _ = fit_logistic(
            logits, truth, torch.ones_like(truth), towards=(towards.scale, towards.shift)
        )  # fmt: skip
        return Curve(float(scale), float(shift))

    def counts(self, curve: Curve) -> Counts:
        """Pairs at or above each threshold."""
        # A pair is counted at all thresholds before this place.
        passed = np.searchsorted(GRID, curve.scale * self.logits + curve.shift, side="right")
        size = len(self.names), len(GRID) + 1
        place = self.labels.astype(np.int64) * size[1] + passed
        true, false = (
            np.bincount(place[part], minlength=size[0] * size[1]).reshape(size)[:, ::-1].cumsum(axis=1)[:, ::-1]
            for part in (self.truth, ~self.truth)
        )
        return Counts(true[:, 1:].astype(np.float64), false[:, 1:].astype(np.float64), true[:, 0].astype(np.float64))


def _pairs(tables: Sequence[ScoreTable], *, of_seen: bool) -> _Pairs:
    """Those of all tables, of labels that each was trained on, or was not."""
    names = tuple(dict.fromkeys(label for table in tables for label in table.labels))
    places = {label: at for at, label in enumerate(names)}
    labels, logits, truth = [np.empty(0, np.int32)], [np.empty(0)], [np.empty(0, np.bool_)]
    for table in tables:
        both = np.ix_(some_of(len(table.scores)), np.flatnonzero(table.seen == of_seen))
        known = np.ones_like(table.truth[both]) if table.known is None else table.known[both]
        columns = np.array([places[label] for label in table.labels], dtype=np.int32)[both[1][0]]
        labels.append(np.broadcast_to(columns, known.shape)[known])
        logits.append(table.scores[both][known].astype(np.float64))
        truth.append(table.truth[both][known])
    return _Pairs(names, np.concatenate(labels), np.concatenate(logits), np.concatenate(truth))
