"""Verified labels of millions of images as columns: eight bytes a label while they are read."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from zsmld.datasets.records import SPLITS, Dataset, Sets
from zsmld.errors import InputError


class Columns:
    """Takes rows one by one; those of one file are of one split.

    Attributes:
        labels: the classes that were seen, by column.
        contradicted: labels that were said to be true and false of the same image.
    """

    def __init__(self) -> None:
        self.labels: dict[str, int] = {}
        self.contradicted = 0
        self._row_of: dict[str, int] = {}
        self._images: list[str] = []
        self._splits, self._lines = array("B"), array("q")
        self._rows, self._columns, self._true = array("i"), array("i"), array("b")
        self._first, self._split, self._folder, self._path = 0, 0, "", Path()

    def begin(self, split: str, folder: str, path: Path) -> None:
        """What follows is of this split, its images lie in `folder` (ends in a slash, or empty), and `path` says it."""
        self._first, self._split, self._folder, self._path = len(self._images), SPLITS.index(split), folder, path

    def add(self, image: str, label: str, true: bool, line: int) -> None:
        """Take one label of one image.

        Raises:
            InputError: the image is of a file before this one.
        """
        row = self._row_of.setdefault(image, len(self._images))
        if row == len(self._images):
            self._images.append(f"{self._folder}{image}.jpg")
            self._splits.append(self._split)
            self._lines.append(line)
        elif row < self._first:
            other = SPLITS[self._splits[row]]
            raise InputError(f"image {image!r} is of the split {other} already", path=self._path, line=line)
        self._rows.append(row)
        self._columns.append(self.labels.setdefault(label, len(self.labels)))
        self._true.append(true)

    def dataset(self, vocabulary: tuple[str, ...], path: Path, root: Path) -> Dataset:
        """What was taken; `vocabulary` has the names of the columns.

        Raises:
            InputError: nothing was taken.
        """
        if not self._images:
            raise InputError("holds no verified label", path=path)
        true = np.frombuffer(self._true, dtype=np.int8).astype(np.bool_)
        positives, negatives = self._sets(true), self._sets(~true)
        both = positives.multiply(negatives).astype(np.bool_).tocsr()
        self.contradicted = int(both.nnz)
        if both.nnz:
            positives, negatives = _without(positives, both), _without(negatives, both)
        return Dataset(
            images=tuple(self._images),
            splits=np.array(self._splits, dtype=np.uint8),
            groups=(None,) * len(self._images),
            lines=np.array(self._lines, dtype=np.int64),
            vocabulary=vocabulary,
            positives=positives,
            negatives=negatives,
            complete=np.zeros(len(self._images), dtype=np.bool_),
            path=path,
            root=root,
        )

    def _sets(self, chosen: NDArray[np.bool_]) -> Sets:
        """(I,V) of the labels that were `chosen`, each once."""
        rows = np.frombuffer(self._rows, dtype=np.int32)[chosen]
        columns = np.frombuffer(self._columns, dtype=np.int32)[chosen]
        shape = (len(self._images), len(self.labels))
        sets = Sets(scipy.sparse.coo_array((np.ones(len(rows), dtype=np.bool_), (rows, columns)), shape=shape))
        sets.sum_duplicates()
        return sets


def _without(sets: Sets, others: Sets) -> Sets:
    """The elements of `sets` that are not in `others`, which is part of them."""
    left = sets.astype(np.int8) - others.astype(np.int8)
    left.eliminate_zeros()
    return left.astype(np.bool_)
