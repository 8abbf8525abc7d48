"""Folders of images: with a `labels.txt` beside them, or one folder a label; in `train`, `val` and `test`, or in none.

A line of `labels.txt` is `image: label, label`, or `image<TAB>label<TAB>label`; an image without labels has nothing
behind the colon. Where folders are the labels, an image has one label, and all others are false.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from zsmld import console
from zsmld.datasets.gathering import (
    distinct,
    gather,
    images_folder,
    inside,
    label_words,
    numbered_lines,
    placed,
    split_named,
)
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import SPLITS, Dataset, ImageRecord
from zsmld.errors import InputError
from zsmld.images.opening import IMAGE_SUFFIXES

LABELS_FILE = "labels.txt"

# What layouts of their own have, or what no label is.
_NO_LABELS = ("images", "labels", "annotations")


def recognise(path: Path) -> Layout | None:
    """A folder with `labels.txt`, or whose folders hold images; or whose `train`, `val` and `test` are such folders."""
    if not path.is_dir():
        return None
    parts = {child.name: split for child in _folders(path) if (split := split_named(child.name))}
    split_told = [f"{name}/: {split}" for name, split in parts.items()] or [
        "no folders train, val or test: every image is train, unless --split-file says other"
    ]
    if (path / LABELS_FILE).is_file():
        told = f"labels are in {LABELS_FILE}"
        return Layout("images with a label file", path, (told, *split_told), partial(_read_listed, path, {"": "train"}))
    if parts and all((path / name / LABELS_FILE).is_file() for name in parts):
        told = f"labels are in the {LABELS_FILE} of each"
        return Layout("images with label files", path, (told, *split_told), partial(_read_listed, path, parts))
    if all(_holds_label_folders(path / name) for name in parts or [""]):
        told = "the folder of an image is its label, its only one: all others are false"
        return Layout("one folder a label", path, (told, *split_told), partial(_read_folders, path, parts))
    return None


def _folders(path: Path) -> list[Path]:
    return [child for child in sorted(path.iterdir()) if not child.name.startswith(".") and child.is_dir()]


def is_image(name: str) -> bool:
    """Whether a file is called as an image is."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")


def _holds_label_folders(path: Path) -> bool:
    """Folders with images, and no image beside them."""
    folders = _folders(path)
    if any(folder.name.lower() in _NO_LABELS or split_named(folder.name) for folder in folders):
        return False
    if any(is_image(child.name) for child in path.iterdir()):
        return False
    return any(is_image(child.name) for folder in folders for child in folder.iterdir())


def image_names(folder: Path) -> Iterator[str]:
    """The images in `folder` and below it, relative to it, in order."""
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from ((Path(place) / name).relative_to(folder).as_posix() for name in sorted(names) if is_image(name))


def _read_listed(path: Path, parts: dict[str, str], options: ReadOptions) -> Dataset:
    root = images_folder(options, path)
    dataset = gather(_listed_records(path, parts), path, root, options)
    if options.split_file is None:
        known = set(dataset.images)
        unlisted = [name for part in parts for name in _below(root, part) if name not in known]
        if unlisted:
            console.warn(f"{path}: {len(unlisted)} images have no line in {LABELS_FILE}, the first: {unlisted[0]}")
    return dataset


def _below(root: Path, part: str) -> Iterator[str]:
    return (f"{part}/{name}" if part else name for name in image_names(root / part))


def _listed_records(path: Path, parts: dict[str, str]) -> Iterator[ImageRecord]:
    divided = any(split_named(folder.name) for folder in _folders(path))
    for part, split in parts.items():
        file = path / part / LABELS_FILE
        for number, line in numbered_lines(file):
            with placed(file, number):
                image, labels = parse_line(line)
                if not part and divided:
                    split = _split_of(image)
                yield ImageRecord(f"{part}/{image}" if part else image, labels, split, None, number)


def _split_of(image: str) -> str:
    split = split_named(image.split("/")[0])
    if split is None or "/" not in image:
        raise InputError(f"image {image!r} is in none of the folders of {', '.join(SPLITS)}, as others may be")
    return split


def parse_line(line: str) -> tuple[str, tuple[str, ...]]:
    """`image: label, label` or `image<TAB>label<TAB>label` → the image and its labels.

    Raises:
        InputError: neither of them; a comma in a line with tabs; no label between two commas.
    """
    if "\t" in line:
        image, *labels = line.rstrip("\t \r\n").split("\t")
        if any("," in label for label in labels):
            raise InputError("has tabs and commas", remedy="Separate labels by tabs alone.")
    else:
        image, colon, rest = line.partition(":")
        if not colon:
            raise InputError("has neither a tab nor a colon, expected: image: label, label")
        labels = rest.split(",") if rest.strip() else []
    return inside(image.strip()), label_words(labels)


def _read_folders(path: Path, parts: dict[str, str], options: ReadOptions) -> Dataset:
    root = images_folder(options, path)
    folders = {part: _folders(root / part) for part in parts or [""]}
    labels = {folder.name: None for each in folders.values() for folder in each}
    with placed(path, None):
        vocabulary = distinct(label_words(labels), "folders")
    records = (
        record
        for part, each in folders.items()
        for folder in each
        for record in _folder_records(root, folder, parts.get(part, "train"))
    )
    return gather(records, path, root, options, vocabulary)


def _folder_records(root: Path, folder: Path, split: str) -> Iterator[ImageRecord]:
    label = label_words([folder.name])
    if deeper := _folders(folder):
        raise InputError(
            "is a folder within that of a label", path=deeper[0], remedy="Put its images into the label's."
        )
    for child in sorted(folder.iterdir()):
        if is_image(child.name):
            with placed(folder, None):
                image = inside(child.relative_to(root).as_posix())
            yield ImageRecord(image, label, split)
