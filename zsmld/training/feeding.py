"""What a training step reads: tokens out of the cache, or images for a backbone that is trained along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld.images.backbones import Backbone
from zsmld.images.features import Features
from zsmld.images.opening import read_image
from zsmld.images.token_cache import TokenStore
from zsmld.training.augmentation import augmented

Rows = NDArray[np.int64]


class Inputs(Protocol):
    """The first argument of the module that is trained, by row of the data set."""

    def __len__(self) -> int:
        """How many images."""

    def read(self, rows: Rows, augmentation_seed: int | None = None) -> Tensor:
        """The inputs of these images, augmented where a seed is given."""


class CachedTokens:
    """Tokens of a frozen backbone, or ready-made ones, read from disk batch by batch."""

    def __init__(self, store: TokenStore | Features) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def read(self, rows: Rows, augmentation_seed: int | None = None) -> Tensor:
        """(B,T,C); cached tokens cannot be augmented, the seed is passed over."""
        del augmentation_seed
        return torch.from_numpy(self.store.read(rows))


class DecodedImages:
    """Images, decoded anew for every batch, for a backbone that is trained along."""

    def __init__(self, paths: Sequence[Path], backbone: Backbone, augmentation: str, workers: int = 4) -> None:
        self.paths, self.backbone, self.augmentation = paths, backbone, augmentation
        self.pool = ThreadPoolExecutor(workers)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Rows, augmentation_seed: int | None = None) -> Tensor:
        """(B,3,H,W)."""

        def read(row: int) -> Tensor:
            path, change = self.paths[row], None
            if augmentation_seed is not None:
                # Of the row, not of its place in the batch: who reads it has no say in what it becomes.
                change = partial(augmented, name=self.augmentation, seed=(augmentation_seed, row))
            return self.backbone.preprocess.decode(read_image(path), path, change)

        return torch.stack(list(self.pool.map(read, rows.tolist())))


class PackedTargets:
    """The truth (I,L), a bit an entry: 160,000 images of 925 labels take 18 MB.

    Args:
        truth: true where the image has the label.
        known: true where it is known whether it has; None where all is known.
    """

    def __init__(self, truth: NDArray[np.bool_], known: NDArray[np.bool_] | None = None) -> None:
        self.labels = truth.shape[1]
        self.bits = np.packbits(truth, axis=1)
        self.known_bits = None if known is None else np.packbits(known, axis=1)

    def __len__(self) -> int:
        return len(self.bits)

    def read(self, rows: Rows) -> Tensor:
        """(B,L) as 0.0 and 1.0."""
        return torch.from_numpy(np.unpackbits(self.bits[rows], axis=1, count=self.labels).astype(np.float32))

    def known(self, rows: Rows) -> Tensor | None:
        """(B,L) true where it is known whether the image has the label; None where all is known."""
        if self.known_bits is None:
            return None
        return torch.from_numpy(np.unpackbits(self.known_bits[rows], axis=1, count=self.labels).astype(np.bool_))


@dataclass(frozen=True)
class Part:
    """Inputs and truth of the training or the validation images."""

    inputs: Inputs
    targets: PackedTargets
    rows: Rows


def batches(order: Rows, batch_size: int, start: int = 0) -> Iterator[tuple[int, Rows]]:
    """(step, rows) of one pass over `order`, from step `start`.

    A last batch that is not full is left out, unless it is the only one: its few images would weigh more, and
    another shuffle brings them back.
    """
    for step in range(start, steps_per_epoch(len(order), batch_size)):
        yield step, order[step * batch_size : (step + 1) * batch_size]


def steps_per_epoch(images: int, batch_size: int) -> int:
    """How many steps one pass takes."""
    return max(images // batch_size, 1)
