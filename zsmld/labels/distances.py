"""What the doctor reads from vectors: identical, odd and indistinguishable ones, twins, and labels far from the seen.

Cosines are of centred vectors: the mean of all labels is taken off first. Raw cosines live elsewhere in every space
(0.10 ± 0.11 between GloVe's labels of NUS-WIDE, 0.74 ± 0.05 between CLIP's), centred ones are alike: their mean is 0,
their deviation 0.09 to 0.10, and the cosine to a label's nearest neighbour has the median 0.55 to 0.58 and the
quantiles 0.33 to 0.37 (5 %) and 0.80 to 0.83 (95 %) in GloVe, SDL's vectors and CLIP's, so one threshold serves all.
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
SAME = 0.9999
HARD = 0.85
SYNONYM = 0.70
TOO_FAR = 0.40
# The natural logarithm of a length over the median length, and that in robust deviations.
_ODD_RATIO, _ODD_DEVIATIONS = 1.0, 6.0
_BLOCK = 1024

Nearest = dict[str, tuple[tuple[str, float], ...]]


class Distances:
    """Cosines between the labels of a table.

    Args:
        table: L labels.
    """

    def __init__(self, table: LabelEmbeddings) -> None:
        self.labels = table.labels
        self._row = {canonical(label): row for row, label in enumerate(table.labels)}
        self._raw = _units(table.vectors)
        self._lengths = np.linalg.norm(table.vectors.astype(np.float64), axis=1)
        self.centred = _units(table.vectors - table.vectors.mean(axis=0)) if self.judged else self._raw

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

    def close_pairs(self) -> Iterator[Finding]:
        """Labels with the same vector, and labels that are hard to tell from each other; the closest first."""
        found: list[tuple[float, bool, int, int]] = []
        for start in range(0, len(self.labels), _BLOCK):
            block = slice(start, start + _BLOCK)
            raw, centred = self._raw[block] @ self._raw.T, self.centred[block] @ self.centred.T
            close = (raw >= SAME) | ((centred >= HARD) & self.judged)
            for row, other in zip(*np.nonzero(close), strict=True):
                if row + start < other:
                    same = bool(raw[row, other] >= SAME)
                    cosine = float((raw if same else centred)[row, other])
                    found.append((cosine, same, int(row) + start, int(other)))
        for cosine, same, row, other in sorted(found, key=lambda each: -each[0]):
            pair = (self.labels[row], self.labels[other])
            yield Finding(IDENTICAL if same else HARD_TO_TELL, pair, f"and {pair[1]}", cosine)

    def nearest(self, labels: Sequence[str], among: Sequence[str], most: int = 3) -> Nearest:
        """For each of `labels` that the table has, the nearest `among` others, with their cosines."""
        rows, others = self.rows(labels), self.rows(among)
        result: Nearest = {}
        for row in rows:
            cosines = self.centred[others] @ self.centred[row]
            order = np.argsort(-cosines, kind="stable")[:most]
            result[self.labels[row]] = tuple((self.labels[others[at]], float(cosines[at])) for at in order)
        return result

    def cosine(self, first: str, second: str) -> float | None:
        """The cosine of two labels; None where the table lacks one of them."""
        rows = self.rows([first, second])
        return float(self.centred[rows[0]] @ self.centred[rows[1]]) if len(rows) == 2 else None


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    # Only a vector that is the mean itself has none.
    return wide / np.where(lengths > 0, lengths, 1.0)


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


def judge_nearest(nearest: Nearest) -> Iterator[Finding]:
    """Synonyms across the seen/unseen line, then unseen labels that are far from every seen one."""
    synonyms = [
        Finding(SYNONYMS, (label, near), near, cosine)
        for label, neighbours in nearest.items()
        for near, cosine in neighbours
        if cosine >= SYNONYM and not form_relation(label, near)
    ]
    yield from sorted(synonyms, key=lambda finding: -(finding.figure or 0.0))
    far = [(neighbours[0][1], label) for label, neighbours in nearest.items() if neighbours[0][1] < TOO_FAR]
    for cosine, label in sorted(far):
        told = ", ".join(f"{near} {value:.2f}" for near, value in nearest[label])
        yield Finding(FAR, (label,), f"nearest seen: {told}", cosine)
