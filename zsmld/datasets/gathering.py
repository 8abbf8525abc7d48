"""What readers of all layouts share: paths that stay inside, names of splits, images that stand once, split files.

A split file names images as the layout's reader does (`zsmld data convert` shows how), one a line with its split, a
tab or a comma between: `val2017/000000000139.jpg<TAB>test`. Images that it does not name are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from zsmld import files
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.records import SPLITS, Dataset, ImageRecord, Sets
from zsmld.errors import InputError
from zsmld.labels.vocabulary import canonical

_SPELT = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

# Paths that need no closer look: there may be millions.
_PLAIN = re.compile(r"[\w-][\w .()-]*(?:/[\w-][\w .()-]*)*")
# What no label and no name holds: control characters, and halves of characters.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def split_named(text: str) -> str | None:
    """The split that a word names (`Training`, `val2017`, `validation`); None where it names none."""
    return _SPELT.get(re.sub(r"[\s_-]*\d*$", "", text.strip().casefold()))


@contextmanager
def placed(path: Path, line: int | None) -> Iterator[None]:
    """Errors of the block that name no file are of `path`, at `line`."""
    try:
        yield
    except InputError as error:
        if error.path is not None:
            raise
        raise InputError(error.problem, path=path, line=line, remedy=error.remedy) from error


def inside(image: str) -> str:
    """The image path, if it is relative and stays inside the images folder.

    Raises:
        InputError: it is empty, absolute, has a backslash or a control character, or climbs.
    """
    if _PLAIN.fullmatch(image):
        return image
    path = PurePosixPath(image)
    if not path.parts or _CONTROLS.search(image):
        raise InputError(f"image is {image!r}, expected a path")
    if "\\" in image:
        raise InputError(f"image {image!r} has a backslash", remedy="Write forward slashes.")
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", image):
        raise InputError(f"image {image!r} leaves the images folder", remedy="Give it relative to --images.")
    return str(path)


def images_folder(options: ReadOptions, own: Path) -> Path:
    """The folder that image paths start from: `--images`, or the layout's own.

    Raises:
        InputError: there is no such folder.
    """
    root = own if options.images is None else options.images
    if not root.is_dir():
        raise InputError("no such folder of images", path=root, remedy="Check --images.")
    return root


def once(records: Iterable[ImageRecord], path: Path) -> Iterator[ImageRecord]:
    """The records, as long as no image stands twice.

    Raises:
        InputError: an image stands twice, with both lines.
    """
    first: dict[str, tuple[int, str]] = {}
    for record in records:
        here = (record.line, record.split)
        earlier = first.setdefault(record.image, here)
        if earlier is not here:
            line, split = earlier
            across = "" if split == record.split else f", there as {split}, here as {record.split}"
            raise InputError(
                f"image {record.image!r} stands in line {line} already{across}", path=path, line=record.line,
                remedy="Keep one record an image.",
            )  # fmt: skip
        yield record


def gather(
    records: Iterable[ImageRecord], path: Path, root: Path, options: ReadOptions, vocabulary: Iterable[str] = ()
) -> Dataset:
    """The records as a data set, split by the split file where there is one.

    `vocabulary` is looked at after the records: labels of it that no record has are columns too.

    Raises:
        InputError: no record, an image twice, or a split file that does not fit.
    """
    dataset = Dataset.of(once(records, path), path, root)
    if not len(dataset):
        raise InputError("holds no image with labels", path=path)
    return resplit(_widened(dataset, vocabulary), options)


def _widened(dataset: Dataset, vocabulary: Iterable[str]) -> Dataset:
    there = {canonical(label) for label in dataset.vocabulary}
    added = tuple({canonical(label): label for label in vocabulary if canonical(label) not in there}.values())
    shape = (len(dataset), len(dataset.vocabulary) + len(added))
    wide = [
        Sets((sets.data, sets.indices, sets.indptr), shape=shape) for sets in (dataset.positives, dataset.negatives)
    ]
    return replace(dataset, vocabulary=dataset.vocabulary + added, positives=wide[0], negatives=wide[1])


def resplit(dataset: Dataset, options: ReadOptions) -> Dataset:
    """`dataset` with the splits of `options.split_file`, where there is one; images that it does not name are left out.

    Raises:
        InputError: a line that is malformed, an image twice, or one that the data set does not have.
    """
    if options.split_file is None:
        return dataset
    row_of = {image: row for row, image in enumerate(dataset.images)}
    splits = np.full(len(dataset), len(SPLITS), dtype=np.uint8)
    for line, image, split in _split_lines(options.split_file):
        with placed(options.split_file, line):
            row = row_of.get(image)
            if row is None:
                raise InputError(f"image {image!r} is not in {dataset.path}, which has {dataset.images[0]!r}")
            if splits[row] != len(SPLITS):
                raise InputError(f"image {image!r} stands there twice")
            splits[row] = SPLITS.index(split)
    named = splits != len(SPLITS)
    if not named.any():
        raise InputError("names no image", path=options.split_file)
    return replace(dataset, splits=splits).take(named)


def _split_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in numbered_lines(path):
        image, between, named = line.rpartition("\t" if "\t" in line else ",")
        split = split_named(named)
        with placed(path, number):
            if not between or split is None:
                raise InputError(f"expected an image, a tab or comma, and one of {', '.join(SPLITS)}")
            yield number, inside(image.strip()), split


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are neither blank nor comments (`#`), with their numbers."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", files.read_text(path)), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def label_words(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels without white space around them, held once each.

    Raises:
        InputError: one is empty, or has control characters.
    """
    words = tuple(sys.intern(label.strip()) for label in labels)
    for word in words:
        if not word or _CONTROLS.search(word):
            raise InputError(f"{word!r} is no label")
    return words


def distinct(labels: Iterable[str], what: str) -> tuple[str, ...]:
    """The labels, as long as no two are the same.

    Raises:
        InputError: two are, under `canonical`; `what` says what they are.
    """
    spelt: dict[str, str] = {}
    for label in labels:
        if canonical(label) in spelt:
            raise InputError(f"{what} {spelt[canonical(label)]!r} and {label!r} are one label")
        spelt[canonical(label)] = label
    return tuple(spelt.values())
