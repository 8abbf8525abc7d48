"""What else a reader needs: figures without twins, the control of exchanged words, and what is taken for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.metrics import average_precision, in_top_k
from zsmld.evaluation.protocols import Protocol
from zsmld.labels.distances import find_twins

_EXCHANGES = 10
_IMAGES_AT_ONCE = 1024


def twins(table: ScoreTable) -> dict[str, str]:
    """Unseen labels that have another form of themselves (plural, singular, -ing) among the seen ones, and which."""
    seen, unseen = table.parts()
    found: dict[str, str] = {}
    for finding in find_twins(unseen, seen, None):
        found.setdefault(finding.labels[0], finding.labels[1])
    return found


def without(table: ScoreTable, labels: dict[str, str]) -> NDArray[np.intp]:
    """Columns of the unseen labels but these."""
    kept = [not is_seen and label not in labels for label, is_seen in zip(table.labels, table.seen, strict=True)]
    return np.flatnonzero(kept)


def exchanged_words(table: ScoreTable, protocol: Protocol, *, seed: int = 0) -> float | None:
    """mAP of the unseen labels when each answers to another one's word: near chance, if words carry the knowledge.

    A label's score depends on its own vector alone, so that to exchange vectors is to exchange columns of scores. The
    mean of 10 exchanges in which no label keeps its own; labels without a positive have no part. None where there are
    fewer than two labels.
    """
    unseen = np.flatnonzero(~table.seen)
    unseen = unseen[table.truth[:, unseen].any(axis=0)]
    if len(unseen) < 2:
        return None
    draw, means = np.random.default_rng(seed), []
    scores, truth = table.scores[:, unseen], table.truth[:, unseen]
    known = None if table.known is None else table.known[:, unseen]
    for _ in range(_EXCHANGES):
        # A random cycle leaves no label in its place.
        cycle = draw.permutation(len(unseen))
        other = np.empty_like(cycle)
        other[cycle] = np.roll(cycle, 1)
        means.append(float(average_precision(scores[:, other], truth, known, protocol.image_ties).mean()))
    return float(np.mean(means))


@dataclass(frozen=True)
class Confusion:
    """In so many images `true` was true and missed, while `taken_for` was in the top K and wrong."""

    true: str
    taken_for: str
    images: int


def confusions(table: ScoreTable, k: int, most: int = 20) -> list[Confusion]:
    """The pairs of labels that are confused most often in the top K of all labels, the most frequent first."""
    count = scipy.sparse.csr_matrix((len(table.labels), len(table.labels)), dtype=np.int64)
    for start in range(0, len(table.scores), _IMAGES_AT_ONCE):
        block = slice(start, start + _IMAGES_AT_ONCE)
        truth, chosen = table.truth[block], in_top_k(table.scores[block], k)
        wrong = chosen & ~truth if table.known is None else chosen & ~truth & table.known[block]
        missed = scipy.sparse.csr_matrix(truth & ~chosen, dtype=np.int64)
        count = count + missed.T @ scipy.sparse.csr_matrix(wrong, dtype=np.int64)
    pairs = count.tocoo()
    order = np.lexsort((pairs.col, pairs.row, -pairs.data))[:most]
    return [Confusion(table.labels[pairs.row[at]], table.labels[pairs.col[at]], int(pairs.data[at])) for at in order]
