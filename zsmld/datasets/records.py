"""(image, labels) records: the one form that every data set is read into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels.vocabulary import canonical

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image and what is known of it.

    Attributes:
        image: path relative to the images folder, with forward slashes.
        labels: the labels that are true of it, as written.
        split: train, val or test.
        group: images of one group (a photo series, say) are near-identical and must not be separated.
        line: where the record stands in its file.
    """

    image: str
    labels: tuple[str, ...]
    split: str
    group: str | None
    line: int


@dataclass(frozen=True)
class Dataset:
    """Records, where they were read, and the folder that their image paths start from."""

    records: tuple[ImageRecord, ...]
    path: Path
    root: Path

    def __len__(self) -> int:
        return len(self.records)

    def part(self, split: str) -> Dataset:
        """The records of one split; it is an error that there are none.

        Raises:
            InputError: no record is of that split; says which splits there are.
        """
        chosen = self.where(lambda record: record.split == split)
        if not chosen.records:
            there = Counter(record.split for record in self.records)
            counts = ", ".join(f"{count} {name}" for name, count in sorted(there.items())) or "no record at all"
            raise InputError(f"no record has the split {split!r}; there are {counts}", path=self.path)
        return chosen

    def where(self, condition: Callable[[ImageRecord], bool]) -> Dataset:
        """The records for which `condition` holds, in their order."""
        return replace(self, records=tuple(record for record in self.records if condition(record)))

    def image_paths(self) -> list[Path]:
        """Where the images lie."""
        return [self.root / record.image for record in self.records]

    def targets(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """Truth of `labels` as an (I,L) array; labels of the records that are not asked for are passed over."""
        column = {canonical(label): index for index, label in enumerate(labels)}
        truth = np.zeros((len(self.records), len(labels)), dtype=np.bool_)
        for row, record in enumerate(self.records):
            for label in record.labels:
                index = column.get(canonical(label))
                if index is not None:
                    truth[row, index] = True
        return truth

    def digest(self) -> str:
        """SHA-256 over image names, labels and splits: the same records give the same digest."""
        rows = [[record.image, sorted(record.labels), record.split] for record in self.records]
        return files.digest_bytes(files.to_json(rows).encode())
