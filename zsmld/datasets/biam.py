"""The features and labels that BiAM, LESA and MKT work on: `nus_wide_{train,test}.h5` and the names of their images.

`img_names.pkl` and `test_img_names.pkl` hold {"img_names": [...]}. For each NAME the files have `NAME-features` (C,T),
`NAME-labels`, the 925 tags of TagList1k.txt that are no concepts, in its order (in the test file with the 81 concepts
behind them), and `NAME-labels_81`, the concepts in the order of Concepts81.txt, as people labelled them. 1 is true; in
a file that has -1, that is false and 0 unknown, as BiAM's metrics take it; else 0 is false.

Narayan et al., "Discriminative Region-based Multi-Label Zero-Shot Learning" (ICCV 2021, arXiv 2108.09301).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld import console, files
from zsmld.datasets.binary_tables import sets_of
from zsmld.datasets.gathering import distinct, inside, placed, resplit
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.nus_wide_files import Found
from zsmld.datasets.parsed_files import parsed_once
from zsmld.datasets.records import SPLITS, Dataset
from zsmld.errors import InputError
from zsmld.images.features import FEATURES, FeatureFile, Features
from zsmld.labels.array_pickles import unpickled
from zsmld.labels.vocabulary import canonical, read_vocabulary
from zsmld.tensors import Arrays

# Split, names of its images, and their features and labels.
_PARTS = (("train", "img_names.pkl", "nus_wide_train.h5"), ("test", "test_img_names.pkl", "nus_wide_test.h5"))
_CONCEPTS, _TAGS, _SEEN = "concepts81.txt", "taglist1k.txt", "concepts925.txt"


@dataclass(frozen=True)
class _Part:
    """One split: the pickle of its names and its HDF5 file."""

    split: str
    names: Path
    file: Path


@dataclass(frozen=True)
class _Words:
    """The labels of the columns."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]


def recognise(path: Path) -> Layout | None:
    """A folder with one of the HDF5 files."""
    if not path.is_dir():
        return None
    found = Found(path)
    if not any(file in found.paths for _, _, file in _PARTS):
        return None
    parts, missing = [], []
    for split, names, file in _PARTS:
        there = [found.get(name) for name in (names, file)]
        if there[0] is not None and there[1] is not None:
            parts.append(_Part(split, there[0], there[1]))
        else:
            absent = " and ".join(name for name, where in zip((names, file), there, strict=True) if where is None)
            missing.append(f"no {absent} below {path}, so no {split} images: fetch it from BiAM's page")
    words = _words(found, missing)
    told = [f"features, no backbone: {part.file.name}, {part.split} images of {part.names.name}" for part in parts]
    if words is not None:
        told.append(f"{len(words.seen)} seen labels are Flickr's tags, {len(words.unseen)} unseen ones people's labels")
    lists = {} if words is None else {"seen": words.seen, "unseen": words.unseen}
    return Layout("BiAM's features", path, (*told, *missing), partial(_read, path, parts, words, missing), lists)


def _words(found: Found, missing: list[str]) -> _Words | None:
    concepts, tags, seen = (found.get(name) for name in (_CONCEPTS, _TAGS, _SEEN))
    if concepts is None or (tags is None and seen is None):
        lists = "Concepts81.txt" if concepts is None else "TagList1k.txt or Concepts925.txt"
        missing.append(f"no {lists} below {found.root}: the order of the labels is in it")
        return None
    unseen = read_vocabulary(concepts).labels
    keys = {canonical(word) for word in unseen}
    # Whichever is there: the tags that are no concepts are those of the shorter list.
    listed = read_vocabulary(seen if tags is None else tags).labels  # type: ignore[arg-type]
    return _Words(tuple(word for word in listed if canonical(word) not in keys), unseen)


def _read(path: Path, parts: list[_Part], words: _Words | None, missing: list[str], options: ReadOptions) -> Dataset:
    if words is None or not parts:
        raise InputError(f"cannot be read: {missing[-1]}", path=path)
    labels = (*words.seen, *words.unseen)
    sources = [place for part in parts for place in (part.names, part.file)]
    columns = parsed_once(sources, f"BiAM 1: {labels}", lambda: _parse(parts, words))
    names = columns["names"].tobytes().decode().split("\n")
    complete = columns["complete"].astype(np.bool_)
    rows = len(names)
    dataset = Dataset(
        images=tuple(photograph(name) for name in names),
        splits=columns["splits"],
        groups=(None,) * rows,
        lines=columns["lines"],
        vocabulary=labels,
        positives=sets_of(columns["positives"], len(labels)),
        negatives=sets_of(columns["negatives"], len(labels)),
        complete=complete,
        path=path,
        root=path if options.images is None else options.images,
        features=Features.of([part.file for part in parts], names, columns["places"]),
    )
    return resplit(dataset, options)


