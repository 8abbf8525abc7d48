"""The rules that a figure was computed under, as a declared object that every report prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld.evaluation.metrics import average_precision, chance, harmonic_mean, top_k

Scores = NDArray[np.float32]
Truth = NDArray[np.bool_]
Precisions = NDArray[np.float64]
Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class Protocol:
    """Which images and labels count, and how.

    Attributes:
        name: what the report calls it.
        images: which test images are kept.
        min_positives: labels with fewer positive images have no part in the mean.
        ks: the K of precision, recall and F1.
        ties: how equal scores are ranked.
        averaging: of mAP over labels, and of precision, recall and F1 over images.
        normalisation: of scores across the labels of an image.
        unknown: what becomes of labels of which it is unknown whether they are true (partial labels).
    """

    name: str = "strict"
    images: str = "all of the split, also those without any of the labels"
    min_positives: int = 1
    ks: tuple[int, ...] = (3, 5)
    ties: str = "grouped: the order of files and labels has no say"
    averaging: str = "mAP macro over labels; precision, recall and F1 micro"
    normalisation: str = "none"
    unknown: str = "neither right nor wrong: left out of the ranking of the label, and of that of the image"

    def to_json(self) -> dict[str, Any]:
        """The rules as JSON values."""
        return asdict(self) | {"ks": list(self.ks)}


def figures(
    scores: Scores, truth: Truth, protocol: Protocol, known: Truth | None = None, precisions: Precisions | None = None
) -> Figures:
    """Headline figures of one set of labels, fractions in [0,1].

    Args:
        scores: (I,L).
        truth: (I,L).
        protocol: the rules.
        known: (I,L), where the truth is known; None where all of it is.
        precisions: (L,) average precision of each label, where it has been computed already.

    Returns:
        `map` (None where no label counts), `chance_map` (a random ranking), `labels`, `labels_left_out`, `images`,
        and for each K `precision@K`, `recall@K`, `f1@K`, `f1_ceiling@K`. The figures at K are over all labels: a
        label without a positive can still be predicted wrongly. With `known` also `known`, the part of the truth that
        is.
    """
    counted = counts(truth, protocol)
    precisions = average_precision(scores, truth, known) if precisions is None else precisions
    values: Figures = {
        "map": mean_over(precisions, counted),
        "chance_map": mean_over(chance(truth, known), counted),
        "labels": int(counted.sum()),
        "labels_left_out": int((~counted).sum()),
        "images": len(truth),
    }
    if known is not None:
        values["known"] = float(known.mean())
    for k in protocol.ks:
        at_k = top_k(scores, truth, k, known)
        values |= {f"precision@{k}": at_k.precision, f"recall@{k}": at_k.recall}
        values |= {f"f1@{k}": at_k.f1, f"f1_ceiling@{k}": at_k.f1_ceiling}
    return values


def generalised(
    scores: Scores,
    truth: Truth,
    seen: NDArray[np.bool_],
    protocol: Protocol,
    known: Truth | None = None,
    precisions: Precisions | None = None,
) -> Figures:
    """`figures` of seen and unseen labels together, with the mAP of either part and their harmonic mean.

    Args:
        scores: (I,L).
        truth: (I,L).
        seen: (L,), true for labels that were trained on.
        protocol: the rules.
        known: (I,L), where the truth is known; None where all of it is.
        precisions: (L,) average precision of each label, where it has been computed already.
    """
    precisions = average_precision(scores, truth, known) if precisions is None else precisions
    counted = counts(truth, protocol)
    seen_map, unseen_map = mean_over(precisions, counted & seen), mean_over(precisions, counted & ~seen)
    harmonic = None if seen_map is None or unseen_map is None else harmonic_mean(seen_map, unseen_map)
    return figures(scores, truth, protocol, known, precisions) | {
        "seen_map": seen_map,
        "unseen_map": unseen_map,
        "harmonic_map": harmonic,
    }


def counts(truth: Truth, protocol: Protocol) -> NDArray[np.bool_]:
    """(L,): which labels have a part in the mean."""
    enough: NDArray[np.bool_] = truth.sum(axis=0) >= protocol.min_positives
    return enough


def mean_over(values: NDArray[np.float64], counted: NDArray[np.bool_]) -> float | None:
    """The mean of the counted values; None where none is."""
    return float(values[counted].mean()) if counted.any() else None
