"""Annotations as JSONL: `{"image": "a/b.jpg", "labels": ["dog", "sea"], "split": "train"}` a line.

`group` may name the series that an image belongs to. `negatives` may list the labels that are known not to be true of
it: then all labels that are in neither list are unknown. Other keys are passed over.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from zsmld import files
from zsmld.datasets.gathering import resplit
from zsmld.datasets.layouts import Layout
from zsmld.datasets.records import SPLITS, Dataset, ImageRecord
from zsmld.errors import InputError, nearest
from zsmld.labels.vocabulary import canonical

_HALVES = re.compile("[\ud800-\udfff]")


def recognise(path: Path) -> Layout | None:
    """A JSONL file, by its name or its first character."""
    if not path.is_file():
        return None
    with files.open_input(path) as stream:
        first = stream.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()
    if path.suffix.lower() != ".jsonl" and not (first.startswith(b"{") and b'"image"' in first):
        return None
    return Layout(
        "JSONL annotations", path, (), lambda options: resplit(read_annotations(path, options.images), options)
    )


def write_annotations(dataset: Dataset, path: Path, *, force: bool = False) -> None:
    """Write a data set as JSONL; reading it gives the same records.

    Raises:
        UsageError: `path` exists and `force` is not set.
    """
    with files.atomic_writer(path, force=force) as stream:
        for record in dataset.records():
            value = {"image": record.image, "labels": list(record.labels), "split": record.split}
            if record.group is not None:
                value["group"] = record.group
            if record.negatives is not None:
                value["negatives"] = list(record.negatives)
            stream.write(files.to_json(value).encode() + b"\n")


def read_annotations(path: Path, images: Path | None = None) -> Dataset:
    """Read a JSONL annotation file.

    Args:
        path: the file.
        images: the folder that image paths are relative to; the file's own folder by default.

    Raises:
        InputError: with file and line: not JSON, a key missing or of the wrong type, an unknown split, a path that
            leaves the folder, an image that stands twice.
    """
    root = path.parent if images is None else images
    if not root.is_dir():
        raise InputError("no such folder of images", path=root, remedy="Check --images.")
    first_line: dict[str, int] = {}
    records = []
    for record in _records(path):
        earlier = first_line.setdefault(record.image, record.line)
        if earlier != record.line:
            raise InputError(
                f"image {record.image!r} stands in line {earlier} already", path=path, line=record.line,
                remedy="Keep one record an image.",
            )  # fmt: skip
        records.append(record)
    if not records:
        raise InputError("holds no record", path=path)
    return Dataset.of(records, path, root)


def _records(path: Path) -> Iterator[ImageRecord]:
    with files.open_input(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                value = json.loads(text) if text.strip() else None
            except (ValueError, RecursionError) as error:  # undecodable, malformed, or a number of thousands of digits
                raise InputError(
                    f"is not JSON: {getattr(error, 'msg', error)}", path=path, line=number,
                    remedy='Expected {"image": ..., "labels": [...], "split": ...}.',
                ) from error  # fmt: skip
            if value is not None:
                try:
                    yield _record(value, number)
                except InputError as error:
                    raise InputError(error.problem, path=path, line=number, remedy=error.remedy) from error


def _record(value: Any, line: int) -> ImageRecord:
    if not isinstance(value, dict):
        raise InputError(f"is a {type(value).__name__}, expected an object with image, labels and split")
    for key in ("image", "labels", "split"):
        if key not in value:
            raise InputError(f"lacks the key {key!r}", remedy=nearest(key, value))
    split, group, negatives = value["split"], value.get("group"), value.get("negatives")
    labels = _words(value["labels"], "labels")
    negatives = None if negatives is None else _words(negatives, "negatives")
    if negatives and (both := {canonical(label) for label in labels} & {canonical(label) for label in negatives}):
        raise InputError(f"{min(both)!r} is in labels and in negatives")
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
    # Labels and splits repeat in every record: interned, they are held once.
    return ImageRecord(
        image=_inside(value["image"]),
        labels=labels,
        split=sys.intern(split),
        group=None if group is None else sys.intern(str(group)),
        line=line,
        negatives=negatives,
    )


def _words(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
        raise InputError(f"{key} is not a list of words")
    if not all(map(_is_writable, value)):
        raise InputError(f"{key} holds half of a character (a lone surrogate)", remedy="Write it as UTF-8.")
    return tuple(map(sys.intern, value))


def _is_writable(text: str) -> bool:
    # JSON can name one half of a surrogate pair, which no file or terminal can show.
    return not _HALVES.search(text)


def _inside(image: Any) -> str:
    """The image path, if it is relative and stays inside the images folder."""
    if not isinstance(image, str) or not image or "\0" in image or not _is_writable(image):
        raise InputError(f"image is {image!r}, expected a path")
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"image {image!r} leaves the images folder", remedy="Give it relative to --images.")
    return str(path)