def _parse(parts: list[_Part], words: _Words) -> Arrays:
    """Names, splits and labels of all images, as bits."""
    first: dict[str, str] = {}
    columns: dict[str, list[NDArray[Any]]] = {}
    for place, part in enumerate(parts):
        names = read_names(part.names)
        for at, name in enumerate(names, start=1):
            earlier = first.setdefault(name, part.names.name)
            if earlier != part.names.name:
                raise InputError(f"image {name!r} (number {at}) is also in {earlier}", path=part.names)
        for key, values in _columns(part, names, words, place).items():
            columns.setdefault(key, []).append(values)
    text = np.frombuffer("\n".join(first).encode(), dtype=np.uint8)
    return {"names": text, **{key: np.concatenate(values) for key, values in columns.items()}}


def _columns(part: _Part, names: list[str], words: _Words, place: int) -> dict[str, NDArray[Any]]:
    values = _values(part, names, words)
    if (values == -1).any():
        console.info(f"{part.file.name}: it has -1, so that is false, and 0 unknown")
        # A row that leaves nothing open needs no list of what is false.
        complete = (values != 0).all(axis=1)
    else:
        console.info(f"{part.file.name}: it has no -1, so 0 is false, and nothing unknown")
        complete = np.ones(len(names), dtype=np.bool_)
    return {
        "positives": np.packbits(values == 1, axis=1),
        "negatives": np.packbits((values == -1) & ~complete[:, None], axis=1),
        "complete": complete.astype(np.uint8),
        "splits": np.full(len(names), SPLITS.index(part.split), dtype=np.uint8),
        "places": np.full(len(names), place, dtype=np.uint8),
        "lines": np.arange(1, len(names) + 1, dtype=np.int64),
    }


def _values(part: _Part, names: list[str], words: _Words) -> NDArray[np.int8]:
    """(I,V): 1, 0 and -1."""
    seen, unseen = len(words.seen), len(words.unseen)
    file = FeatureFile(part.file)
    values = np.zeros((len(names), seen + unseen), dtype=np.int8)
    with console.progress(f"reading labels of {part.file.name}", len(names)) as meter:
        for row, name in zip(values, names, strict=True):
            labels = _labels(file, name, "-labels", (seen, seen + unseen))
            row[:seen] = labels[:seen]
            row[seen:] = _labels(file, name, "-labels_81", (unseen,))
            if len(labels) > seen and (row[seen:] != labels[seen:]).any():
                problem = f"labels of image {name!r} contradict its labels_81"
                raise InputError(problem, path=part.file, remedy="Fetch the file again.")
            file.expect(name, FEATURES)
            meter.advance()
    return values


def _labels(file: FeatureFile, image: str, suffix: str, widths: tuple[int, ...]) -> NDArray[np.int8]:
    values = file.read(image, suffix)
    if values.ndim != 1 or len(values) not in widths:
        expected = " or ".join(map(str, widths))
        raise InputError(f"{image + suffix!r} is of shape {values.shape}, expected {expected} labels", path=file.path)
    if not np.isin(values, (-1, 0, 1)).all():
        raise InputError(f"{image + suffix!r} has other values than -1, 0 and 1", path=file.path)
    return values.astype(np.int8)


def read_names(path: Path) -> list[str]:
    """The names of images in a pickle {"img_names": [...]}; nothing of it is run.

    Raises:
        InputError: no such pickle, no name, or one twice.
    """
    with files.open_input(path) as stream:
        value = unpickled(stream, path.stat().st_size, path)
    names = value.get("img_names") if isinstance(value, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError("is no pickle of {'img_names': [...]}", path=path, remedy="Fetch it from BiAM's page.")
    with placed(path, None):
        if len(set(names)) != len(names):
            distinct(names, "the images")
        return [inside(name) for name in names]


def photograph(name: str) -> str:
    """Where the photograph of that name lies in NUS-WIDE: `polar_bear_0001_12.jpg` → `polar_bear/0001_12.jpg`."""
    folder, *rest = name.rsplit("_", 2)
    return f"{folder}/{'_'.join(rest)}" if len(rest) == 2 and folder else name
