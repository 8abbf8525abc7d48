"""Bring an index of photographs up to date: what is new is computed, what is gone is left out.

Tokens are found by the digest of a photograph's bytes: one that was moved, renamed or copied is read again, not
computed again. Those that no photograph needs any more are removed at the end (`reclaiming.py`).
"""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsmld import files
from zsmld.errors import UsageError
from zsmld.images.backbones import Backbone
from zsmld.images.known_files import State, state_of
from zsmld.images.manifest import FILE_NAME, Manifest
from zsmld.images.opening import ImageError
from zsmld.images.photo_index import TOKENS, check_backbone
from zsmld.images.reclaiming import reclaim
from zsmld.images.token_cache import Filling, turn
from zsmld.images.token_store import Shards


@dataclass(frozen=True)
class IndexChanges:
    """What bringing an index up to date has changed, in numbers of photographs.

    Those that were given are `added` + `changed` + `unchanged` + `failed`.

    Attributes:
        added: new in the index.
        changed: of other bytes than before.
        deleted: not there any more, and no more in the index.
        unchanged: as before.
        computed: tokens that the backbone had to compute; those of a renamed photograph were there.
        failures: of the photographs that cannot be read, now or since before.
    """

    added: int
    changed: int
    deleted: int
    unchanged: int
    computed: int
    failures: tuple[ImageError, ...] = ()

    @property
    def failed(self) -> int:
        """How many photographs cannot be read."""
        return len(self.failures)

    @property
    def given(self) -> int:
        """How many photographs were given, each counted once."""
        return self.added + self.changed + self.unchanged + self.failed

    def told(self) -> str:
        """The numbers as a line."""
        names = ("added", "changed", "deleted", "unchanged", "failed")
        return ", ".join(f"{name} {getattr(self, name):,}" for name in names)


def update_index(
    folder: Path,
    backbone: Backbone,
    paths: Sequence[Path],
    *,
    inputs: Sequence[Path] = (),
    batch_size: int = 16,
    force: bool = False,
) -> IndexChanges:
    """Bring the index in `folder` up to date, or make it; waits for another process that does so.

    What has been computed is kept, however the process ends, up to the last shard: a minute's work, or 1,024
    photographs.

    Args:
        folder: of the index; its own.
        backbone: on the device that it should compute on; it is put in eval mode.
        paths: photographs to take in, or to look at again.
        inputs: folders that were searched for them. What the index knows below these, and is not there any more, is
            left out of it; photographs elsewhere stay.
        batch_size: images that the backbone gets at once.
        force: forget what the index holds.

    Raises:
        UsageError: `folder` holds something else.
        InputError: it holds an index of another backbone, or a damaged one.
        EnvironmentFailure: the disk is full, or the folder is read-only; what was there can be used.
    """
    _refuse_other_folder(folder)
    shards = Shards(folder / TOKENS, backbone.fingerprint, (backbone.tokens, backbone.channels))
    with turn(folder):
        files.remove_leftovers(folder)
        if force:
            # The manifest stays till the last: a folder without one is not taken for an index.
            shards.clear()
        manifest = Manifest(folder, shards.fingerprint, shards.shape)
        if not force and (folder / FILE_NAME).exists():
            manifest = Manifest.read(folder)
            remedy = "Give another folder with --index, or make this index anew with --force."
            check_backbone(manifest, shards.fingerprint, shards.shape, remedy)
        manifest.save()
        shards.remove_leftovers()
        changes = _taken_in(Filling(shards, backbone.eval(), manifest, batch_size), manifest, paths, inputs)
        reclaim(shards, {entry.digest for entry in manifest.entries.values() if entry.digest})
    return changes


@dataclass(frozen=True)
class _News:
    """A photograph that is to be read: its state before that, and the digest that it had in the index.

    The digest is None of one that is new there, and empty of one that could not be read.
    """

    path: Path
    state: State | None
    before: str | None


def _taken_in(filling: Filling, manifest: Manifest, paths: Sequence[Path], inputs: Sequence[Path]) -> IndexChanges:
    given = {manifest.name_of(path): path for path in paths}
    there = len(filling.places)
    news: list[_News] = []
    failures: list[ImageError] = []
    for name, path in given.items():
        state, entry = state_of(path), manifest.entries.get(name)
        if entry is None or entry.state != state or (entry.digest and entry.digest not in filling.places):
            news.append(_News(path, state, None if entry is None else entry.digest or ""))
        elif not entry.digest:
            failures.append(ImageError(entry.problem, path=path, remedy=entry.remedy))
    unchanged = len(given) - len(news) - len(failures)
    try:
        digests, errors = filling.take([each.path for each in news])
    finally:
        # Also on Ctrl-C: what has been computed is kept.
        filling.write()
    for row, error in errors.items():
        manifest.fail(news[row].path, news[row].state, error)
    gone = _gone(manifest, given, inputs)
    manifest.forget(gone)
    manifest.finish()
    read = [(each.before, digest) for each, digest in zip(news, digests, strict=True) if digest is not None]
    return IndexChanges(
        added=sum(before is None for before, _ in read),
        changed=sum(before is not None and before != digest for before, digest in read),
        deleted=len(gone),
        unchanged=unchanged + sum(before == digest for before, digest in read),
        computed=len(filling.places) - there,
        failures=tuple(sorted([*failures, *errors.values()], key=lambda error: str(error.path))),
    )


def _gone(manifest: Manifest, given: Container[str], inputs: Sequence[Path]) -> list[str]:
    """What is below the folders in the manifest, and not on the disk."""
    roots = tuple(os.path.realpath(each).rstrip("/") + "/" for each in inputs if each.is_dir())
    return [name for name in manifest.entries if name not in given and name.startswith(roots) and _is_gone(name)]


def _is_gone(name: str) -> bool:
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # A folder that cannot be looked into holds what it held.
        return False
    return False


def _refuse_other_folder(folder: Path) -> None:
    """Refuse a folder that somebody uses for something else, such as that of the photographs themselves."""
    if not folder.is_dir() or (folder / FILE_NAME).exists():
        return
    if any(not path.name.startswith((".lock", ".zsmld-")) for path in folder.iterdir()):
        raise UsageError(
            "is no index of photographs, and not empty", path=folder, remedy="Give a folder of its own with --index."
        )
