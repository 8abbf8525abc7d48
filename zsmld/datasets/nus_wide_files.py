"""Which files of NUS-WIDE there are, which of them are read, and what is told of that.

Files count by name, whatever its case, at the top of the folder or in the folders of their archives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zsmld.errors import InputError
from zsmld.labels.embeddings import listed
from zsmld.labels.vocabulary import canonical, read_vocabulary

_FOLDERS = re.compile(
    r"imagelist|groundtruth|alllabels|traintestlabels|nus_wid_tags|conceptslist|features|nus[-_]wide", re.IGNORECASE
)
_TABLE = re.compile(r"labels_.+\.txt|(all|train|test)_?tags1k\.(txt|dat)")
_LISTS_ARCHIVE, _LABELS_ARCHIVE, _TAGS_ARCHIVE = "ImageList.zip", "Groundtruth.zip", "NUS_WID_Tags.zip"
# What, the file of its words, and the archive that has it.
_WORDS = (("concepts", "Concepts81.txt", "ConceptsList.zip"), ("tags", "TagList1k.txt", _TAGS_ARCHIVE))


@dataclass(frozen=True)
class Lists:
    """The image lists that rows of tables stand for: all images, or the training and then the test images.

    Attributes:
        names: `Imagelist`, or `TrainImagelist` and `TestImagelist`.
        splits: of each; None where it tells none.
    """

    names: tuple[str, ...]
    splits: tuple[str | None, ...]


# The lists whose images the rows stand for, and for each of them the files whose columns stand side by side.
Tables: TypeAlias = tuple[Lists, list[list[Path]]]

ALL = Lists(("imagelist.txt",), (None,))
HALVES = Lists(("trainimagelist.txt", "testimagelist.txt"), ("train", "test"))


class Found:
    """The files of the data set below a folder, by name in lower case."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: dict[str, Path] = {}
        self.doubled: dict[str, tuple[Path, Path]] = {}
        for path in _files_below(root, depth=3):
            name = path.name.lower()
            other = self.paths.setdefault(name, path)
            if other is not path:
                self.doubled[name] = other, path

    def looks_like_it(self) -> bool:
        """Whether there is an image list of NUS-WIDE, and ground truth or tags."""
        lists = any(name in self.paths for name in (*ALL.names, *HALVES.names))
        return lists and any(_TABLE.fullmatch(name) for name in self.paths)

    def get(self, name: str) -> Path | None:
        """The file of that name.

        Raises:
            InputError: there are two.
        """
        if name in self.doubled:
            first, second = self.doubled[name]
            raise InputError(
                f"stands there twice, also as {second.relative_to(self.root)}", path=first, remedy="Remove one."
            )
        return self.paths.get(name)

    def table(self, stem: str) -> Path | None:
        """The table of that name, .txt or .dat."""
        there = [path for suffix in (".txt", ".dat") if (path := self.get(stem + suffix)) is not None]
        if len(there) > 1:
            raise InputError(f"stands there twice, also as {there[1].name}", path=there[0], remedy="Remove one.")
        return there[0] if there else None


def _files_below(folder: Path, depth: int) -> Iterator[Path]:
    for child in sorted(folder.iterdir()):
        if child.is_file():
            yield child
        elif depth and _FOLDERS.fullmatch(child.name):
            yield from _files_below(child, depth - 1)


