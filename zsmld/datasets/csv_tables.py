"""CSV with a header: a column `image` (or `filename`, `path`), and the labels in one of two forms.

Either a column `labels` has them in one cell, separated by `;`, `|` or `,`: whichever the file uses, never two of them.
Or every other column is a label: 1 is true, 0 is false, and -1, NaN and nothing are unknown. `split` (train, val, test)
and `group` are optional. The header may be separated by commas, semicolons or tabs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zsmld.datasets.csv_rows import csv_rows
from zsmld.datasets.gathering import distinct, gather, images_folder, inside, label_words, placed, split_named
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import SPLITS, Dataset, ImageRecord
from zsmld.errors import InputError
from zsmld.labels.embeddings import listed

_IMAGE = ("image", "filename", "path")
_SEPARATORS = ";|,"
_VALUES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1, "": -1, "nan": -1}


@dataclass(frozen=True)
class Header:
    """Which column is what.

    Attributes:
        delimiter: what separates the columns.
        names: all of them, as written.
        image, labels, split, group: positions; None where there is no such column.
    """

    delimiter: str
    names: tuple[str, ...]
    image: int
    labels: int | None
    split: int | None
    group: int | None

    @property
    def others(self) -> list[int]:
        """Positions of the columns that are none of these."""
        taken = {self.image, self.labels, self.split, self.group}
        return [at for at in range(len(self.names)) if at not in taken]


def recognise(path: Path) -> Layout | None:
    """A `.csv` or `.tsv` file whose header names the images."""
    if not path.is_file() or path.suffix.lower() not in (".csv", ".tsv"):
        return None
    header = read_header(path)
    if header is None or (header.labels is None and not header.others):
        return None
    others = [header.names[at] for at in header.others]
    if header.labels is None:
        told = [f"{len(others)} columns are labels: 1 true, 0 false, -1 or NaN or nothing unknown: {listed(others, 5)}"]
    else:
        told = [f"labels are in the column {header.names[header.labels]!r}"]
        told += [f"columns that are passed over: {listed(others, 5)}"] if others else []
    told.append(f"images are in the column {header.names[header.image]!r}")
    if header.split is None:
        told.append(f"no column 'split': every image is {_split_without(path)}, unless --split-file says other")
    return Layout("CSV table", path, tuple(told), partial(_read, path, header))


def read_header(path: Path) -> Header | None:
    """The header of the file at `path`; None where no delimiter gives one with a column of images.

    Raises:
        InputError: two columns of images, or the same name twice.
    """
    for delimiter in ",;\t":
        try:
            names = next((row for _, row in csv_rows(path, delimiter)), [])
        except InputError:
            continue
        plain = [name.strip().casefold() for name in names]
        if len(names) > 1 and any(name in _IMAGE for name in plain):
            return _header_of(path, delimiter, names, plain)
    return None


def _header_of(path: Path, delimiter: str, names: list[str], plain: list[str]) -> Header:
    with placed(path, 1):
        images = sorted((at for at, name in enumerate(plain) if name in _IMAGE), key=lambda at: _IMAGE.index(plain[at]))
        # Without a column of labels the second may be one: `path` is a word, and its cells will be checked.
        if len(images) > 1 and "labels" in plain:
            both = " and ".join(repr(names[at]) for at in images)
            raise InputError(f"the columns {both} both name images", remedy="Keep one of them.")
        distinct(names, "columns")
    at = {name: place for place, name in enumerate(plain)}
    return Header(
        delimiter, tuple(name.strip() for name in names), images[0], at.get("labels"), at.get("split"), at.get("group")
    )


def _split_without(path: Path) -> str:
    return split_named(path.stem) or "train"


def _read(path: Path, header: Header, options: ReadOptions) -> Dataset:
    root = images_folder(options, path.parent)
    if header.labels is not None:
        return gather(_records(path, header, _one_cell(path, header, header.labels)), path, root, options)
    with placed(path, 1):
        vocabulary = label_words(header.names[at] for at in header.others)
    return gather(_records(path, header, _Cells(path, header, vocabulary)), path, root, options, vocabulary)


class _OneCell:
    """The labels of a row, in one cell."""

    def __init__(self, at: int, separator: str | None) -> None:
        self._at, self._separator = at, separator

    def __call__(self, row: list[str]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        cell = row[self._at].strip()
        if cell.startswith("["):
            raise InputError(
                f"labels are {cell[:40]!r}, a list in brackets", remedy=f"Separate them by {_SEPARATORS[0]}."
            )
        return label_words(cell.split(self._separator) if self._separator else [cell]) if cell else (), None

    def finish(self) -> None:
        """Nothing is left to check."""


def _one_cell(path: Path, header: Header, at: int) -> _OneCell:
    """Finds what separates the labels, in a pass of its own.

    Raises:
        InputError: two of the separators occur: one of them may be part of a label.
    """
    first: dict[str, int] = {}
    for line, row in _body(path, header):
        for separator in _SEPARATORS:
            if separator in row[at]:
                first.setdefault(separator, line)
    if len(first) > 1:
        (one, there), (other, here) = sorted(first.items(), key=lambda item: item[1])[:2]
        raise InputError(
            f"labels are separated by {other!r}, but by {one!r} in line {there}", path=path, line=here,
            remedy="Use one of them in the whole file.",
        )  # fmt: skip
    return _OneCell(at, next(iter(first), None))


class _Cells:
    """The labels of a row, one column each."""

    def __init__(self, path: Path, header: Header, vocabulary: tuple[str, ...]) -> None:
        self._path, self._columns = path, list(zip(header.others, vocabulary, strict=True))
        self._minus, self._zero = False, False

    def __call__(self, row: list[str]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        of: dict[int, list[str]] = {1: [], 0: [], -1: []}
        for at, label in self._columns:
            cell = row[at].strip()
            value = _VALUES.get(cell.casefold())
            if value is None:
                raise InputError(
                    f"column {label!r} is {cell[:40]!r}, expected 1, 0, or -1, NaN or nothing for unknown",
                    remedy="Name the column of labels 'labels' if that is where they are.",
                )
            of[value].append(label)
            self._minus |= cell.startswith("-1")
        self._zero |= bool(of[0])
        return tuple(of[1]), tuple(of[0]) if of[-1] else None

    def finish(self) -> None:
        """Refuse a file of 1 and -1 alone, in which -1 is more likely to mean false.

        Raises:
            InputError: it is one.
        """
        if self._minus and not self._zero:
            raise InputError(
                "holds -1, but never 0: whether -1 is false or unknown is not clear", path=self._path,
                remedy="Write 0 for false, and nothing for unknown.",
            )  # fmt: skip


def _body(path: Path, header: Header) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header, all as long as it is."""
    rows = csv_rows(path, header.delimiter)
    next(rows, None)
    for line, row in rows:
        if len(row) != len(header.names):
            raise InputError(f"has {len(row)} cells, expected {len(header.names)} as the header", path=path, line=line)
        yield line, row


def _records(path: Path, header: Header, labels_of: _OneCell | _Cells) -> Iterator[ImageRecord]:
    split = _split_without(path)
    for line, row in _body(path, header):
        with placed(path, line):
            if header.split is not None:
                named = split_named(row[header.split])
                if named is None:
                    raise InputError(f"split is {row[header.split]!r}, expected one of {', '.join(SPLITS)}")
                split = named
            positives, negatives = labels_of(row)
            group = None if header.group is None else sys.intern(row[header.group].strip()) or None
            yield ImageRecord(inside(row[header.image].strip()), positives, split, group, line, negatives)
    labels_of.finish()
