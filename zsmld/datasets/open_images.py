"""Open Images (V4 and later): image-level labels that people verified, `ImageID,Source,LabelName,Confidence`.

A label that was verified is true (confidence 1) or false (0) of its image; every other label is unknown. What a machine
said is passed over: it was not verified. Where verifiers contradict each other, the label is unknown too.

Labels are called as the class descriptions call them. 276 names of V4 are those of two classes or more: these are told
apart by their identifiers, `Bun (/m/06q_t_)`. The list `trainable` has the classes that the publisher calls so, 7,186
in V4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zsmld import console, files
from zsmld.datasets.csv_rows import csv_rows
from zsmld.datasets.gathering import distinct, images_folder, label_words, numbered_lines, placed, resplit, split_named
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.open_images_columns import Columns
from zsmld.datasets.records import Dataset
from zsmld.errors import InputError
from zsmld.labels.embeddings import listed
from zsmld.labels.vocabulary import canonical

HEADER = ["ImageID", "Source", "LabelName", "Confidence"]

_LABELS = re.compile(
    r"(?:oidv\d+-)?(?P<split>train|validation|test)-annotations-human-imagelabels(?P<boxable>-boxable)?\.csv",
    re.IGNORECASE,
)
_DESCRIPTIONS = re.compile(r"(?:oidv\d+-)?class-descriptions\.csv", re.IGNORECASE)
_TRAINABLE = re.compile(r"(?:oidv\d+-)?classes-trainable\.txt", re.IGNORECASE)
# Where people put what is not images.
_FOLDERS = ("annotations", "labels", "metadata")
_IMAGE_ID = re.compile(r"[0-9A-Za-z_-]+")
_CLASS_ID = re.compile(r"/[a-z]/[0-9a-z_]+")


@dataclass(frozen=True)
class _Files:
    """The files of one version: labels by split, and what the classes are called."""

    labels: tuple[tuple[Path, str], ...]
    descriptions: Path | None
    trainable: Path | None


def recognise(path: Path) -> Layout | None:
    """A folder (or its `annotations`) with `*-annotations-human-imagelabels.csv`; or one such file, or its header."""
    if path.is_dir():
        # Folders of a million images stand beside these: they are not looked into.
        places = [
            path,
            *(child for child in sorted(path.iterdir()) if child.name.lower() in _FOLDERS and child.is_dir()),
        ]
        chosen = _called(_LABELS, places)
        # The files of the classes with boxes are parts of the others.
        chosen = [child for child in chosen if not _boxable(child)] or chosen
        return _layout(path, path, chosen, places) if chosen else None
    if path.suffix.lower() == ".csv" and _has_header(path):
        return _layout(path, path.parent, [path], [path.parent])
    return None


def _called(pattern: re.Pattern[str], places: list[Path]) -> list[Path]:
    there = sorted(child for place in places for child in place.iterdir() if pattern.fullmatch(child.name))
    return [child for child in there if child.is_file()]


def _layout(path: Path, root: Path, chosen: list[Path], places: list[Path]) -> Layout:
    descriptions, trainable = _called(_DESCRIPTIONS, places), _called(_TRAINABLE, places)
    found = _Files(
        tuple((child, _split_of(child) or "") for child in chosen),
        descriptions[0] if len(descriptions) == 1 else None,
        trainable[0] if len(trainable) == 1 else None,
    )
    told = [f"{child.name}: {split or 'its name tells no split, give --split-file'}" for child, split in found.labels]
    told.append(_told_of("class-descriptions.csv", descriptions, "labels keep their identifiers, such as /m/0bt9lr"))
    told.append(_told_of("classes-trainable.txt", trainable, "no list of trainable labels follows"))
    told.append("verified labels are true or false, all others unknown; what a machine said is passed over")
    return Layout("Open Images image-level labels", path, tuple(told), partial(_read, path, root, found), _lists(found))


def _boxable(path: Path) -> bool:
    named = _LABELS.fullmatch(path.name)
    return bool(named and named["boxable"])


def _has_header(path: Path) -> bool:
    with files.open_input(path) as stream:
        head = stream.read(256).removeprefix(b"\xef\xbb\xbf")
    return re.split(rb"\r?\n", head, maxsplit=1)[0] == ",".join(HEADER).encode()


def _split_of(path: Path) -> str | None:
    named = _LABELS.fullmatch(path.name)
    return split_named(named["split"] if named else path.stem)


def _told_of(name: str, found: list[Path], without: str) -> str:
    if len(found) == 1:
        return f"{name}: {found[0].name}"
    if found:
        return (
            f"{name}: there are {len(found)} ({', '.join(path.name for path in found)}), keep one; until then {without}"
        )
    return f"{name}: not there, {without}. Download it from the page of Open Images and put it beside the labels"


def _lists(found: _Files) -> dict[str, tuple[str, ...]]:
    if found.trainable is None:
        return {}
    names = read_names(found.descriptions) if found.descriptions else {}
    return {"trainable": tuple(names.get(each, each) for each in read_classes(found.trainable))}


def read_classes(path: Path) -> tuple[str, ...]:
    """The class identifiers of a list, one a line.

    Raises:
        InputError: with the line: no identifier, or one twice.
    """
    classes: dict[str, int] = {}
    for number, line in numbered_lines(path):
        with placed(path, number):
            each = _class_id(line.strip())
            if each in classes:
                raise InputError(f"{each} stands in line {classes[each]} already")
            classes[each] = number
    return tuple(classes)


def read_names(path: Path) -> dict[str, str]:
    """What classes are called, by identifier; names that several have are told apart by the identifier.

    Raises:
        InputError: with the line: not two cells, no identifier, one twice, or an empty name.
    """
    names: dict[str, str] = {}
    for number, row in csv_rows(path):
        with placed(path, number):
            if number == 1 and row == ["LabelName", "DisplayName"]:
                continue
            if len(row) != 2:
                raise InputError(f"has {len(row)} cells, expected an identifier and a name")
            each = _class_id(row[0])
            if each in names:
                raise InputError(f"{each} stands there twice")
            names[each] = label_words([row[1]])[0]
    of_name = Counter(map(canonical, names.values()))
    return {each: name if of_name[canonical(name)] == 1 else f"{name} ({each})" for each, name in names.items()}


def _class_id(text: str) -> str:
    if not _CLASS_ID.fullmatch(text):
        raise InputError(f"{text!r} is no class identifier, expected one like /m/0bt9lr")
    return text


def _read(path: Path, root: Path, found: _Files, options: ReadOptions) -> Dataset:
    base = images_folder(options, root)
    columns = Columns()
    for file, split in found.labels:
        if not split and options.split_file is None:
            raise InputError("has a name that tells no split", path=file, remedy="Give --split-file.")
        columns.begin(split or "train", _folder_of(base, split), file)
        for line, image, label, true in verified_rows(file):
            columns.add(image, label, true, line)
    names = read_names(found.descriptions) if found.descriptions else {}
    unnamed = [label for label in columns.labels if label not in names]
    if names and unnamed:
        console.warn(f"{found.descriptions} does not name {len(unnamed)} classes: {listed(unnamed, 5)}")
    with placed(path, None):
        vocabulary = distinct((names.get(label, label) for label in columns.labels), "classes")
    dataset = columns.dataset(vocabulary, path, base)
    if columns.contradicted:
        console.warn(f"{path}: {columns.contradicted} labels were found true and false of one image: unknown")
    return resplit(dataset, options)


def _folder_of(base: Path, split: str) -> str:
    """The folder in which the images of a split lie, with a slash; empty where they lie in `base` itself."""
    names = {"train": ("train",), "val": ("validation", "val"), "test": ("test",)}.get(split, ())
    return next((f"{name}/" for name in names if (base / name).is_dir()), "")


def verified_rows(path: Path) -> Iterator[tuple[int, str, str, bool]]:
    """The labels that people verified: line, image, class, and whether it is true.

    Raises:
        InputError: with the line: another header, not four cells, no identifiers, or a verified label whose confidence
            is neither 0 nor 1.
    """
    rows = csv_rows(path)
    first = next(rows, (1, []))[1]
    if first != HEADER:
        raise InputError(f"has the header {','.join(first)!r}, expected {','.join(HEADER)!r}", path=path, line=1)
    of = {"1": True, "1.0": True, "0": False, "0.0": False}
    for line, row in rows:
        try:
            image, source, label, confidence = row
            if source.startswith("machine"):
                continue
            true = of[confidence]
        except (ValueError, KeyError) as error:
            cells = f"has {len(row)} cells, expected 4"
            problem = cells if len(row) != 4 else f"confidence {row[3]!r} is neither 0 nor 1"
            raise InputError(problem, path=path, line=line) from error
        if not _IMAGE_ID.fullmatch(image) or not _CLASS_ID.fullmatch(label):
            problem = f"{image!r} and {label!r}: expected the identifiers of an image and a class"
            raise InputError(problem, path=path, line=line)
        yield line, image, label, true
