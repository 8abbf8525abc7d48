"""What the simple methods see: tokens averaged over the image, and centred label vectors of length 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsmld import files
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import TrainedModel
from zsmld.decoder.scoring import photographic
from zsmld.images.ahead import batches_ahead
from zsmld.images.token_cache import TokenCache

Floats = NDArray[np.float64]
_AT_ONCE = 64


@dataclass(frozen=True)
class Problem:
    """Training images and seen labels as the simple methods take them.

    Attributes:
        features: (I,C), each column of mean 0 and deviation 1.
        truth: (I,L) of the seen labels.
        vectors: (L,E) of the seen labels, centred on them, of length 1.
        dataset: the training records, for their groups.
    """

    features: Floats
    truth: NDArray[np.bool_]
    vectors: Floats
    dataset: Dataset

    def part(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> Problem:
        """Some images and some labels of it."""
        return Problem(
            self.features[rows], self.truth[np.ix_(rows, labels)], self.vectors[labels], self.dataset.take(rows)
        )


def pooled_tokens(trained: TrainedModel, dataset: Dataset) -> Floats:
    """(I,C): the tokens of the model's backbone, averaged over the image.

    Raises:
        InputError: an image cannot be read.
    """
    return np.concatenate([block.mean(axis=1) for block in _tokens(trained, dataset)]).astype(np.float64)


def _tokens(trained: TrainedModel, dataset: Dataset) -> Iterator[NDArray[np.float32]]:
    """(n,T,C) a block."""
    if dataset.features is None and trained.backbone_trained:
        # What the cache holds are tokens of published weights.
        backbone = photographic(trained)
        for images in batches_ahead(backbone.preprocess.open, dataset.image_paths(), _AT_ONCE):
            yield backbone.encode(images, _AT_ONCE).numpy()
        return
    store = dataset.features
    cached = (
        store
        if store is not None
        else TokenCache(files.cache_folder(), photographic(trained)).fill(dataset.image_paths())
    )
    for start in range(0, len(dataset), _AT_ONCE):
        yield cached.read(np.arange(start, min(start + _AT_ONCE, len(dataset))))


def standardised(training: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both with the mean and the deviation of the training images."""
    mean, deviation = training.mean(axis=0), training.std(axis=0) + 1e-6
    return (training - mean) / deviation, (test - mean) / deviation


def unit_vectors(vectors: NDArray[np.floating], seen: NDArray[np.bool_]) -> Floats:
    """(L,E) centred on the seen labels, of length 1."""
    centred = vectors.astype(np.float64) - vectors[seen].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(lengths > 0, lengths, 1))
