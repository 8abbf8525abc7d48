"""(image, labels) records: the one form that every data set is read into.

A record is what a reader says of one image; a `Dataset` holds all of them as columns, because a data set may have
millions of images: names, splits, groups, and sparse matrices of what is known of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from zsmld import files
from zsmld.errors import InputError
from zsmld.images.features import Features
from zsmld.labels.vocabulary import canonical

SPLITS = ("train", "val", "test")

# (I,V), true where the image has the label.
Sets: TypeAlias = scipy.sparse.csr_array


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image and what is known of it.

    Attributes:
        image: path relative to the images folder, with forward slashes.
        labels: the labels that are true of it, as written.
        split: train, val or test.
        group: images of one group (a photo series, say) are near-identical and must not be separated.
        line: where the record stands in its file.
        negatives: the labels that are known not to be true of it, where others are unknown (partial labels); None where
            every label that is not true is false.
    """

    image: str
    labels: tuple[str, ...]
    split: str
    group: str | None = None
    line: int = 0
    negatives: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what is known of them, as columns; I images, V labels.

    Attributes:
        images: paths relative to `root`, with forward slashes.
        splits: (I,) positions in `SPLITS`.
        groups: the group of each image, None for one that is a group of its own.
        lines: (I,) where each image stands in the file at `path`.
        vocabulary: the labels of the columns, no two the same under `canonical`.
        positives: (I,V) sparse, the labels that are true of each image.
        negatives: (I,V) sparse, labels that are known to be false.
        complete: (I,) whether all labels that are not true are false; otherwise those in neither set are unknown.
        path: where it was read.
        root: the folder that image paths start from.
        features: tokens of the images that are there already, so that no photograph is read.
    """

    images: tuple[str, ...]
    splits: NDArray[np.uint8]
    groups: tuple[str | None, ...]
    lines: NDArray[np.int64]
    vocabulary: tuple[str, ...]
    positives: Sets
    negatives: Sets
    complete: NDArray[np.bool_]
    path: Path
    root: Path
    features: Features | None = None

    @classmethod
    def of(cls, records: Iterable[ImageRecord], path: Path, root: Path) -> Dataset:
        """The columns of `records`; labels of one canonical form share a column."""
        columns: dict[str, int] = {}
        spelt: list[str] = []

        def column(label: str) -> int:
            at = columns.setdefault(canonical(label), len(columns))
            if at == len(spelt):
                spelt.append(label)
            return at

        images, splits, groups, lines, complete = [], [], [], [], []
        positives: list[list[int]] = []
        negatives: list[list[int]] = []
        for record in records:
            images.append(record.image)
            splits.append(SPLITS.index(record.split))
            groups.append(record.group)
            lines.append(record.line)
            complete.append(record.negatives is None)
            positives.append([column(label) for label in record.labels])
            negatives.append([column(label) for label in record.negatives or ()])
        return cls(
            images=tuple(images),
            splits=np.array(splits, dtype=np.uint8),
            groups=tuple(groups),
            lines=np.array(lines, dtype=np.int64),
            vocabulary=tuple(spelt),
            positives=sparse_sets(positives, len(spelt)),
            negatives=sparse_sets(negatives, len(spelt)),
            complete=np.array(complete, dtype=np.bool_),
            path=path,
            root=root,
        )

    def records(self) -> Iterator[ImageRecord]:
        """The images one by one."""
        for row, image in enumerate(self.images):
            yield ImageRecord(
                image=image,
                labels=self._labels(self.positives, row),
                split=SPLITS[self.splits[row]],
                group=self.groups[row],
                line=int(self.lines[row]),
                negatives=None if self.complete[row] else self._labels(self.negatives, row),
            )

    def _labels(self, sets: Sets, row: int) -> tuple[str, ...]:
        return tuple(self.vocabulary[at] for at in sets.indices[sets.indptr[row] : sets.indptr[row + 1]])

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Dataset:
        """The images of `rows`: positions, or a mask of (I,)."""
        chosen = (np.flatnonzero(rows) if rows.dtype == np.bool_ else rows).astype(np.int64)
        return replace(
            self,
            images=tuple(self.images[row] for row in chosen),
            splits=self.splits[chosen],
            groups=tuple(self.groups[row] for row in chosen),
            lines=self.lines[chosen],
            positives=self.positives[chosen],
            negatives=self.negatives[chosen],
            complete=self.complete[chosen],
            features=None if self.features is None else self.features.take(chosen),
        )

    def is_of(self, split: str) -> NDArray[np.bool_]:
        """(I,): which images are of the split."""
        mask: NDArray[np.bool_] = self.splits == SPLITS.index(split)
        return mask

    def part(self, split: str) -> Dataset:
        """The images of one split; it is an error that there are none.

        Raises:
            InputError: no record is of that split; says which splits there are.
        """
        mask = self.is_of(split)
        if not mask.any():
            there = Counter(SPLITS[at] for at in self.splits)
            counts = ", ".join(f"{count} {name}" for name, count in sorted(there.items())) or "no record at all"
            raise InputError(f"no record has the split {split!r}; there are {counts}", path=self.path)
        return self.take(mask)

    def image_paths(self) -> list[Path]:
        """Where the images lie."""
        return [self.root / image for image in self.images]

    def targets(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """(I,L): which of `labels` are true; labels of the records that are not asked for are passed over."""
        return self._columns(self.positives, labels)

    def known(self, labels: Sequence[str]) -> NDArray[np.bool_] | None:
        """(I,L): of which of `labels` it is known whether they are true; None where all are known."""
        if self.complete.all():
            return None
        known = self._columns(self.positives, labels) | self._columns(self.negatives, labels)
        return known | self.complete[:, None]

    def check_one_each(self, classes: Sequence[str], *, or_none: bool = False) -> None:
        """Refuse images that have more than one of the classes, or none, or of which that is unknown.

        Args:
            classes: N labels.
            or_none: whether an image may have none of them.

        Raises:
            InputError: names the first such image.
        """
        counts, known = self.targets(classes).sum(axis=1), self.known(classes)
        unsure: NDArray[np.bool_] = np.zeros(len(self), dtype=np.bool_)
        if known is not None:
            np.logical_not(known.all(axis=1), out=unsure)
        for row in np.flatnonzero(unsure | (counts > 1) | ((counts == 0) & (not or_none)))[:1]:
            problem = f"has {counts[row] or 'none'} of the {len(classes)} classes"
            if unsure[row]:
                problem = f"is not known to have or to lack each of the {len(classes)} classes"
            raise InputError(
                f"image {self.images[row]!r} {problem}, expected exactly one", path=self.path,
                line=int(self.lines[row]), remedy="Leave the image out, or --single-label.",
            )  # fmt: skip

    def _columns(self, sets: Sets, labels: Sequence[str]) -> NDArray[np.bool_]:
        column = {canonical(label): at for at, label in enumerate(self.vocabulary)}
        at = [column.get(canonical(label), -1) for label in labels]
        there = [place for place, index in enumerate(at) if index >= 0]
        dense = np.zeros((len(self), len(labels)), dtype=np.bool_)
        if there:
            dense[:, there] = sets[:, [at[place] for place in there]].toarray()
        return dense

    def digest(self) -> str:
        """SHA-256 over image names, labels and splits: the same records give the same digest."""
        order = np.argsort(np.array(self.vocabulary, dtype=object)) if self.vocabulary else np.empty(0, np.int64)
        parts = [
            files.to_json([list(self.images), self.splits.tolist(), [self.vocabulary[at] for at in order]]),
            *(_digest_of(sets[:, order]) for sets in (self.positives, self.negatives)),
            str(self.complete.tolist() if not self.complete.all() else True),
            *([] if self.features is None else [files.to_json(self.features.identity)]),
        ]
        return files.digest_bytes("\n".join(parts).encode())


def sparse_sets(rows: Sequence[Sequence[int]], columns: int) -> Sets:
    """(I,V) of the columns that are true in each row."""
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    indices = np.fromiter((index for row in rows for index in row), dtype=np.int32, count=int(starts[-1]))
    sets = Sets((np.ones(len(indices), dtype=np.bool_), indices, starts), shape=(len(rows), columns))
    sets.sum_duplicates()
    return sets


def _digest_of(sets: Sets) -> str:
    ordered = sets.sorted_indices()
    return files.digest_bytes(ordered.indptr.astype("<i8").tobytes() + ordered.indices.astype("<i8").tobytes())
