"""Folders that appear whole or not at all, as files do (`zsmld.files`)."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from zsmld import files
from zsmld.errors import UsageError, unreadable, unwritable


def refuse_occupied(path: Path, *, replaces: Collection[str], force: bool) -> None:
    """Refuse a `path` that a new folder cannot take; call it before long work, not only at its end.

    Args:
        path: absent, an empty folder, or with `force` one that holds nothing but files of these names.
        replaces: names of files.
        force: whether these may go.

    Raises:
        UsageError: it holds something that is to stay.
        InputError: it cannot be looked into.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise UsageError("exists already, and is no folder", path=path, remedy="Name another folder.")
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise unreadable(error, path) from error
    others = [name for name in names if name not in replaces]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UsageError(
            f"exists already, and holds what is no part of a model: {others[0]}{more}", path=path,
            remedy="Name another folder.",
        )  # fmt: skip
    if names and not force:
        raise UsageError("exists already", path=path, remedy="Add --force to replace it.")


@contextmanager
def whole_folder(path: Path, *, replaces: Collection[str], force: bool) -> Iterator[Path]:
    """A new folder to fill, which takes the name `path` at the end of the block; if that fails nothing is left of it.

    Args:
        path, replaces, force: see `refuse_occupied`.

    Raises:
        UsageError: `path` is occupied.
        EnvironmentFailure: it cannot be written.
    """
    refuse_occupied(path, replaces=replaces, force=force)
    files.make_folder(path.parent)
    token = secrets.token_hex(8)
    filled, old = (path.parent / f".zsmld-{token}.{kind}.tmp" for kind in ("new", "old"))
    try:
        files.make_folder(filled)
        yield filled
        refuse_occupied(path, replaces=replaces, force=force)
        _take_name(filled, path, old)
    finally:
        for leftover in (filled, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _take_name(filled: Path, path: Path, old: Path) -> None:
    """Let `filled` be `path`; what was there is `old` until then, and comes back where it cannot be."""
    try:
        if path.exists():
            path.rename(old)
        try:
            filled.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        files.sync_folder(path.parent)
    except OSError as error:
        raise unwritable(error, path) from error
