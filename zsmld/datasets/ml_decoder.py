"""The three files of ML-Decoder's zero-shot code: `data.csv`, `benchmark_81_v0.json` and `wordvec_array.pth`.

`data.csv` has, under a header of any names, the path of an image, its labels in brackets, and train or val. `train
class` and `test class` of the JSON are the seen and the unseen labels. The array is E × labels, its columns in the
order in which Python sorts the labels of data.csv. Which file is which is told by content: the README that ships them
has two links swapped.

Its `val` images are those that the code reports its figures on (ML-Decoder, section 4.2): they are read as test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zsmld import files
from zsmld.datasets.bracketed_lists import bracketed
from zsmld.datasets.csv_rows import csv_rows
from zsmld.datasets.gathering import distinct, gather, images_folder, inside, label_words, placed
from zsmld.datasets.json_stream import elements
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.errors import InputError
from zsmld.labels.array_containers import form_of, open_contents
from zsmld.labels.embeddings import listed
from zsmld.labels.vocabulary import canonical

TABLE, BENCHMARK, ARRAY = "data.csv", "benchmark_81_v0.json", "wordvec_array.pth"
_SUFFIXES = {TABLE: ".csv", BENCHMARK: ".json", ARRAY: ".pth"}
_HOLDS = {TABLE: "the table of images", BENCHMARK: "the seen and unseen labels", ARRAY: "the array of label vectors"}
_MISSING = {
    BENCHMARK: "no seen and unseen labels follow: fetch it, or write your own lists for --seen and --unseen",
    ARRAY: "fetch it, or embed the labels with vectors of your own: zsmld embed-labels",
}
_KEYS = ("train class", "test class")
_SPLITS = {"train": "train", "val": "test"}
_HEAD = 1 << 20


@dataclass(frozen=True)
class _Labels:
    """The labels of data.csv.

    Attributes:
        columns: in the order of the array's columns.
        empty: how many images have none.
    """

    columns: tuple[str, ...]
    empty: int


def recognise(path: Path) -> Layout | None:
    """A folder with the files; or the table itself, whatever it is called."""
    if not path.is_dir() and not _is_table(path):
        return None
    found = _found(path) if path.is_dir() else {**_found(path.parent), TABLE: [path]}
    if not found.get(TABLE):
        if not found.get(BENCHMARK):
            return None
        raise InputError(
            f"has {found[BENCHMARK][0].name}, the labels of ML-Decoder's zero-shot code, but no {TABLE}", path=path,
            remedy=f"Fetch {TABLE} too: it has the images, their labels and splits.",
        )  # fmt: skip
    for kind, places in found.items():
        if len(places) > 1:
            names = " and ".join(place.name for place in places)
            raise InputError(f"{names} all hold {_HOLDS[kind]}", path=path, remedy="Leave one of them there.")
    files_of = {kind: places[0] for kind, places in found.items() if places}
    return _layout(path, files_of)


def _layout(path: Path, places: dict[str, Path]) -> Layout:
    table = places[TABLE]
    told = [
        f"{place.name} holds {_HOLDS[kind]}, not what it is called: the README that ships it has two links swapped"
        for kind, place in places.items()
        if place.suffix.lower() != _SUFFIXES[kind]
    ]
    told += [f"no {kind}: {what}" for kind, what in _MISSING.items() if kind not in places]
    labels = _labels_of(table)
    told += _told_of_splits(table)
    if labels.empty:
        told.append(f"{labels.empty} images have an empty list: no label of theirs is true")
    lists = {"sorted": labels.columns}
    if BENCHMARK in places:
        chosen, more = _lists_of(places[BENCHMARK], labels)
        lists |= chosen
        told += more
    if ARRAY in places:
        told.append(_fit(places[ARRAY], labels))
    return Layout("ML-Decoder's zero-shot files", path, tuple(told), partial(_read, table), lists)


def _found(folder: Path) -> dict[str, list[Path]]:
    """The files of `folder` by what they hold."""
    found: dict[str, list[Path]] = {TABLE: [], BENCHMARK: [], ARRAY: []}
    for place in sorted(folder.iterdir()):
        ours = place.name.lower() in _SUFFIXES
        suffix = place.suffix.lower()
        if not (ours or suffix in (".csv", ".json")) or not place.is_file():
            continue
        if ours and form_of(place) is not None:
            found[ARRAY].append(place)
        elif (ours or suffix == ".json") and _is_benchmark(place):
            found[BENCHMARK].append(place)
        elif _is_table(place):
            found[TABLE].append(place)
        elif place.name.lower() == ARRAY:
            # Cut off, most likely: it is told that it cannot be read.
            found[ARRAY].append(place)
    return found


def _is_benchmark(path: Path) -> bool:
    with files.open_input(path) as stream:
        head = stream.read(_HEAD)
    return any(f'"{key}"'.encode() in head for key in _KEYS)


def _is_table(path: Path) -> bool:
    if path.suffix.lower() != ".csv" and path.name.lower() not in _SUFFIXES:
        return False
    rows = csv_rows(path)
    try:
        next(rows, None)
        _, first = next(rows, (0, []))
    except InputError:
        return False
    return len(first) > 1 and first[1].lstrip().startswith("[")


def _rows(path: Path) -> Iterator[tuple[int, str, tuple[str, ...], bool | None, str | None]]:
    """Line, image, labels, whether these stand in quotes, and split, of every row below the header."""
    rows = csv_rows(path)
    _, header = next(rows)
    if len(header) not in (2, 3):
        raise InputError(f"has {len(header)} columns, expected image, labels and split", path=path, line=1)
    earlier: tuple[bool, int] | None = None
    for line, row in rows:
        with placed(path, line):
            if len(row) != len(header):
                raise InputError(f"has {len(row)} cells, expected {len(header)} as the header")
            labels, quoted = bracketed(row[1])
            if quoted is not None:
                earlier = earlier or (quoted, line)
                if quoted != earlier[0]:
                    raise InputError(f"labels stand {_quoted(quoted)}, but {_quoted(not quoted)} in line {earlier[1]}")
        yield line, row[0], labels, quoted, row[2] if len(row) == 3 else None


def _quoted(quoted: bool) -> str:
    return "in quotes" if quoted else "without quotes"


def _labels_of(path: Path) -> _Labels:
    """The labels in the order of the array's columns: that code sorts them with their quotes."""
    there: dict[str, None] = {}
    empty, in_quotes = 0, False
    for _, _, labels, quoted, _ in _rows(path):
        empty += not labels
        in_quotes |= bool(quoted)
        there.update(dict.fromkeys(labels))
    with placed(path, None):
        distinct(there, "labels")
    return _Labels(tuple(sorted(there, key=repr if in_quotes else str)), empty)


