"""Photographs under the names of a list: in folders or flat, and whatever the case.

NUS-WIDE's lists were written on Windows: `Actor\\0001_2124494179.jpg` may lie as `actor/0001_2124494179.JPG`, as
`actor_0001_2124494179.jpg`, or as `0001_2124494179.jpg`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from zsmld.errors import InputError


class _Folder:
    """The files of one folder, listed once, as hundreds of thousands are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with os.scandir(path) as entries:
                self.files = {entry.name for entry in entries if not entry.is_dir()}
        except OSError:
            self.files = set()
        self._folded: dict[str, list[str]] | None = None

    def find(self, name: str) -> str | None:
        """The file of that name, or else the one of that name in another case.

        Raises:
            InputError: there are two of these.
        """
        if name in self.files:
            return name
        if self._folded is None:
            self._folded = {}
            for file in sorted(self.files):
                self._folded.setdefault(file.casefold(), []).append(file)
        there = self._folded.get(name.casefold(), [])
        if len(there) > 1:
            problem = f"has {there[0]!r} and {there[1]!r}, but no {name!r}"
            raise InputError(problem, path=self._path, remedy="Rename one of them.")
        return there[0] if there else None


class Photographs:
    """The photographs in a folder, and in the folders in it."""

    def __init__(self, root: Path) -> None:
        self._root, self._top = root, _Folder(root)
        self._spellings: dict[str, list[str]] = {}
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.is_dir():
                    self._spellings.setdefault(entry.name.casefold(), []).append(entry.name)
        self._folders: dict[str, list[tuple[str, _Folder]]] = {}

    def find(self, names: Iterable[str]) -> Iterator[str]:
        """Where each photograph lies, relative to the root; one that is not there keeps its name.

        Raises:
            InputError: two files differ in case alone, and the list has neither.
        """
        for name in names:
            folder, _, file = name.rpartition("/")
            if folder not in self._folders:
                self._folders[folder] = self._spelt_like(folder)
            # The folder itself first: nearly all are there.
            if any(spelt == folder and file in own.files for spelt, own in self._folders[folder]):
                yield name
            else:
                yield self._elsewhere(folder, file) or name

    def _spelt_like(self, folder: str) -> list[tuple[str, _Folder]]:
        spellings = self._spellings.get(folder.casefold(), [folder])
        ordered = sorted(spellings, key=lambda spelt: (spelt != folder, spelt))
        return [(spelt, _Folder(self._root / spelt)) for spelt in ordered]

    def _elsewhere(self, folder: str, file: str) -> str | None:
        for spelt, own in self._folders[folder]:
            if (found := own.find(file)) is not None:
                return f"{spelt}/{found}" if spelt else found
        joined = f"{folder}_{file}".replace("/", "_")
        return self._top.find(joined) or self._top.find(file)
