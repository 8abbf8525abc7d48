"""Shards of tokens on disk, and the reader over them.

A shard is `NNNNN.npy`, (n,T,C) float16, and `NNNNN.json`, which names the n photographs by the digest of their bytes,
with a CRC-32 of each one's tokens. A shard counts once its JSON is there: it is written last.

A row is checked against its CRC-32 whenever it is read. That takes microseconds, and nothing at the start, where a
digest of the whole file would read every token of the data set before the first one is used.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from zsmld import distributed, files
from zsmld.errors import InputError
from zsmld.images.opening import ImageError

FORMAT_VERSION = 2
REMEDY = "Delete its folder; the tokens are computed again."
_T = TypeVar("_T")
_NOWHERE = -1
_BYTES = 2  # of a float16
_HEADER_BYTES = 128  # numpy pads the header of every array of three dimensions to these (its format 1.0)


@dataclass(frozen=True)
class Place:
    """Where the tokens of one photograph lie, and the CRC-32 of their bytes."""

    shard: int
    row: int
    checksum: int


@dataclass(frozen=True)
class Shards:
    """The shards of one backbone: its folder, its fingerprint, and the shape (T,C) of an image's tokens."""

    folder: Path
    fingerprint: str
    shape: tuple[int, int]

    def write(self, digests: Sequence[str], tokens: NDArray[np.float16]) -> dict[str, Place]:
        """Write one more shard, (n,T,C), and return where its images lie. The folder's lock must be held.

        Processes that fill the folder together take numbers in turns, so that no two take the same.
        """
        number = max((int(path.stem) for path in self.folder.glob("*.npy") if path.stem.isdecimal()), default=-1) + 1
        number += (distributed.rank() - number) % distributed.size()
        tokens = np.ascontiguousarray(tokens, dtype="<f2")
        checksums = [zlib.crc32(image.data) for image in tokens]
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, tokens, version=(1, 0), allow_pickle=False)
        files.write_bytes(array_path(self.folder, number), buffer.getvalue())
        description = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "shape": list(self.shape),
            "images": list(digests),
            "checksums": checksums,
        }
        files.write_text(array_path(self.folder, number).with_suffix(".json"), files.to_json(description))
        return _places(number, digests, checksums)

    def read_index(self) -> dict[str, Place]:
        """Where each image lies, by its digest.

        Raises:
            InputError: a shard is of another backbone, malformed, or its arrays are missing or of another size.
        """
        places: dict[str, Place] = {}
        for path in sorted(self.folder.glob("*.json")):
            if path.stem.isdecimal():
                places |= self._read_shard(path)
        return places

    def _read_shard(self, path: Path) -> dict[str, Place]:
        description = files.read_json(path)
        if not isinstance(description, dict) or description.get("format_version") != FORMAT_VERSION:
            raise InputError("is of another version of zsmld", path=path, remedy=REMEDY)
        if description.get("fingerprint") != self.fingerprint or description.get("shape") != list(self.shape):
            raise InputError("is of another backbone", path=path, remedy=REMEDY)
        digests, checksums = description.get("images"), description.get("checksums")
        if not (_is_list_of(digests, str) and _is_list_of(checksums, int) and len(digests) == len(checksums)):
            raise InputError("does not name its images and their checksums", path=path, remedy=REMEDY)
        array = path.with_suffix(".npy")
        expected = _HEADER_BYTES + len(digests) * self.row_size
        size = array.stat().st_size if array.is_file() else 0
        if size != expected:
            raise InputError(f"has {size} bytes, expected {expected}", path=array, remedy=REMEDY)
        return _places(int(path.stem), digests, checksums)

    @property
    def row_size(self) -> int:
        """Bytes of one image's tokens."""
        return self.shape[0] * self.shape[1] * _BYTES

    def remove_leftovers(self) -> None:
        """Remove what a killed process left. The folder's lock must be held."""
        files.remove_leftovers(self.folder)
        for array in self.folder.glob("*.npy"):
            if array.stem.isdecimal() and not array.with_suffix(".json").exists():
                array.unlink()


@dataclass(frozen=True)
class TokenStore:
    """Tokens of a list of images, read from disk row by row.

    Rows are read, not mapped: mapped pages would count as memory of this process, and grow with the data set.

    Attributes:
        errors: the images that could not be read, by row.
    """

    shards: Shards
    places: NDArray[np.int64] = field(repr=False)
    errors: Mapping[int, ImageError]

    @classmethod
    def of(cls, shards: Shards, places: Sequence[Place | None], errors: Mapping[int, ImageError]) -> TokenStore:
        """Rows in the order of `places`, None for each row of `errors`."""
        # As one array: an object for each image would outweigh the rest of the process in large data sets.
        known = [(p.shard, p.row, p.checksum) if p else (_NOWHERE, 0, 0) for p in places]
        return cls(shards, np.array(known, dtype=np.int64).reshape(-1, 3), errors)

    @property
    def tokens(self) -> int:
        """T, how many tokens an image has."""
        return self.shards.shape[0]

    @property
    def channels(self) -> int:
        """C, the width of a token."""
        return self.shards.shape[1]

    def __len__(self) -> int:
        return len(self.places)

    def read(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """(B,T,C) of these images.

        Raises:
            ImageError: one of them is among `errors`.
            InputError: a shard has been removed, cut short or damaged.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(chosen), self.tokens, self.channels), dtype=np.float32)
        shards = self.places[chosen, 0]
        for shard in np.unique(shards):
            indices = np.flatnonzero(shards == shard)
            if shard == _NOWHERE:
                raise self.errors[int(chosen[indices[0]]) % len(self)]
            self._read_from(int(shard), indices, self.places[chosen[indices]], out)
        return out

    def _read_from(
        self, shard: int, indices: NDArray[np.int64], places: NDArray[np.int64], out: NDArray[np.float32]
    ) -> None:
        size = self.shards.row_size
        path = array_path(self.shards.folder, shard)
        with files.open_input(path) as stream:
            descriptor, start = stream.fileno(), _HEADER_BYTES
            for index, (_, row, checksum) in zip(indices, places, strict=True):
                data = os.pread(descriptor, size, start + row * size)
                if len(data) != size or zlib.crc32(data) != checksum:
                    raise InputError(f"is damaged: row {row} is not what was written", path=path, remedy=REMEDY)
                out[index] = np.frombuffer(data, dtype="<f2").reshape(out.shape[1:])


def array_path(folder: Path, shard: int) -> Path:
    """The file of a shard's tokens."""
    return folder / f"{shard:05d}.npy"


def _places(shard: int, digests: Sequence[str], checksums: Sequence[int]) -> dict[str, Place]:
    rows = enumerate(zip(digests, checksums, strict=True))
    return {digest: Place(shard, row, checksum) for row, (digest, checksum) in rows}


def _is_list_of(values: object, kind: type[_T]) -> TypeGuard[list[_T]]:
    return isinstance(values, list) and all(type(value) is kind for value in values)
