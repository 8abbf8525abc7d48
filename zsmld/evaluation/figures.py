"""Scores and truth → the figures of every set of labels under a protocol, with bootstrap intervals.

Shapes: I images, L labels; columns are seen labels first, then unseen ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.special
from numpy.typing import NDArray

from zsmld.evaluation.bootstrap import Resampled, interval, resample
from zsmld.evaluation.metrics import Hits, average_precision, chance, harmonic_mean, hits_at
from zsmld.evaluation.protocols import Protocol

Scores = NDArray[np.float32]
Truth = NDArray[np.bool_]
Columns = NDArray[np.intp]
Precisions = NDArray[np.float64]
Figures = dict[str, float | int | None]
_Kind = TypeVar("_Kind", bound=np.generic)
Intervals = dict[str, tuple[float, float] | None]


@dataclass(frozen=True)
class ScoreTable:
    """What is evaluated.

    Attributes:
        labels: L, seen ones first.
        seen: (L,), true for labels that were trained on.
        scores: (I,L), higher is more likely.
        truth: (I,L).
        known: (I,L), where the truth is known; None where all of it is.
    """

    labels: tuple[str, ...]
    seen: NDArray[np.bool_]
    scores: Scores
    truth: Truth
    known: Truth | None = None

    def parts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The seen labels, and the unseen ones."""
        names = np.array(self.labels, dtype=object)
        return tuple(names[self.seen]), tuple(names[~self.seen])

    def sets(self, *, gzsl: bool) -> dict[str, Columns]:
        """Columns of unseen labels among themselves, with `gzsl` of all of them, and of seen ones among themselves."""
        both = {"gzsl": np.arange(len(self.labels))} if gzsl else {}
        return {"zsl": np.flatnonzero(~self.seen), **both, "seen": np.flatnonzero(self.seen)}


def as_lists(intervals: Intervals) -> dict[str, list[float] | None]:
    """Intervals as JSON values."""
    return {key: None if ends is None else list(ends) for key, ends in intervals.items()}


@dataclass(frozen=True)
class SetResult:
    """Figures of one set of labels.

    Attributes:
        columns: (n,) which labels of the table.
        precisions: (n,) average precision of each, NaN where it has no positive image.
        counted: (n,) which of them have a part in the mean.
        figures: headline figures, fractions in [0,1]: `map` (None where no label counts), `weighted_map` (each label
            as often as it has positives), `chance_map` (a random ranking), `labels`, `labels_left_out`, `images`,
            `images_left_out`, for each K `precision@K`, `recall@K`, `f1@K`, `f1_ceiling@K` (a perfect ranking); of
            seen and unseen labels together `seen_map`, `unseen_map`, `harmonic_map`; with partial truth `known`, the
            part of it that is. Figures at K are over all labels of the set: one without a positive can still be
            predicted wrongly.
        intervals: of those figures that have one, from the 2.5th to the 97.5th percentile.
        resampled: those figures, (R,) each, in every resample.
    """

    columns: Columns
    precisions: Precisions
    counted: NDArray[np.bool_]
    figures: Figures
    intervals: Intervals
    resampled: dict[str, NDArray[np.float64]]


def evaluate_sets(
    table: ScoreTable, protocol: Protocol, sets: Mapping[str, Columns], *, resamples: int = 0, seed: int = 0
) -> dict[str, SetResult]:
    """The figures of each of the `sets` of columns.

    Args:
        table: scores and truth.
        protocol: the rules.
        sets: columns by name; in a set that has seen and unseen labels, figures of the two parts are given too.
        resamples: of the bootstrap over images; 0 gives no intervals.
        seed: of these.
    """
    together = [list(sets)] if not protocol.per_set else [[name] for name in sets]
    results: dict[str, SetResult] = {}
    for names in together:
        taken = _take(table, np.unique(np.concatenate([sets[name] for name in names])), protocol)
        results |= _evaluate(taken, {name: sets[name] for name in names}, protocol, resamples, seed)
    return results


@dataclass(frozen=True)
class _Taken:
    """Images and labels that figures are made of, with what the protocol makes of the scores."""

    columns: Columns
    seen: NDArray[np.bool_]
    scores: Scores
    truth: Truth
    known: Truth | None
    images_left_out: int

    @cached_property
    def positives(self) -> NDArray[np.int64]:
        """(n,) true images of each label."""
        return np.asarray(self.truth.sum(axis=0))

    def places(self, columns: Columns, protocol: Protocol) -> Columns:
        """Where these columns of the table are, in the protocol's order."""
        places = np.searchsorted(self.columns, columns)
        late = ~self.seen[places] if protocol.order == "seen first" else self.seen[places]
        return places[np.argsort(late, kind="stable")]


def _take(table: ScoreTable, columns: Columns, protocol: Protocol) -> _Taken:
    scores, truth = _columns(table.scores, columns), _columns(table.truth, columns)
    known = None if table.known is None else _columns(table.known, columns)
    left_out = 0
    if protocol.images == "with a positive":
        kept = truth.any(axis=1)
        left_out = int((~kept).sum())
        scores, truth, known = scores[kept], truth[kept], None if known is None else known[kept]
    if protocol.normalisation != "none":
        scores = _NORMALISED[protocol.normalisation](scores)
    return _Taken(columns, table.seen[columns], scores, truth, known, left_out)


def _columns(table: NDArray[_Kind], columns: Columns) -> NDArray[_Kind]:
    """These columns; a view where they lie side by side: a copy of a large table may not fit."""
    if len(columns) and columns[-1] - columns[0] == len(columns) - 1:
        return table[:, columns[0] : columns[-1] + 1]
    return table[:, columns]


