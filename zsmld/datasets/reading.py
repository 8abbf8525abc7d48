"""Any data set as it lies on a disk → `Dataset`: recognised by what is there, never by what it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsmld import console, files
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import SPLITS, Dataset
from zsmld.errors import InputError
from zsmld.labels.embeddings import listed

# Asked one after another; the first that recognises the data set reads it.
LAYOUTS = ("tables", "biam", "nus_wide", "coco", "open_images", "yolo", "ml_decoder", "csv_tables", "folders")


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
    """Read the data set at `path`, of whatever layout, and say what it was taken for.

    Raises:
        InputError: as `recognise`; or malformed, with file and line.
    """
    layout = recognise(path)
    for line in layout.told:
        console.info(f"{layout.name}: {line}")
    return layout.read(options)


def present(dataset: Dataset, *, allow_missing: bool) -> Dataset:
    """The images of `dataset` that are on the disk.

    Raises:
        InputError: some are not, and `allow_missing` is not set; or none is.
    """
    if dataset.features is not None:
        return dataset
    there = on_disk(dataset)
    if there.all():
        return dataset
    absent = int((~there).sum())
    first = dataset.root / dataset.images[int((~there).argmax())]
    problem = f"{absent} of {len(dataset)} images are not there, the first: {first}"
    if not allow_missing or not there.any():
        raise InputError(problem, path=dataset.path, remedy="Check --images, or leave them out with --allow-missing.")
    console.warn(f"{dataset.path}: left out, {problem}")
    return dataset.take(there)


def on_disk(dataset: Dataset) -> NDArray[np.bool_]:
    """(I,): which images are there. Folders are listed, which is faster by far than asking for each file."""
    listed_in: dict[str, frozenset[str]] = {}

    def is_there(image: str) -> bool:
        folder, _, name = image.rpartition("/")
        if folder not in listed_in:
            listed_in[folder] = _files_in(dataset.root / folder)
        # A link, or a name in another case on a disk that knows none, is not in the list.
        return name in listed_in[folder] or (dataset.root / image).exists()

    return np.fromiter(map(is_there, dataset.images), dtype=np.bool_, count=len(dataset))


def _files_in(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if not entry.is_symlink())
    except OSError:
        return frozenset()


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
