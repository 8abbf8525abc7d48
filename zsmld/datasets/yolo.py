"""YOLO: `images/` and `labels/`, a text file an image, `class x y width height` a line, and names of the classes.

An image has the labels of its boxes (or polygons); one without a file, or with an empty one, shows none of the classes.
Splits are folders: `images/train` and `labels/train`, or `train/images` and `train/labels`. Names are in `classes.txt`,
or under `names` in the data set's YAML file; its other keys are passed over, for the paths in it are those of another
machine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from zsmld import files
from zsmld.datasets.folders import image_names
from zsmld.datasets.gathering import distinct, gather, images_folder, inside, label_words, placed, split_named
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.errors import InputError

CLASSES_FILE = "classes.txt"

# Names of ten thousand classes take a tenth of it.
_LARGEST_YAML = 1 << 22


@dataclass(frozen=True)
class _Part:
    """Folders of images and of labels, relative to the data set, and the split they are of."""

    images: str
    labels: str
    split: str


def recognise(path: Path) -> Layout | None:
    """A folder with `images` and `labels` in it, or in its `train`, `val` and `test`; or its YAML file."""
    root = path.parent if path.suffix.lower() in (".yaml", ".yml") else path
    if not root.is_dir() or (root != path and not path.is_file()):
        return None
    parts = _parts(root)
    if not parts:
        return None
    names = [path] if root != path else _names_files(root)
    told = [f"{part.labels}/: {part.split}" for part in parts]
    if not any(split_named(name) for part in parts for name in part.labels.split("/")):
        told.append("no folders train, val or test: every image is train, unless --split-file says other")
    told.append(_told_of(names))
    return Layout("YOLO", path, tuple(told), partial(_read, root, parts, names))


def _parts(root: Path) -> list[_Part]:
    below = [child.name for child in sorted(root.iterdir()) if child.is_dir()]
    parts = [_Part(f"{name}/images", f"{name}/labels", split) for name in below if (split := split_named(name))]
    if "labels" in below:
        inner = [child.name for child in sorted((root / "labels").iterdir()) if child.is_dir()]
        divided = [_Part(f"images/{name}", f"labels/{name}", split) for name in inner if (split := split_named(name))]
        parts += divided or [_Part("images", "labels", "train")]
    return [part for part in parts if _holds_text(root / part.labels)]


def _holds_text(folder: Path) -> bool:
    return folder.is_dir() and any(child.suffix.lower() == ".txt" for child in folder.iterdir())


def _names_files(root: Path) -> list[Path]:
    classes = [place / CLASSES_FILE for place in (root, root / "labels") if (place / CLASSES_FILE).is_file()]
    return classes[:1] or sorted(child for child in root.iterdir() if child.suffix.lower() in (".yaml", ".yml"))


def _told_of(names: list[Path]) -> str:
    if len(names) == 1:
        return f"names of the classes: {names[0].name}"
    found = f"there are {', '.join(name.name for name in names)}, keep one" if names else "not there"
    return f"names of the classes: {found}. Write them to {CLASSES_FILE}, one a line"


def _read(root: Path, parts: list[_Part], names: list[Path], options: ReadOptions) -> Dataset:
    if len(names) != 1:
        raise InputError(_told_of(names), path=root)
    labels = read_names(names[0])
    base = images_folder(options, root)
    # A folder that was named is that of the images itself, without `images` in front, where they are all in one.
    bare = options.images is not None and not (base / parts[0].images).is_dir()
    records = (record for part in parts for record in _records(root, base, part, labels, bare))
    return gather(records, root, base, options, labels)


def read_names(path: Path) -> tuple[str, ...]:
    """The names of the classes, by number: lines of a text file, or `names` in a YAML file (a list or a mapping).

    Raises:
        InputError: no names, numbers with gaps, or two names that are one label.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        names = _yaml_names(path)
    else:
        names = files.read_text(path).rstrip().split("\n")
    with placed(path, None):
        return distinct(label_words(names), "classes")


def _yaml_names(path: Path) -> list[str]:
    import yaml  # type: ignore[import-untyped]

    text = files.read_text(path)
    if len(text) > _LARGEST_YAML:
        raise InputError("is larger than a list of classes", path=path, remedy=f"Write them to {CLASSES_FILE}.")
    try:
        # The base loader makes nothing but texts, lists and mappings: `no` stays a word, and no object is built.
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise InputError(f"is not YAML: {problem}", path=path, line=mark.line + 1 if mark else None) from error
    except (RecursionError, ValueError) as error:
        raise InputError("is not YAML: nested too deeply, or has a value that is none", path=path) from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        numbered = [names.get(str(number)) for number in range(len(names))]
        names = numbered
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError("has no names, expected a list, or a mapping from 0 on without gaps", path=path)
    return names


def _records(root: Path, base: Path, part: _Part, labels: tuple[str, ...], bare: bool) -> Iterator[ImageRecord]:
    folder = part.images.removeprefix("images").strip("/") if bare else part.images
    texts = set(_texts(root / part.labels))
    there = set()
    for name in image_names(base / folder):
        text = f"{_stem(name)}.txt"
        there.add(text)
        yield _record(root, part, folder, name, text if text in texts else None, labels)
    for text in sorted(texts - there):
        # Its image is missing, and will be counted: the suffix that it would have had is not known.
        yield _record(root, part, folder, f"{_stem(text)}.jpg", text, labels)


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _texts(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(".txt") and name != CLASSES_FILE:
                yield (Path(place) / name).relative_to(folder).as_posix()


def _record(root: Path, part: _Part, folder: str, name: str, text: str | None, labels: tuple[str, ...]) -> ImageRecord:
    there: dict[str, None] = {}
    if text is not None:
        path = root / part.labels / text
        for number, line in enumerate(files.read_text(path).splitlines(), start=1):
            if line.strip():
                with placed(path, number):
                    there[labels[parse_line(line, len(labels))]] = None
    with placed(root / part.images, None):
        return ImageRecord(inside(f"{folder}/{name}" if folder else name), tuple(there), part.split)


def parse_line(line: str, classes: int) -> int:
    """The class of a box (four numbers) or polygon (six or more, in pairs), one of `classes`.

    Raises:
        InputError: no such class, or no such numbers.
    """
    first, *rest = line.split()
    if not (first.isascii() and first.isdigit()):
        raise InputError(f"class is {first[:40]!r}, expected a whole number")
    if len(rest) < 4 or len(rest) % 2 or not all(map(_is_number, rest)):
        raise InputError("expected a class and x, y, width, height, or the points of a polygon")
    if len(first) > 9 or int(first) >= classes:
        raise InputError(f"class is {first[:40]}, but there are names for {classes}, from 0 on")
    return int(first)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
