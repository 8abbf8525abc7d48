"""A folder of many files appears whole or not at all, as `files` has it for one file.

The files go to a temporary folder beside the final one; when all are there they are synced, and the folder takes the
final name in one rename. A folder in its place is moved aside first and removed last, and only one of the same kind is
ever removed. What a killed process leaves is put right by the next one that writes the same folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from zsmld import files
from zsmld.errors import InputError, UsageError, unreadable, unwritable

# What file managers put into a folder that somebody looks at.
_OF_FILE_MANAGERS = {".DS_Store", ".directory", "Thumbs.db", "desktop.ini"}
_LOCK = ".lock"
_SYNCING = 8  # threads


@dataclass(frozen=True)
class Kind:
    """Folders that a command writes whole, and may replace.

    Attributes:
        name: as people call it.
        marker: the file by which one is known, a JSON object with the name as its `kind`; None where the names of its
            files are enough.
        patterns: what the paths of all its files are like (`fnmatchcase`), relative to it. A folder that holds anything
            else is not replaced.
    """

    name: str
    marker: str | None
    patterns: tuple[str, ...]

    def refuse(self, path: Path, *, force: bool) -> None:
        """Refuse a `path` that must not be replaced; call it before long work.

        Raises:
            UsageError: it exists, is not empty and `force` is not set, or it is no folder of this kind, or holds other
                files too.
            InputError: it cannot be looked into.
        """
        if not os.path.lexists(path) or _is_empty(path):
            return
        files.refuse_overwrite(path, force=force)
        if path.is_symlink() or not path.is_dir() or not self._has_marker(path):
            raise UsageError(
                f"is no {self.name} of zsmld, it is not replaced", path=path, remedy="Choose another name."
            )
        for foreign in self._foreign(path):
            raise UsageError(
                f"holds {foreign}, which is no part of a {self.name}; it is not replaced", path=path,
                remedy="Move that file, or choose another name.",
            )  # fmt: skip

    def _has_marker(self, path: Path) -> bool:
        if self.marker is None:
            return True
        try:
            record = files.read_json(path / self.marker)
        except InputError:
            return False
        return isinstance(record, dict) and record.get("kind") == self.name

    def _foreign(self, path: Path) -> Iterator[str]:
        for parent, folders, names in os.walk(path):
            # A link to a folder is listed among the folders, and never walked into.
            for name in [*names, *(each for each in folders if Path(parent, each).is_symlink())]:
                inside = Path(parent, name).relative_to(path).as_posix()
                if name not in _OF_FILE_MANAGERS and not any(fnmatchcase(inside, each) for each in self.patterns):
                    yield inside


def _is_empty(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink() and next(path.iterdir(), None) is None
    except OSError as error:
        raise unreadable(error, path) from error


@dataclass(frozen=True)
class Unfinished:
    """A folder that is being written; threads may write different files at once.

    Attributes:
        path: the final name.
        folder: where the files are until then.
    """

    path: Path
    folder: Path

    def write(self, name: str, data: bytes) -> None:
        """Write the file `name`, relative to the folder.

        Raises:
            EnvironmentFailure: the disk is full, ...
        """
        file = self.folder / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        except OSError as error:
            raise unwritable(error, self.path / name) from error


@contextmanager
def whole_folder(path: Path, kind: Kind, *, force: bool) -> Iterator[Unfinished]:
    """Let the folder `path` appear at the end of the block, with all that the block wrote, or not at all.

    Args:
        path: the final name; its parents are created where they are missing.
        kind: what the block writes, with its marker.
        force: replace a folder of the same kind.

    Raises:
        UsageError: see `Kind.refuse`.
        EnvironmentFailure: the disk is full, another process writes the same folder, ...
    """
    kind.refuse(path, force=force)
    files.make_folder(path.parent)
    temporary = _beside(path, "new")
    if temporary.is_symlink():
        raise UsageError("is a link where a temporary folder is to be", path=temporary, remedy="Remove it.")
    with files.locked(temporary):
        try:
            _put_right(path)
            kind.refuse(path, force=force)
            _empty(temporary)
            yield Unfinished(path, temporary)
            kind.refuse(path, force=force)
            _finish(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _beside(path: Path, part: str) -> Path:
    # The same for all that write this folder, so that they meet at its lock, and find what a killed one left.
    return path.parent / f".zsmld-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{part}"


def _former(path: Path) -> Path:
    """Where a folder is while another one takes its place."""
    return _beside(path, "old")


def _put_right(path: Path) -> None:
    """Undo, or end, an exchange of folders that was cut."""
    former = _former(path)
    if not former.is_dir() or former.is_symlink():
        return
    if os.path.lexists(path):
        shutil.rmtree(former, ignore_errors=True)
        return
    try:
        former.rename(path)
    except OSError as error:
        raise unwritable(error, path) from error


def _empty(temporary: Path) -> None:
    for entry in temporary.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != _LOCK:
            entry.unlink()


def _finish(temporary: Path, path: Path) -> None:
    former = _former(path)
    try:
        _sync_all([Path(parent, name) for parent, _, names in os.walk(temporary) for name in (*names, "")])
        if os.path.lexists(path):
            path.rename(former)
        try:
            temporary.rename(path)
        except OSError:
            if former.exists():
                former.rename(path)
            raise
    except OSError as error:
        raise unwritable(error, path) from error
    # From here on the temporary name is free for others, and the new folder is there whatever fails.
    with suppress(OSError):
        (path / _LOCK).unlink()
        files.sync(path.parent)
    shutil.rmtree(former, ignore_errors=True)


def _sync_all(paths: list[Path]) -> None:
    # At once: the file system then writes many of them together, which takes a thirtieth of the time.
    with ThreadPoolExecutor(_SYNCING) as pool:
        for _ in pool.map(files.sync, paths):
            pass
