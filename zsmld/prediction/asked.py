"""The words that are asked for, and what a model says of each: its probability, its threshold, what it is near to.

All of it depends on the word, its vector and the model, and on no other word that is asked for.

Shapes: L words, S labels that the model was trained on, E label-embedding width, n photographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld.decoder.model_folder import TrainedModel
from zsmld.decoder.probabilities import Probabilities
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import canonical
from zsmld.prediction.results import ScoredLabel
from zsmld.prediction.selection import Selection

NEAREST = 3


@dataclass(frozen=True, eq=False)
class Asked:
    """Words for one model.

    Attributes:
        trained: the model.
        names: the L words.
        table: their vectors; None for classes of a closed-set model.
        selection: which labels of a photograph are given.
        scale: what makes probabilities of the model's logits.
    """

    trained: TrainedModel
    names: tuple[str, ...]
    table: LabelEmbeddings | None
    selection: Selection
    scale: Probabilities

    @cached_property
    def vectors(self) -> Tensor | None:
        """(L,E); None for classes."""
        return None if self.table is None else torch.from_numpy(self.table.vectors)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(L,) whether the model was trained on a word."""
        trained_on = {canonical(label) for label in self.trained.seen}
        return np.array([canonical(name) in trained_on for name in self.names])

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """(L,) the probability from which on a word is taken to be there."""
        if self.selection.threshold is not None:
            return np.full(len(self.names), self.selection.threshold)
        return self.scale.thresholds(self.names, self.seen)

    def chosen(self, logits: NDArray[np.float32], labels: NDArray[np.int64] | None) -> list[dict[int, ScoredLabel]]:
        """The labels that each photograph is given, best first, by row; arguments as those of `probabilities`."""
        found = []
        for at, scores in enumerate(self.probabilities(logits, labels)):
            rows = np.arange(len(self.names)) if labels is None else labels[at]
            order = self.selection.ranked(scores, self.thresholds[rows])
            found.append({int(rows[place]): self._scored(int(rows[place]), float(scores[place])) for place in order})
        return found

    def _scored(self, row: int, score: float) -> ScoredLabel:
        return ScoredLabel(self.names[row], score, float(self.thresholds[row]), bool(self.seen[row]))

    def probabilities(self, logits: NDArray[np.float32], labels: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """(n,L) logits of all words, or (n,K) of those of a short list → probabilities.

        A closed-set model's logits are those of all its classes, and come out as those that are asked for.
        """
        if self.trained.closed_set:
            place = {name: at for at, name in enumerate(self.trained.seen)}
            columns = [place[name] for name in self.names]
            if self.trained.single_label:
                return np.asarray(scipy.special.softmax(logits.astype(np.float64), axis=1)[:, columns])
            return self.scale.of(logits[:, columns], self.seen)
        return self.scale.of(logits, self.seen if labels is None else self.seen[labels])

    def nearest(self, row: int) -> tuple[tuple[str, float], ...]:
        """The labels that the model was trained on whose vectors are nearest to a word's, with their cosines.

        Vectors are centred on those of the labels trained on, as the models do it. A word that the model was trained on
        is nearest to itself, which says nothing: it has none.
        """
        if self.table is None or self._directions is None or self.seen[row]:
            return ()
        centre, units = self._directions
        moved = self.table.vectors[row].astype(np.float64) - centre
        length = np.linalg.norm(moved)
        cosines = units @ (moved / length) if length else np.zeros(len(units))
        order = np.argsort(-cosines, kind="stable")[:NEAREST]
        return tuple((self.trained.seen[at], float(cosines[at])) for at in order)

    @cached_property
    def _directions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(E,) the mean of the vectors trained on, and (S,E) these, centred, of length 1; None where there are none."""
        if not self.trained.seen:
            return None
        vectors = self.trained.label_space().select(self.trained.seen).vectors.astype(np.float64)
        centre = vectors.mean(axis=0)
        moved = vectors - centre
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        return centre, moved / np.where(lengths > 0, lengths, 1.0)
