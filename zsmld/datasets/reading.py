"""Any data set as it lies on a disk → `Dataset`: recognised by what is there, never by what it is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

from zsmld import console, files
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import SPLITS, Dataset
from zsmld.errors import InputError
from zsmld.labels.embeddings import listed

# Asked one after another; the first that recognises the data set reads it.
LAYOUTS = ("tables", "coco", "open_images", "yolo", "ml_decoder", "csv_tables", "folders")


def recognise(path: Path) -> Layout:
    """What the file or folder at `path` is.

    Raises:
        InputError: it does not exist, or is nothing that is known.
    """
    path = Path(path)
    if not path.is_dir():
        # What is absent, a pipe or a device is refused here.
        with files.open_input(path):
            pass
    for name in LAYOUTS:
        ask: Callable[[Path], Layout | None] = import_module(f"zsmld.datasets.{name}").recognise
        layout = ask(path)
        if layout is not None:
            return layout
    raise InputError(
        "is no data set that zsmld knows", path=path, remedy="docs/datasets.md has what is known, and how it must lie."
    )


def read_dataset(path: Path, options: ReadOptions) -> Dataset:
    """Read the data set at `path`, of whatever layout.

    Raises:
        InputError: as `recognise`; or malformed, with file and line.
    """
    return recognise(path).read(options)


def present(dataset: Dataset, *, allow_missing: bool) -> Dataset:
    """The images of `dataset` that are on the disk.

    Raises:
        InputError: some are not, and `allow_missing` is not set; or none is.
    """
    there = np.array([path.exists() for path in dataset.image_paths()], dtype=np.bool_)
    if there.all():
        return dataset
    absent = int((~there).sum())
    first = dataset.image_paths()[int((~there).argmax())]
    problem = f"{absent} of {len(dataset)} images are not there, the first: {first}"
    if not allow_missing or not there.any():
        raise InputError(problem, path=dataset.path, remedy="Check --images, or leave them out with --allow-missing.")
    console.warn(f"{dataset.path}: left out, {problem}")
    return dataset.take(there)


def describe(dataset: Dataset) -> list[str]:
    """A data set in a few lines: images by split, labels, and labels without a positive."""
    counts = [f"{int(dataset.is_of(split).sum())} {split}" for split in SPLITS if dataset.is_of(split).any()]
    lines = [f"{len(dataset)} images: {', '.join(counts)}"]
    positives = np.asarray(dataset.positives.sum(axis=0)).ravel()
    lines.append(f"{len(dataset.vocabulary)} labels, {int(positives.sum())} times true")
    if not dataset.complete.all():
        negatives = int(np.asarray(dataset.negatives.sum()))
        partial = int((~dataset.complete).sum())
        lines.append(f"partial labels: {negatives} times false, and unknown elsewhere in {partial} images")
    without = [label for label, count in zip(dataset.vocabulary, positives, strict=True) if not count]
    if without:
        lines.append(f"{len(without)} labels without any image: {listed(without, 5)}")
    return lines
