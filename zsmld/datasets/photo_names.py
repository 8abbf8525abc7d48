"""Photographs under the names of a list: in folders or flat, and whatever the case.

NUS-WIDE's lists were written on Windows: `Actor\\0001_2124494179.jpg` may lie as `actor/0001_2124494179.JPG`, as
`actor_0001_2124494179.jpg`, or as `0001_2124494179.jpg`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from zsmld.errors import InputError


class Photographs:
    """The files of a folder and of the folders in it, listed once each, as hundreds of thousands are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, list[str]] = {}
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.is_dir():
                    self._folders.setdefault(entry.name.casefold(), []).append(entry.name)
        self._listed: dict[str, dict[str, str]] = {"": self._names("")}

    def find(self, names: Iterable[str]) -> Iterator[str]:
        """Where each photograph lies, relative to the root; one that is not there keeps its name.

        Raises:
            InputError: two files differ in case alone, and the list has neither.
        """
        flat = self._listed[""]
        for name in names:
            folder, _, file = name.rpartition("/")
            own = self._in_folder(folder)
            if (found := own.get(file) or own.get(file.casefold())) is not None:
                yield self._one(found, folder)
                continue
            joined = f"{folder}_{file}".replace("/", "_")
            candidates = (joined, joined.casefold(), file, file.casefold())
            found = next((flat[candidate] for candidate in candidates if candidate in flat), None)
            yield name if found is None else self._one(found, "")

    def _one(self, found: str, folder: str) -> str:
        if found.endswith("/"):
            raise InputError(
                f"has {found[:-1]!r} twice in {folder or 'it'}, in other cases", path=self.root, remedy="Rename one."
            )
        return found

    def _in_folder(self, folder: str) -> dict[str, str]:
        if folder not in self._listed:
            merged: dict[str, str] = {}
            spellings = self._folders.get(folder.casefold(), [folder])
            for spelt in sorted(spellings, key=lambda spelt: (spelt != folder, spelt)):
                merged = self._names(spelt) | merged
            self._listed[folder] = merged
        return self._listed[folder]

    def _names(self, folder: str) -> dict[str, str]:
        """Paths of the files in a folder by their names, and by those in lower case; nothing where there is none."""
        prefix = f"{folder}/" if folder else ""
        try:
            with os.scandir(self.root / folder) as entries:
                there = [entry.name for entry in entries if not entry.is_dir()]
        except OSError:
            return {}
        names: dict[str, str] = {}
        for name in there:
            # A slash at the end: a name that two files have.
            names[name.casefold()] = f"{name}/" if name.casefold() in names else prefix + name
        return names | {name: prefix + name for name in there}
