"""The three files of ML-Decoder's zero-shot code: `data.csv`, `benchmark_81_v0.json`, `wordvec_array.pth`.

`data.csv` has a header and the columns path, labels in brackets, split; `benchmark_81_v0.json` has the labels under
`train class` and `test class`; `wordvec_array.pth` is an array of E × labels, in the alphabetical order of the labels.
The README of that code has the links to the first and the last swapped, so that each may lie under the other's name:
contents decide, and it is said. Its split `val` is what its figures are measured on: it becomes test.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zsmld import console, files
from zsmld.datasets.csv_rows import csv_rows
from zsmld.datasets.gathering import distinct, gather, images_folder, inside, label_words, placed, split_named
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.errors import InputError
from zsmld.labels.array_pickles import is_pickle
from zsmld.labels.embeddings import listed
from zsmld.labels.vocabulary import canonical

_TABLE, _CLASSES, _ARRAY = "data.csv", "benchmark_81_v0.json", "wordvec_array.pth"
_WHAT = {_TABLE: "images and their labels", _CLASSES: "seen and unseen labels", _ARRAY: "label vectors"}
_QUOTED = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(?:,|$)""", re.DOTALL)
_HEAD = 1 << 16


@dataclass(frozen=True)
class _Files:
    """What was found: the table of images, the lists of labels, the array of vectors."""

    folder: Path
    table: Path
    classes: Path | None
    array: Path | None


def recognise(path: Path) -> Layout | None:
    """A folder with such a table, or the table itself, whatever its name."""
    folder = path if path.is_dir() else path.parent
    by_kind = {_kind(place): place for place in _places(folder)}
    table = by_kind.get(_TABLE) if path.is_dir() else (path if _kind(path) == _TABLE else None)
    if table is None:
        return None
    found = _Files(folder, table, by_kind.get(_CLASSES), by_kind.get(_ARRAY))
    lists = _read_classes(found.classes) if found.classes is not None else {}
    return Layout("ML-Decoder's zero-shot files", path, _told(found, lists), partial(_read, found, lists), lists)


def _places(folder: Path) -> list[Path]:
    names = (_TABLE, _CLASSES, _ARRAY)
    return [place for place in sorted(folder.iterdir()) if place.name.lower() in names and place.is_file()]


def _kind(path: Path) -> str | None:
    """Which of the three a file is, by its first bytes."""
    with files.open_input(path) as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PK\x03\x04") or is_pickle(head):
        return _ARRAY
    text = head.decode("utf-8-sig", errors="ignore").lstrip()
    if text.startswith("{"):
        return _CLASSES if re.search(r'"(train|test) class"', text) else None
    # A header of two or three columns, and a list in brackets in the second column of the row below.
    header, _, rows = text.partition("\n")
    is_table = len(header.split(",")) in (2, 3) and re.match(r'[^,\n]*,\s*"?\[', rows)
    return _TABLE if is_table else None