def _unit_length(scores: Scores) -> Scores:
    lengths = np.sqrt(np.einsum("ij,ij->i", scores, scores, dtype=np.float64))[:, None]
    # In double precision, and rounded once: what is equal stays equal.
    divided: Scores = np.divide(
        scores, np.where(lengths > 0, lengths, 1), out=np.empty_like(scores), dtype=np.float64, casting="same_kind"
    )
    return divided


def _log_softmax(scores: Scores) -> Scores:
    # The logarithm ranks the same, and tells small probabilities apart.
    return np.asarray(scipy.special.log_softmax(scores, axis=1), dtype=np.float32)


_NORMALISED = {"unit length": _unit_length, "softmax": _log_softmax}


def _evaluate(
    taken: _Taken, sets: Mapping[str, Columns], protocol: Protocol, resamples: int, seed: int
) -> dict[str, SetResult]:
    precisions = average_precision(taken.scores, taken.truth, taken.known, protocol.image_ties)
    counted = _counted(taken, protocol)
    random = chance(taken.truth, taken.known)
    ranked = taken.known if protocol.unknown == "left out" else None
    hits: dict[tuple[str, int], Hits] = {
        (name, k): found
        for name, columns in sets.items()
        for k, found in hits_at(
            taken.scores, taken.truth, protocol.ks, ranked, protocol.label_ties, taken.places(columns, protocol)
        ).items()
    }  # fmt: skip
    resampled = _resampled(taken, protocol, list(hits.values()), resamples, seed)
    results = {}
    for name, columns in sets.items():
        places = np.searchsorted(taken.columns, columns)
        mean = _Mean(counted[places], taken.seen[places], protocol.empty_labels == "zero")
        at_k = {k: hits[name, k] for k in protocol.ks}
        figures = _figures(taken, places, mean, precisions[places], random[places], at_k)
        spread: dict[str, NDArray[np.float64]] = {}
        if resampled is not None:
            at = [list(hits).index((name, k)) for k in protocol.ks]
            spread = _spread(resampled, mean, places, dict(zip(protocol.ks, at, strict=True)))
        results[name] = SetResult(
            columns=columns, precisions=precisions[places], counted=mean.counted, figures=figures,
            intervals={key: interval(values) for key, values in spread.items()}, resampled=spread,
        )  # fmt: skip
    return results


def _counted(taken: _Taken, protocol: Protocol) -> NDArray[np.bool_]:
    """(n,): which labels have a part in the mean."""
    positives = taken.positives
    enough: NDArray[np.bool_] = positives >= protocol.min_positives
    if protocol.empty_labels == "left out":
        return enough
    ever_known = np.ones(len(positives), dtype=np.bool_) if taken.known is None else taken.known.any(axis=0)
    return np.asarray(enough | ((positives == 0) & ever_known))


@dataclass(frozen=True)
class _Mean:
    """Means over labels."""

    counted: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    zeros: bool  # labels without a positive count as 0

    def over(self, values: NDArray[np.floating], which: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """(...,n) → (...): NaN where nothing counts."""
        chosen = values[..., self.counted if which is None else self.counted & which].astype(np.float64)
        there = np.ones(chosen.shape, dtype=np.bool_) if self.zeros else ~np.isnan(chosen)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(there, np.nan_to_num(chosen), 0).sum(axis=-1) / there.sum(axis=-1))

    def of_all(self, values: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """The mean of the set, and where it has seen and unseen labels those of the parts."""
        means = {"map": self.over(values)}
        if self.seen.any() and not self.seen.all():
            means |= {"seen_map": self.over(values, self.seen), "unseen_map": self.over(values, ~self.seen)}
            means["harmonic_map"] = harmonic_mean(means["seen_map"], means["unseen_map"])
        return means


def _figures(
    taken: _Taken, places: Columns, mean: _Mean, precisions: Precisions, random: Precisions, hits: Mapping[int, Hits]
) -> Figures:
    positives = taken.positives[places] * mean.counted
    weighted = float(np.nansum(positives * precisions) / positives.sum()) if positives.any() else None
    values: Figures = {key: _number(value) for key, value in mean.of_all(precisions).items()}
    values |= {
        "weighted_map": weighted,
        "chance_map": _number(mean.over(random)),
        "labels": int(mean.counted.sum()),
        "labels_left_out": int((~mean.counted).sum()),
        "images": len(taken.truth),
        "images_left_out": taken.images_left_out,
    }
    if taken.known is not None:
        values["known"] = float(taken.known[:, places].mean())
    for k, each in hits.items():
        values |= {f"{key}@{k}": value for key, value in vars(each.pooled()).items()}
    return values


def _number(value: NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)


def _resampled(taken: _Taken, protocol: Protocol, hits: Iterable[Hits], resamples: int, seed: int) -> Resampled | None:
    if not resamples or not len(taken.scores):
        return None
    per_image = [column for each in hits for column in (each.hits, each.predicted, each.positives)]
    return resample(
        taken.scores, taken.truth, taken.known,
        per_image=np.stack(per_image, axis=1), ties=protocol.image_ties, resamples=resamples, seed=seed,
    )  # fmt: skip


def _spread(
    resampled: Resampled, mean: _Mean, places: Columns, hits_of: Mapping[int, int]
) -> dict[str, NDArray[np.float64]]:
    """(R,) of every figure that has an interval."""
    spread = mean.of_all(resampled.precisions[:, places])
    for k, at in hits_of.items():
        hits, predicted, positives = resampled.totals[:, 3 * at : 3 * at + 3].T
        with np.errstate(invalid="ignore"):
            spread[f"precision@{k}"], spread[f"recall@{k}"] = hits / predicted, hits / positives
            spread[f"f1@{k}"] = 2 * hits / (predicted + positives)
    return spread
