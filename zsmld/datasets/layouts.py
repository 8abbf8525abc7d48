"""What a data set on a disk is recognised as, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zsmld.datasets.records import Dataset


@dataclass(frozen=True)
class ReadOptions:
    """How a data set is to be read.

    Attributes:
        images: the folder of the images, instead of the layout's own.
        allow_missing: images that are not on the disk are left out and counted, instead of being an error.
        split_file: a file that says which image is of which split, instead of the layout's own.
    """

    images: Path | None = None
    allow_missing: bool = False
    split_file: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A data set that was recognised.

    Attributes:
        name: what it is.
        path: where it lies.
        told: what was recognised, what is missing and what to do about it, a line each.
        read: reads it.
        lists: label lists that follow from it, such as `seen` and `unseen`.
    """

    name: str
    path: Path
    told: tuple[str, ...]
    read: Callable[[ReadOptions], Dataset]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
