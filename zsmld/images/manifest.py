"""The manifest of an index: its photographs, and what each held when it was read, or why it could not be.

`manifest.safetensors`, of n photographs in the order of their paths:

    names     bytes of the n paths, each with a NUL behind it: file names need not be text
    states    (n,2) int64: size in bytes, and time of change in ns
    digests   (n,32) uint8: SHA-256 of the bytes; zeros where there is an error
    errors    bytes of a JSON list of [row, what is wrong, what to do or null]

Folders in a path are resolved, so that a photograph is known again however it is named. Paths below the folder that
the index lies in are relative to that folder, so that both can move together; others are whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld import __version__, files
from zsmld.errors import InputError
from zsmld.images.known_files import State, state_of
from zsmld.images.opening import ImageError
from zsmld.tensors import read_tensors, write_tensors

FILE_NAME = "manifest.safetensors"
FORMAT_VERSION = "1"
_DAMAGED = "Make the index again, with zsmld index --force."
_UNKNOWN: State = (-1, -1)
_DIGEST = "sha256:"
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """A photograph, in its `state_of` when it was read: the digest of its bytes, or what was wrong, and what to do."""

    state: State
    digest: str | None
    problem: str = ""
    remedy: str | None = None


@dataclass
class Manifest:
    """The photographs of an index in memory.

    Attributes:
        folder: of the index.
        fingerprint: of the backbone whose tokens it holds.
        shape: (T,C) of the tokens of a photograph.
        entries: by whole path, folders resolved.
        updated: when it was last brought up to date.
        finished: whether that went to its end.
    """

    folder: Path
    fingerprint: str
    shape: tuple[int, int]
    entries: dict[str, Entry] = field(default_factory=dict)
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished: bool = False
    _is_changed: bool = field(default=True, repr=False)
    _resolved: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of the index in `folder`.

        Raises:
            InputError: there is none, it is damaged, or of another version of zsmld.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise InputError("holds no index of photographs", path=folder, remedy="Make one with zsmld index PHOTOS.")
        arrays, about = read_tensors(path, remedy=_DAMAGED)
        try:
            if about["format_version"] != FORMAT_VERSION:
                raise InputError("is of another version of zsmld", path=path, remedy=_DAMAGED)
            return cls(
                folder=folder,
                fingerprint=about["fingerprint"],
                shape=(int(about["tokens"]), int(about["channels"])),
                entries=_entries(arrays, _base(folder), about["opened_by"] == opened_by()),
                updated=datetime.fromisoformat(about["updated"]),
                finished=about["finished"] == "true",
                _is_changed=False,
            )
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError("is no manifest of an index of photographs", path=path, remedy=_DAMAGED) from error

    def name_of(self, path: str | Path) -> str:
        """What `path` is called among the entries. A link to a photograph is one of its own, a link to a folder not."""
        parent, name = os.path.split(path)
        if parent not in self._resolved:
            self._resolved[parent] = os.path.realpath(parent)
        return os.path.join(self._resolved[parent], name)  # noqa: PTH118 (a hundred thousand names are no Path)

    def digest(self, path: Path) -> tuple[str | None, State | None]:
        """The digest of an unchanged photograph, else None, and the state of the file."""
        state, entry = state_of(path), self.entries.get(self.name_of(path))
        return (entry.digest if entry and entry.state == state else None), state

    def learn(self, path: Path, state: State, digest: str) -> None:
        """Take in a photograph that was in `state` before it was read, and whose tokens are there."""
        self._put(path, Entry(state, digest))

    def fail(self, path: Path, state: State | None, error: ImageError) -> None:
        """Take in a photograph that cannot be read; one that is not there any more is left out."""
        if state is None:
            self.forget([self.name_of(path)])
        else:
            self._put(path, Entry(state, None, error.problem, error.remedy))

    def _put(self, path: Path, entry: Entry) -> None:
        self.entries[self.name_of(path)] = entry
        self._is_changed = True

    def forget(self, names: Iterable[str]) -> None:
        """Leave photographs out."""
        for name in names:
            self._is_changed |= self.entries.pop(name, None) is not None

    def save(self) -> None:
        """Write it, if it has changed, as that of a run that has not come to its end."""
        if self._is_changed:
            self.finished = False
            self._write()

    def finish(self) -> None:
        """Write it at the end of a run."""
        self.finished = True
        self._write()

    def _write(self) -> None:
        self.updated = datetime.now(UTC)
        about = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "tokens": str(self.shape[0]),
            "channels": str(self.shape[1]),
            "updated": self.updated.isoformat(timespec="seconds"),
            "finished": "true" if self.finished else "false",
            "opened_by": opened_by(),
        }
        write_tensors(self.folder / FILE_NAME, _arrays(self.entries, _base(self.folder)), about)
        self._is_changed = False


@cache
def opened_by() -> str:
    """What opens photographs here: with other versions, one that could not be read is worth another try."""
    found = [f"zsmld {__version__}"]
    for package in ("pillow", "pillow-heif"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def _base(folder: Path) -> str:
    """What stored paths are relative to, with a slash behind it."""
    return os.path.dirname(os.path.realpath(folder)).rstrip("/") + "/"  # noqa: PTH120 (beside realpath)


def _arrays(entries: dict[str, Entry], base: str) -> dict[str, NDArray[Any]]:
    # By part, as paths are sorted: whatever the order in which they came, readers find the same one.
    names = sorted(entries, key=lambda name: name.split("/"))
    rows = [entries[name] for name in names]
    stored = b"".join(os.fsencode(name.removeprefix(base)) + b"\0" for name in names)
    digests = b"".join(bytes.fromhex(row.digest.removeprefix(_DIGEST)) if row.digest else _NO_DIGEST for row in rows)
    errors = [[at, row.problem, row.remedy] for at, row in enumerate(rows) if row.digest is None]
    return {
        "names": np.frombuffer(stored, dtype=np.uint8),
        "states": np.array([row.state for row in rows], dtype=np.int64).reshape(-1, 2),
        "digests": np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32),
        "errors": np.frombuffer(files.to_json(errors).encode("utf-8", "replace"), dtype=np.uint8),
    }


def _entries(arrays: dict[str, NDArray[Any]], base: str, same_opener: bool) -> dict[str, Entry]:
    names = arrays["names"].tobytes().split(b"\0")[:-1]
    errors = {int(row): (str(problem), remedy) for row, problem, remedy in json.loads(arrays["errors"].tobytes())}
    entries: dict[str, Entry] = {}
    rows = zip(names, arrays["states"].tolist(), arrays["digests"], strict=True)
    for at, (name, (size, time), digest) in enumerate(rows):
        if at in errors:
            entry = Entry((size, time) if same_opener else _UNKNOWN, None, *errors[at])
        else:
            entry = Entry((size, time), _DIGEST + digest.tobytes().hex())
        entries[base + os.fsdecode(name) if not name.startswith(b"/") else os.fsdecode(name)] = entry
    return entries
