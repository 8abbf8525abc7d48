"""What the doctor reads from vectors: identical, odd and indistinguishable ones, twins, and labels far from the seen.

Cosines are of centred vectors: the mean of all labels is taken off first, because raw cosines live elsewhere in every
space (0.10 ± 0.11 between GloVe's labels of NUS-WIDE, 0.74 ± 0.05 between CLIP's). Even centred ones differ: the median
cosine of a label to its nearest neighbour is 0.54 to 0.58 in spaces of 300 to 512 dimensions, 0.77 in one of 25, and
0.39 for a vocabulary of only 134 labels. So what is near or far is judged by the quantiles of that figure over the
vocabulary itself; how they were chosen stands in docs/label_doctor.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.findings import FAR, HARD_TO_TELL, IDENTICAL, ODD_LENGTH, SYNONYMS, TWINS, Finding
from zsmld.labels.vocabulary import canonical
from zsmld.labels.word_forms import form_relation, other_forms

# The mean of fewer labels says too little of their space.
FEWEST_TO_CENTRE = 50
# The quantiles of fewer seen labels say too little of what is far from them.
FEWEST_SEEN = 20
SAME = 0.9999
# Quantiles of the cosine to the nearest neighbour: twice over all labels, then over the seen ones among themselves.
_HARD, _SYNONYM, _FAR = 0.98, 0.80, 0.05
# Under this cosine nothing is near, however thinly a vocabulary is spread.
_NEAR = 0.5
# The natural logarithm of a length over the median length, and that in robust deviations.
_ODD_RATIO, _ODD_DEVIATIONS = 1.0, 6.0
_BLOCK = 512

Nearest = dict[str, tuple[tuple[str, float], ...]]


class Distances:
    """Cosines between the labels of a table.

    Args:
        table: L labels.
    """

    def __init__(self, table: LabelEmbeddings) -> None:
        self.labels = table.labels
        self._row = {canonical(label): row for row, label in enumerate(table.labels)}
        wide = table.vectors.astype(np.float64)
        self._lengths = np.linalg.norm(wide, axis=1)
        self._moved = wide - wide.mean(axis=0) if self.judged else wide
        # What rounding leaves of a vector that is the mean itself is no direction.
        self.centred = _units(self._moved, 1e-9 * float(self._lengths.max()))

    @property
    def judged(self) -> bool:
        """Whether there are labels enough to centre on."""
        return len(self.labels) >= FEWEST_TO_CENTRE

    def rows(self, labels: Sequence[str]) -> list[int]:
        """The rows of those labels that the table has."""
        return [self._row[canonical(label)] for label in labels if canonical(label) in self._row]

    def odd_lengths(self) -> Iterator[Finding]:
        """Labels whose vector is far shorter or longer than the others."""
        logs = np.log(self._lengths)
        off = logs - np.median(logs)
        deviation = 1.4826 * np.median(np.abs(off))
        for row in np.flatnonzero((np.abs(off) > _ODD_RATIO) & (np.abs(off) > _ODD_DEVIATIONS * deviation)):
            ratio = float(np.exp(off[row]))
            yield Finding(ODD_LENGTH, (self.labels[row],), f"{ratio:.2g} times the median length", ratio)

    def to_nearest(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """For each of these labels the cosine to the nearest other one among them.

        Those with the very same vector do not count: they are a fault of their own.
        """
        some = self.centred[list(rows)]
        best = np.full(len(some), -1.0)
        for start in range(0, len(some), _BLOCK):
            cosines = some[start : start + _BLOCK] @ some.T
            best[start : start + _BLOCK] = np.where(cosines >= SAME, -1.0, cosines).max(axis=1)
        return best

    def thresholds(self, seen: Sequence[str]) -> dict[str, float]:
        """Name of a kind of finding → the cosine from which on, or under which, labels are of that kind.

        Empty where there are too few labels to judge; what concerns the seen labels is absent where these are too few.
        """
        if not self.judged:
            return {}
        nearest = self.to_nearest(range(len(self.labels)))
        found = {HARD_TO_TELL.name: max(_NEAR, float(np.quantile(nearest, _HARD)))}
        rows = self.rows(seen)
        if len(rows) >= FEWEST_SEEN:
            found[SYNONYMS.name] = max(_NEAR, float(np.quantile(nearest, _SYNONYM)))
            found[FAR.name] = float(np.quantile(self.to_nearest(rows), _FAR))
        return found

    def close_pairs(self, hard: float | None) -> Iterator[Finding]:
        """Labels with the same vector, and those whose centred cosine is at least `hard`; the closest first."""
        found: list[tuple[float, bool, int, int]] = []
        squares = (self._moved**2).sum(axis=1)
        for start in range(0, len(self.labels), _BLOCK):
            block = slice(start, start + _BLOCK)
            cosines = self.centred[block] @ self.centred.T
            both = squares[block, None] + squares
            same = both - 2 * self._moved[block] @ self._moved.T <= (1 - SAME) * both
            for at, other in zip(*np.nonzero(same | (cosines >= (2.0 if hard is None else hard))), strict=True):
                if at + start < other:
                    is_same = bool(same[at, other])
                    cosine = 1.0 if is_same else float(cosines[at, other])
                    found.append((cosine, is_same, int(at) + start, int(other)))
        for cosine, is_same, row, other in sorted(found, key=lambda each: -each[0]):
            pair = (self.labels[row], self.labels[other])
            yield Finding(IDENTICAL if is_same else HARD_TO_TELL, pair, f"and {pair[1]}", cosine)

    def nearest(self, labels: Sequence[str], among: Sequence[str], most: int = 3) -> Nearest:
        """For each of `labels` that the table has, the nearest `among` others, with their cosines."""
        rows, others = self.rows(labels), self.rows(among)
        ends = self.centred[others].T
        result: Nearest = {}
        for row in rows:
            cosines = self.centred[row] @ ends
            order = np.argsort(-cosines, kind="stable")[:most]
            result[self.labels[row]] = tuple((self.labels[others[at]], float(cosines[at])) for at in order)
        return result

    def cosine(self, first: str, second: str) -> float | None:
        """The cosine of two labels; None where the table lacks one of them."""
        rows = self.rows([first, second])
        return float(self.centred[rows[0]] @ self.centred[rows[1]]) if len(rows) == 2 else None


def _units(vectors: NDArray[np.float64], floor: float = 0.0) -> NDArray[np.float64]:
    """Rows of length 1; those that are not longer than `floor` have no direction and become zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > floor, vectors / np.where(lengths > floor, lengths, 1.0), 0.0)


