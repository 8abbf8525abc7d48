"""NUS-WIDE as its publishers give it: `ImageList/`, `Groundtruth/`, `NUS_WID_Tags/`, `ConceptsList/` and `Flickr/`.

Chua et al., "NUS-WIDE: A Real-World Web Image Database from National University of Singapore" (CIVR 2009). The truth of
the 81 concepts is what people said (`Groundtruth`); the truth of the other labels, 925 of the 1,000 tags in
`TagList1k.txt`, is what Flickr's users wrote (`Tags1k`). Both together are the split of zero-shot classification: 925
seen labels, 81 unseen ones. The tags of the concepts (`Tags81`, and 75 columns of `Tags1k`) are another truth, and not
read. Files count by name, whatever its case, in those folders, at the top, or where their archives were unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from zsmld import console
from zsmld.datasets.binary_tables import Bits, read_table, sets_of
from zsmld.datasets.gathering import images_folder, inside, numbered_lines, placed, resplit
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.nus_wide_files import ALL, HALVES, Found, Plan, Tables
from zsmld.datasets.parsed_files import parsed_once
from zsmld.datasets.photo_names import Photographs
from zsmld.datasets.records import SPLITS, Dataset, Sets
from zsmld.errors import InputError
from zsmld.tensors import Arrays

_IMAGES = ("Flickr", "flickr", "images", "Images")


def recognise(path: Path) -> Layout | None:
    """A folder with an image list of NUS-WIDE and its ground truth or tags."""
    if not path.is_dir():
        return None
    found = Found(path)
    if not found.looks_like_it():
        return None
    plan = Plan.of(found)
    return Layout("NUS-WIDE", path, plan.told(), partial(_read, plan), plan.lists())


def _read(plan: Plan, options: ReadOptions) -> Dataset:
    if plan.labels is None or not plan.concepts:
        raise InputError(f"cannot be read: {plan.missing[0]}", path=plan.root)
    if plan.order is None or (plan.order is ALL and options.split_file is None):
        raise InputError("tells no training and test images", path=plan.root, remedy="Give --split-file.")
    what = f"NUS-WIDE 1: {len(plan.concepts)} concepts, {len(plan.tags)} tags"
    columns = parsed_once(plan.files(), what, lambda: _parse(plan))
    names = columns["names"].tobytes().decode().split("\n")
    parts = [sets_of(columns["labels"], len(plan.concepts))]
    if plan.tables is not None:
        parts.insert(0, sets_of(columns["tags"], len(plan.tags))[:, plan.kept()])
    positives = Sets(scipy.sparse.hstack(parts, format="csr"))
    own = next((plan.root / name for name in _IMAGES if (plan.root / name).is_dir()), plan.root)
    root = images_folder(options, own)
    dataset = Dataset(
        images=tuple(Photographs(root).find(names)),
        splits=columns["splits"],
        groups=(None,) * len(names),
        lines=columns["lines"],
        vocabulary=(*plan.seen, *plan.concepts),
        positives=positives,
        negatives=Sets(positives.shape, dtype=np.bool_),
        complete=np.ones(len(names), dtype=np.bool_),
        path=plan.root,
        root=root,
    )
    return resplit(dataset, options)


def _parse(plan: Plan) -> Arrays:
    """Names, lines and splits of the images, and their rows of the tables as bits."""
    assert plan.labels is not None
    images = _Images(plan)
    tables = {"labels": images.rows(plan.labels, 1)}
    if plan.tables is not None:
        tables["tags"] = images.rows(plan.tables, len(plan.tags))
    names = np.frombuffer("\n".join(images.names).encode(), dtype=np.uint8)
    return {"names": names, "lines": images.lines, "splits": images.splits, **tables}


@dataclass(frozen=True)
class _ImageList:
    """The images of one list.

    Attributes:
        path: the list.
        names: with forward slashes.
        lines: (I,) where they stand.
        row: of each name, in lower case.
    """

    path: Path
    names: list[str]
    lines: NDArray[np.int64]
    row: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> _ImageList:
        """Read the list at `path`.

        Raises:
            InputError: no image, one twice, or a path that leaves the images folder; with its line.
        """
        names: list[str] = []
        lines: list[int] = []
        row: dict[str, int] = {}
        for line, text in numbered_lines(path):
            with placed(path, line):
                name = inside(text.strip().replace("\\", "/"))
            earlier = row.setdefault(name.casefold(), len(names))
            if earlier != len(names):
                problem = f"image {name!r} stands in line {lines[earlier]} already"
                raise InputError(problem, path=path, line=line, remedy="Keep one of them.")
            names.append(name)
            lines.append(line)
        if not names:
            raise InputError("names no image", path=path)
        return cls(path, names, np.array(lines, dtype=np.int64), row)


class _Images:
    """The images of a plan, in the order of its lists, and where each stands in the others.

    Raises:
        InputError: an image is in both halves.
    """

    def __init__(self, plan: Plan) -> None:
        assert plan.order is not None
        used = {name for tables in (plan.labels, plan.tables) if tables for name in tables[0].names}
        self._lists = {
            name: _ImageList.read(path)
            for name, path in plan.list_paths.items()
            if name in used | set(plan.order.names)
        }
        own = [self._lists[name] for name in plan.order.names]
        self.names = [name for images in own for name in images.names]
        self.lines = np.concatenate([images.lines for images in own])
        splits = [SPLITS.index(split or "train") for split in plan.order.splits]
        self.splits = np.repeat(np.array(splits, dtype=np.uint8), [len(images.names) for images in own])
        if plan.order is HALVES:
            self._check_halves(*own)

    def _check_halves(self, train: _ImageList, test: _ImageList) -> None:
        both = train.row.keys() & test.row.keys()
        if both:
            row = min(test.row[name] for name in both)
            line = train.lines[train.row[test.names[row].casefold()]]
            raise InputError(
                f"image {test.names[row]!r} is a training image too, in line {line} of {train.path.name}",
                path=test.path, line=int(test.lines[row]), remedy="Keep one of them.",
            )  # fmt: skip
        every = self._lists.get(ALL.names[0])
        if every is not None and (left_out := len(every.names) - len(every.row.keys() & (train.row | test.row).keys())):
            console.warn(f"{every.path}: {left_out} images are neither for training nor for testing, and left out")

    def rows(self, tables: Tables, columns: int) -> Bits:
        """The tables as bits, a row an image of this object.

        Args:
            tables: which.
            columns: of each file.

        Raises:
            InputError: a table that does not fit its list, or an image that has no row.
        """
        parts: list[tuple[_ImageList, Bits]] = []
        for name, group in zip(tables[0].names, tables[1], strict=True):
            images, bits = self._lists[name], read_table(group, columns)
            if len(images.names) != len(bits):
                problem = f"has {len(bits)} rows, but {images.path.name} names {len(images.names)} images"
                raise InputError(problem, path=group[0])
            parts.append((images, bits))
        order = np.array([_place(image.casefold(), [images for images, _ in parts]) for image in self.names])
        if (order < 0).any():
            paths = [images.path for images, _ in parts]
            problem = f"has no image {self.names[int((order < 0).argmax())]!r}"
            raise InputError(problem + "".join(f", nor has {path.name}" for path in paths[1:]), path=paths[0])
        rows: Bits = np.concatenate([bits for _, bits in parts])[order]
        return rows


def _place(key: str, lists: list[_ImageList]) -> int:
    """Where the image stands in the lists, one behind the other; -1 where it does not."""
    before = 0
    for images in lists:
        if key in images.row:
            return before + images.row[key]
        before += len(images.names)
    return -1