def _told(found: _Files, lists: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    told = [
        f"{path.name} holds what is called {name}, {_WHAT[name]}: the links to them are swapped; read as what it is"
        for name, path in ((_TABLE, found.table), (_CLASSES, found.classes), (_ARRAY, found.array))
        if path is not None and path.name.lower() in _WHAT and path.name.lower() != name
    ]
    told.append("split val of the table is test, as ML-Decoder's figures are measured on it")
    if found.classes is None:
        told.append(f"no {_CLASSES} in {found.folder}: fetch it, or write lists of seen and unseen labels yourself")
    elif "seen" not in lists:
        told.append(f"{found.classes.name} has no 'train class': every label but those of 'test class' is seen")
    if found.array is None:
        told.append(f"no {_ARRAY} in {found.folder}: any other source of label vectors will do (docs/labels.md)")
    else:
        told.append(f"label vectors: zsmld embed-labels --source {found.array}::words=labels.txt::order=alphabetical")
    return tuple(told)


def _read_classes(path: Path) -> dict[str, tuple[str, ...]]:
    """The lists seen, unseen and labels (both, in alphabetical order) of the JSON file."""
    value = files.read_json(path)
    lists: dict[str, tuple[str, ...]] = {}
    with placed(path, None):
        for key, name in (("train class", "seen"), ("test class", "unseen")):
            if key not in value and key == "train class":
                continue
            words = value.get(key)
            if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
                raise InputError(f"{key!r} is no list of labels")
            lists[name] = distinct(label_words(_unquoted(word) for word in words), f"{key}: the labels")
        labels = [word for words in lists.values() for word in words]
        distinct(labels, "'train class' and 'test class': the labels")
    return lists | ({"labels": tuple(sorted(labels))} if len(lists) == 2 else {})


def _read(found: _Files, lists: dict[str, tuple[str, ...]], options: ReadOptions) -> Dataset:
    root = images_folder(options, found.folder)
    # Where there are test images of its own, val stays what it is.
    splits = {row[2].strip().casefold() for _, row in _rows(found.table) if len(row) == 3}
    if not splits and options.split_file is None:
        raise InputError("has no column of splits", path=found.table, remedy="Give --split-file.")
    renamed = {} if any(split_named(split) == "test" for split in splits) else {"val": "test"}
    dataset = gather(_records(found.table, renamed), found.table, root, options)
    if lists:
        _warn_of_others(dataset, lists, found)
    return dataset


def _warn_of_others(dataset: Dataset, lists: dict[str, tuple[str, ...]], found: _Files) -> None:
    assert found.classes is not None
    there = {canonical(label): label for label in dataset.vocabulary}
    asked = {canonical(label): label for words in lists.values() for label in words}
    if absent := [asked[key] for key in asked.keys() - there.keys()]:
        console.warn(f"{found.classes}: {len(absent)} labels are those of no image: {listed(sorted(absent), 5)}")
    if "seen" in lists and (others := [there[key] for key in there.keys() - asked.keys()]):
        console.warn(f"{found.table}: {len(others)} labels are neither seen nor unseen: {listed(sorted(others), 5)}")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header, all as long as it is."""
    rows = csv_rows(path)
    _, header = next(rows)
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"has {len(row)} cells, expected {len(header)} as the header", path=path, line=line)
        yield line, row


def _records(path: Path, renamed: dict[str, str]) -> Iterator[ImageRecord]:
    for line, row in _rows(path):
        with placed(path, line):
            split = split_named(row[2]) if len(row) == 3 else "train"
            if split is None:
                raise InputError(f"split is {row[2]!r}, expected train, val or test")
            labels = label_words(bracketed(row[1]))
            yield ImageRecord(inside(row[0].strip()), labels, sys.intern(renamed.get(split, split)), None, line)


def bracketed(cell: str) -> list[str]:
    """The labels of `['sea', 'old town']` or `[sea, old town]`.

    Raises:
        InputError: brackets or quotes that do not fit, or an empty label.
    """
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise InputError(f"labels are {cell[:40]!r}, expected a list in brackets")
    text = text[1:-1].strip()
    if not text:
        return []
    if text[0] not in "'\"":
        labels = [label.strip() for label in text.split(",")]
        if not all(labels) or any(label[0] in "'\"" for label in labels) or re.search(r"[\[\]]", text):
            raise InputError(f"labels are {cell[:40]!r}: a label is empty, or quotes or brackets do not fit")
        return labels
    labels, end = [], 0
    while end < len(text):
        item = _QUOTED.match(text, end)
        if item is None:
            raise InputError(f"labels are {cell[:40]!r}: quotes do not fit")
        labels.append(re.sub(r"\\(.)", r"\1", item[1] if item[1] is not None else item[2], flags=re.DOTALL))
        end = item.end()
    if text.endswith(","):
        raise InputError(f"labels are {cell[:40]!r}: the last label is missing")
    return labels


def _unquoted(word: str) -> str:
    """A word that was written with the quotes of a list, without them."""
    quoted = len(word) > 2 and word[0] == word[-1] and word[0] in "'\""
    return word[1:-1] if quoted else word