def find_twins(unseen: Sequence[str], seen: Sequence[str], distances: Distances | None) -> list[Finding]:
    """Unseen labels that have another form of themselves among the seen ones; the nearest first.

    Needs no vectors; with them each finding has its cosine.
    """
    spelt = {canonical(label): label for label in seen}
    # A form is found from the longer word to the shorter only.
    shorter: dict[str, list[str]] = {}
    for label in seen:
        for form in other_forms(canonical(label)):
            shorter.setdefault(form.word, []).append(label)
    found = []
    for label in unseen:
        key = canonical(label)
        candidates = [spelt[form.word] for form in other_forms(key) if form.word in spelt] + shorter.get(key, [])
        for twin in dict.fromkeys(candidates):
            if relation := form_relation(label, twin):
                cosine = distances.cosine(label, twin) if distances and distances.judged else None
                found.append(Finding(TWINS, (label, twin), f"{twin} ({relation})", cosine))
    return sorted(found, key=lambda finding: -(finding.figure or 0.0))


def judge_nearest(nearest: Nearest, *, synonym: float, too_far: float) -> Iterator[Finding]:
    """Synonyms across the seen/unseen line, then unseen labels that are far from every seen one.

    Args:
        nearest: the nearest seen labels of each unseen one.
        synonym, too_far: the cosines of `Distances.thresholds`.
    """
    synonyms = [
        Finding(SYNONYMS, (label, near), near, cosine)
        for label, neighbours in nearest.items()
        for near, cosine in neighbours
        if cosine >= synonym and not form_relation(label, near)
    ]
    yield from sorted(synonyms, key=lambda finding: -(finding.figure or 0.0))
    far = [(neighbours[0][1], label) for label, neighbours in nearest.items() if neighbours[0][1] < too_far]
    for cosine, label in sorted(far):
        told = ", ".join(f"{near} {value:.2f}" for near, value in nearest[label])
        yield Finding(FAR, (label,), told, cosine)
