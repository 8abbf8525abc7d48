"""What closed-form methods are fitted on: pooled tokens, the truth on seen labels, and these labels' vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import distributed
from zsmld.datasets.records import Dataset

Rows = NDArray[np.int64]
_AT_ONCE, _TOKENS_AT_ONCE = 4096, 64
_LEAST = 1e-6


@dataclass(frozen=True)
class Problem:
    """Training images and seen labels.

    Attributes:
        pooled: (I,C) tokens averaged over the image, as they are.
        truth: (I,S), true where the image has the label.
        known: (I,S), true where it is known whether it has; None where all is known. What is unknown counts as the
            label's mean.
        vectors: (S,E) as they are.
        dataset: the records, for their groups.
    """

    pooled: NDArray[np.float32]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_] | None
    vectors: NDArray[np.float32]
    dataset: Dataset

    def part(self, rows: Rows, labels: Rows) -> Problem:
        """Some images and some labels of it."""
        both = np.ix_(rows, labels)
        known = None if self.known is None else self.known[both]
        return Problem(self.pooled[rows], self.truth[both], known, self.vectors[labels], self.dataset.take(rows))

    def without_validation(self) -> Problem:
        """The images whose records are not of the split `val`."""
        declared = self.dataset.is_of("val")
        return self.part(np.flatnonzero(~declared), np.arange(len(self.vectors))) if declared.any() else self

    @cached_property
    def mean(self) -> Tensor:
        """(C,) of the pooled tokens."""
        return torch.from_numpy(self.pooled.mean(axis=0, dtype=np.float64))

    @cached_property
    def deviation(self) -> Tensor:
        """(C,), and a little, so that it can be divided by."""
        squares = sum(np.square(block - self.mean.numpy()).sum(axis=0) for block in self._blocks())
        return torch.from_numpy(np.sqrt(squares / len(self.pooled)) + _LEAST)

    @cached_property
    def centre(self) -> Tensor:
        """(E,) of the vectors."""
        return torch.from_numpy(self.vectors.mean(axis=0, dtype=np.float64))

    @cached_property
    def units(self) -> Tensor:
        """(S,E): vectors centred, of length 1."""
        centred = torch.from_numpy(self.vectors).double() - self.centre
        return torch.nn.functional.normalize(centred, dim=1)

    def features(self, rows: slice | Rows = slice(None)) -> Tensor:
        """(n,C), float64, each channel of mean 0 and deviation 1 over all images."""
        return (torch.from_numpy(self.pooled[rows]).double() - self.mean) / self.deviation

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """All features, some thousand images at a time."""
        for start in range(0, len(self.pooled), _AT_ONCE):
            block = slice(start, start + _AT_ONCE)
            yield block, self.features(block)

    def _blocks(self) -> Iterator[NDArray[np.float64]]:
        return (self.pooled[at : at + _AT_ONCE].astype(np.float64) for at in range(0, len(self.pooled), _AT_ONCE))

    @cached_property
    def gram(self) -> Tensor:
        """(C,C) = XᵀX of the features."""
        total = torch.zeros(self.pooled.shape[1], self.pooled.shape[1], dtype=torch.float64)
        for _, features in self.blocks():
            total += features.T @ features
        return total

    @cached_property
    def moments(self) -> Tensor:
        """(C,S) = XᵀY, Y the truth with mean 0 and deviation 1 a label, so that frequent labels do not outweigh others.

        A label that all images have, or none, has no say.
        """
        known = np.ones_like(self.truth) if self.known is None else self.known
        count = known.sum(axis=0).clip(1)
        mean = (self.truth & known).sum(axis=0) / count
        deviation = np.sqrt(mean * (1 - mean)) + _LEAST
        total = torch.zeros(self.pooled.shape[1], self.truth.shape[1], dtype=torch.float64)
        for block, features in self.blocks():
            targets = np.where(known[block], (self.truth[block] - mean) / deviation, 0.0)
            total += features.T @ torch.from_numpy(targets)
        return total

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor, Tensor]:
        """Eigenvalues (C,) and eigenvectors (C,C) of XᵀX, and XᵀY seen from these (C,S)."""
        values, vectors = torch.linalg.eigh(self.gram)
        return values.clamp(min=0), vectors, vectors.T @ self.moments

    @cached_property
    def _label_spectrum(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.units.T @ self.units)
        return values.clamp(min=0), vectors

    def solve(self, ridge: float, right: Tensor | None = None) -> Tensor:
        """(C,n) = (XᵀX + ridge I)⁻¹ XᵀY R, with R (S,n), or none; one decomposition serves every ridge."""
        values, vectors, moments = self._spectrum
        return vectors @ ((moments if right is None else moments @ right) / (values + ridge).unsqueeze(1))

    def bilinear(self, image_ridge: float, label_ridge: float) -> Tensor:
        """(C,E) = (XᵀX + γI)⁻¹ XᵀY S (SᵀS + λI)⁻¹, S the unit vectors."""
        values, vectors = self._label_spectrum
        return ((self.solve(image_ridge, self.units) @ vectors) / (values + label_ridge)) @ vectors.T

    def classifiers(self, ridge: float) -> Tensor:
        """(C,S): ridge regression of every label, scaled so that its scores have deviation 1 on these images."""
        weights = self.solve(ridge)
        variance = ((self.gram @ weights) * weights).sum(dim=0) / len(self.pooled)
        return weights / (variance.clamp(min=0).sqrt() + _LEAST)


def pool(read: Callable[[Rows], Tensor], images: int) -> NDArray[np.float32]:
    """(I,C): tokens averaged over the image.

    Args:
        read: rows (n,) → tokens (n,T,C).
        images: I.
    """
    blocks = [np.arange(at, min(at + _TOKENS_AT_ONCE, images)) for at in range(0, images, _TOKENS_AT_ONCE)]
    own = {int(number): read(blocks[number]).float().mean(dim=1).cpu() for number in distributed.share(len(blocks))}
    found = {number: part for each in distributed.gathered(own) for number, part in each.items()}
    pooled: NDArray[np.float32] = torch.cat([found[number] for number in range(len(blocks))]).numpy()
    return pooled