@dataclass(frozen=True)
class Plan:
    """Which files are read, and for which rows.

    Attributes:
        root: the folder of the data set.
        order: the lists that give the images.
        list_paths: the image lists that there are, by name.
        concepts, tags: the words of the two vocabularies; no tags where their tables or list are missing.
        labels, tables: the ground truth, and the tags.
        missing: what was expected and is not there, a line each.
    """

    root: Path
    order: Lists | None
    list_paths: dict[str, Path]
    concepts: tuple[str, ...]
    tags: tuple[str, ...]
    labels: Tables | None
    tables: Tables | None
    missing: tuple[str, ...]

    @classmethod
    def of(cls, found: Found) -> Plan:
        """What to read of the files that there are.

        Raises:
            InputError: a file stands there twice, a list of words is malformed, or ground truth lacks a concept.
        """
        list_paths = {name: path for name in (*ALL.names, *HALVES.names) if (path := found.get(name)) is not None}
        words: dict[str, tuple[str, ...]] = {}
        missing = []
        for what, name, archive in _WORDS:
            path = found.get(name.lower())
            words[what] = () if path is None else read_vocabulary(path).labels
            if path is None:
                missing.append(f"no {name} below {found.root}: unpack {archive} there")
        order = next((lists for lists in (HALVES, ALL) if set(lists.names) <= set(list_paths)), None)
        if order is not HALVES:
            missing.append(
                f"no TrainImagelist.txt and TestImagelist.txt below {found.root}: unpack {_LISTS_ARCHIVE} there, "
                "or give --split-file"
            )
        labels = _label_files(found, words["concepts"], list_paths, missing)
        tables = _tag_files(found, list_paths, missing)
        return cls(
            found.root, order, list_paths, words["concepts"], words["tags"] if tables else (),
            labels, tables if words["tags"] else None, tuple(missing),
        )  # fmt: skip

    def kept(self) -> NDArray[np.bool_]:
        """Which tags are no concepts."""
        concepts = {canonical(word) for word in self.concepts}
        return np.array([canonical(word) not in concepts for word in self.tags], dtype=np.bool_)

    @property
    def seen(self) -> tuple[str, ...]:
        """The tags that are no concepts."""
        return tuple(compress(self.tags, self.kept()))

    def files(self) -> list[Path]:
        """What is read of images and tables."""
        tables = [path for part in (self.labels, self.tables) if part for group in part[1] for path in group]
        return [*self.list_paths.values(), *tables]

    def lists(self) -> dict[str, tuple[str, ...]]:
        """The zero-shot split, where both vocabularies are there."""
        return {"seen": self.seen, "unseen": self.concepts} if self.tags and self.concepts else {}

    def told(self) -> tuple[str, ...]:
        """What is read, and what is not."""
        told = []
        if self.labels is not None:
            where = self.labels[1][0][0].parent.relative_to(self.root)
            told.append(f"truth of the {len(self.concepts)} concepts: people's, {where}/Labels_*.txt")
        if self.tables is not None:
            names = " and ".join(str(group[0].relative_to(self.root)) for group in self.tables[1])
            told.append(f"truth of the {len(self.seen)} other labels: Flickr's tags, {names}")
            told.append(
                f"passed over: tags of the concepts ({len(self.tags) - len(self.seen)} columns of Tags1k, and Tags81), "
                "as people's labels stand for them"
            )
        return (*told, *self.missing)


def _label_files(
    found: Found, concepts: tuple[str, ...], list_paths: dict[str, Path], missing: list[str]
) -> Tables | None:
    for lists, endings in ((ALL, ("",)), (HALVES, ("_train", "_test"))):
        groups = [[found.get(f"labels_{word.lower()}{ending}.txt") for word in concepts] for ending in endings]
        there = [[path for path in group if path is not None] for group in groups]
        if not any(there) or not set(lists.names) <= set(list_paths):
            continue
        for group, paths, ending in zip(groups, there, endings, strict=True):
            absent = [f"Labels_{w}{ending.title()}.txt" for w, p in zip(concepts, group, strict=True) if p is None]
            if absent:
                folder = (paths or there[0])[0].parent
                raise InputError(
                    f"has no {listed(absent, 3)}", path=folder, remedy=f"Unpack {_LABELS_ARCHIVE} there again."
                )
        return lists, there
    missing.append(f"no Groundtruth/AllLabels/Labels_*.txt below {found.root}: unpack {_LABELS_ARCHIVE} there")
    return None


def _tag_files(found: Found, list_paths: dict[str, Path], missing: list[str]) -> Tables | None:
    for lists, stems in ((ALL, ("alltags1k",)), (HALVES, ("train_tags1k", "test_tags1k"))):
        paths = [found.table(stem) for stem in stems]
        there = [[path] for path in paths if path is not None]
        if len(there) == len(stems) and set(lists.names) <= set(list_paths):
            return lists, there
    missing.append(f"no AllTags1k below {found.root}, so no seen labels: unpack {_TAGS_ARCHIVE} there")
    return None
