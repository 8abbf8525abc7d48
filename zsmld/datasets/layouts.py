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
        split_file: a list of images and their splits, instead of the layout's own (`datasets/gathering.py`).
    """

    images: Path | None = None
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