def _told_of_splits(path: Path) -> list[str]:
    if len(next(csv_rows(path))[1]) == 2:
        return ["no third column: every image is train, unless --split-file says other"]
    return ["split val is read as test: it is what ML-Decoder's code reports its figures on"]


def _lists_of(path: Path, labels: _Labels) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The seen and the unseen labels that data.csv has, as that code takes them; and what to tell of the others."""
    named = read_benchmark(path)
    test = named["test class"]
    spelt = {canonical(label): label for label in labels.columns}
    # Older files name the unseen labels alone.
    keys = {canonical(label) for label in test}
    train = named.get("train class", tuple(label for label in labels.columns if canonical(label) not in keys))
    lists = {
        name: tuple(spelt[canonical(label)] for label in part if canonical(label) in spelt)
        for name, part in (("seen", train), ("unseen", test))
    }
    told = [] if "train class" in named else [f"{path.name} has no 'train class': all other labels are seen"]
    absent = [label for label in (*train, *test) if canonical(label) not in spelt]
    if absent:
        told.append(f"{len(absent)} labels of {path.name} are of no image, and are left out: {listed(absent, 5)}")
    both = {canonical(label) for label in (*train, *test)}
    others = [label for label in labels.columns if canonical(label) not in both]
    if others:
        told.append(f"{len(others)} labels of images are neither seen nor unseen in {path.name}: {listed(others, 5)}")
    return lists, told


def read_benchmark(path: Path) -> dict[str, tuple[str, ...]]:
    """`train class`, where it is there, and `test class` of the file at `path`.

    Raises:
        InputError: not JSON, no object, no `test class`, no text where a label should be, a label twice or in both.
    """
    named: dict[str, list[str]] = {}
    key_of: dict[str, str] = {}
    for key, position, value, line in elements(path):
        if key not in _KEYS:
            continue
        with placed(path, line):
            if not isinstance(value, str):
                raise InputError(f"{key}[{position}] is no text, expected a label")
            label = label_words([value])[0]
            if canonical(label) in key_of:
                raise InputError(f"label {label!r} of {key!r} is in {key_of[canonical(label)]!r} already")
            key_of[canonical(label)] = key
        named.setdefault(key, []).append(label)
    if "test class" not in named:
        raise InputError("has no labels in 'test class'", path=path, remedy=f"Expected {BENCHMARK}: {_keys()}.")
    return {key: tuple(part) for key, part in named.items()}


def _keys() -> str:
    return " and ".join(repr(key) for key in _KEYS)


def _fit(path: Path, labels: _Labels) -> str:
    """Whether the array has a column for each label."""
    try:
        shapes = [stored.shape for stored in open_contents(path).stored]
    except InputError as error:
        return f"{path.name} cannot be read: {error.problem}"
    count = len(labels.columns)
    if any(shape and shape[-1] == count for shape in shapes):
        return f"{path.name} has {count} columns, one for each label, in the order of sorted.txt"
    held = listed([" × ".join(str(size) for size in shape) for shape in shapes], 3)
    also = "; an empty list gives its code a label too" if labels.empty else ""
    return f"{path.name} is {held}, expected {count} columns, one for each label: it is of other data{also}"


def _read(path: Path, options: ReadOptions) -> Dataset:
    return gather(_records(path), path, images_folder(options, path.parent), options)


def _records(path: Path) -> Iterator[ImageRecord]:
    for line, image, labels, _, word in _rows(path):
        split = _SPLITS.get(word.strip()) if word is not None else "train"
        with placed(path, line):
            if split is None:
                raise InputError(f"split is {word!r}, expected train or val")
            yield ImageRecord(inside(image.strip()), labels, split, None, line)
