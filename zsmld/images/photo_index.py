"""An index of photographs: their tokens on disk, kept up to date, so that new words cost the decoder alone.

    DIR/manifest.safetensors        the photographs, and what is known of each (`manifest.py`)
    DIR/tokens/NNNNN.npy, .json     shards of their tokens (`token_store.py`)

`index_update.py` writes it; readers need no lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from zsmld.errors import InputError
from zsmld.images.known_files import State, state_of
from zsmld.images.manifest import FILE_NAME, Manifest
from zsmld.images.opening import ImageError
from zsmld.images.token_store import Shards, TokenStore

TOKENS = "tokens"


class Stale(NamedTuple):
    """How many photographs of an index are not as it knows them."""

    changed: int
    deleted: int


class PhotoIndex:
    """Reads an index; rows are its photographs, in the order of their paths.

        index = PhotoIndex.open(folder, fingerprint=backbone.fingerprint, shape=(backbone.tokens, backbone.channels))
        good = [row for row in range(len(index)) if row not in index.errors]
        tokens = index.read(good[:32])

    Attributes:
        paths: of the photographs: relative to the current folder where they are below it, whole elsewhere.
        errors: those that could not be read, by row.
        updated: when the index was last brought up to date.
        finished: whether that went to its end: if not, photographs may be lacking.
    """

    def __init__(self, manifest: Manifest, shards: Shards, state: State | None) -> None:
        self._manifest, self._state = manifest, state
        self.paths: Sequence[Path] = _Paths(list(manifest.entries))
        self.errors: Mapping[int, ImageError] = {
            row: ImageError(entry.problem, path=self.paths[row], remedy=entry.remedy)
            for row, entry in enumerate(manifest.entries.values())
            if entry.digest is None
        }
        self.updated: datetime = manifest.updated
        self.finished = manifest.finished
        self._store = self._found(shards)

    @classmethod
    def open(cls, folder: Path, *, fingerprint: str, shape: tuple[int, int]) -> PhotoIndex:
        """The index in `folder`, of the backbone of this fingerprint, whose tokens are of `shape` (T,C).

        Raises:
            InputError: there is none, it is of another backbone, damaged, or lacks tokens.
        """
        state = state_of(folder / FILE_NAME)
        manifest = Manifest.read(folder)
        check_backbone(manifest, fingerprint, shape, "Take the model that it was made with, or make another index.")
        return cls(manifest, Shards(folder / TOKENS, fingerprint, shape), state)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """(n,T,C) of these photographs; they are kept in half precision.

        Raises:
            ImageError: one of them is among `errors`.
            InputError: its tokens are damaged, or have been removed.
        """
        try:
            return self._store.read(rows)
        except InputError as error:
            if isinstance(error, ImageError) or state_of(self._manifest.folder / FILE_NAME) == self._state:
                raise
            # Shards were written anew without the rows that are not needed any more.
            raise InputError(
                "was brought up to date while it was read", path=self._manifest.folder, remedy="Run the command again."
            ) from error

    def _found(self, shards: Shards) -> TokenStore:
        places, entries = shards.read_index(), self._manifest.entries.values()
        missing = sum(entry.digest is not None and entry.digest not in places for entry in entries)
        if missing:
            raise InputError(
                f"lacks the tokens of {missing:,} of {len(entries):,} photographs", path=self._manifest.folder,
                remedy="Run zsmld index again.",
            )  # fmt: skip
        return TokenStore.of(shards, [places[e.digest] if e.digest else None for e in entries], self.errors)

    def stale(self) -> Stale:
        """How many photographs have been changed or deleted since they were read; looks at every file, opens none."""
        changed = deleted = 0
        for name, entry in self._manifest.entries.items():
            state = state_of(name)
            deleted += state is None
            changed += state is not None and state != entry.state
        return Stale(changed, deleted)


class _Paths(Sequence[Path]):
    """Names as paths, made when they are asked for: a hundred thousand would take more memory than all that is known
    of the photographs."""

    def __init__(self, names: list[str]) -> None:
        self._names, self._here = names, os.getcwd().rstrip("/") + "/"  # noqa: PTH109

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, row: int) -> Path: ...
    @overload
    def __getitem__(self, row: slice) -> list[Path]: ...
    def __getitem__(self, row: int | slice) -> Path | list[Path]:
        if isinstance(row, slice):
            return [Path(name.removeprefix(self._here)) for name in self._names[row]]
        return Path(self._names[row].removeprefix(self._here))


def check_backbone(manifest: Manifest, fingerprint: str, shape: tuple[int, int], remedy: str) -> None:
    """Refuse an index of another backbone.

    Raises:
        InputError: its fingerprint, or the shape of its tokens, is another one.
    """
    if (manifest.fingerprint, manifest.shape) != (fingerprint, shape):
        (tokens, channels), (own_tokens, own_channels) = shape, manifest.shape
        problem = f"holds tokens of another backbone: {own_tokens} × {own_channels} a photograph"
        if shape != manifest.shape:
            problem += f", the model's has {tokens} × {channels}"
        raise InputError(problem, path=manifest.folder, remedy=remedy)
