"""Shards of tokens on disk, and the reader over them.

A shard is `NNNNN.npy`, (n,T,C) float16, and `NNNNN.json`, which names the n photographs by the digest of their bytes,
with a CRC-32 of each one's tokens. A shard counts once its JSON is there: it is written last.

A row is checked against its CRC-32 whenever it is read. That takes microseconds, and nothing at the start, where a
digest of the whole file would read every token of the data set before the first one is used.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from zsmld import distributed, files
from zsmld.errors import InputError, unwritable
from zsmld.images.opening import ImageError

FORMAT_VERSION = 2
# A shard waits in memory until it is written: of large images it has fewer.
SHARD_IMAGES = 1024
SHARD_BYTES = 256 * 2**20
_T = TypeVar("_T")
_NOWHERE = -1
_BYTES = 2  # of a float16
_HEADER_BYTES = 128  # numpy pads the header of every array of three dimensions to these (its format 1.0)


@dataclass(frozen=True, slots=True)
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

    @property
    def capacity(self) -> int:
        """How many images a shard has at most."""
        return min(SHARD_IMAGES, max(SHARD_BYTES // self.row_size, 1))

    def write(self, digests: Sequence[str], tokens: Iterable[NDArray[np.float16]]) -> dict[str, Place]:
        """Write one more shard, n images of (T,C), and return where they lie. The folder's lock must be held.

        Processes that fill the folder together take numbers in turns, so that no two take the same.
        """
        number = max((int(path.stem) for path in self.folder.glob("*.npy") if path.stem.isdecimal()), default=-1) + 1
        number += (distributed.rank() - number) % distributed.size()
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(digests), *self.shape)}
        checksums = []
        with files.atomic_writer(array_path(self.folder, number)) as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            # One by one: a second copy of a whole shard would be hundreds of megabytes.
            for _, image in zip(digests, tokens, strict=True):
                data = np.ascontiguousarray(image, dtype="<f2").data
                checksums.append(zlib.crc32(data))
                stream.write(data)
        description = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "shape": list(self.shape),
            "images": list(digests),
            "checksums": checksums,
        }
        files.write_text(_description_path(self.folder, number), files.to_json(description))
        return _places(number, digests, checksums)

    def remove(self, number: int) -> None:
        """Remove a shard. The folder's lock must be held.

        Raises:
            EnvironmentFailure: it cannot be removed.
        """
        # In this order: what is killed in between leaves no shard, as before it is written to its end.
        for path in (_description_path(self.folder, number), array_path(self.folder, number)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(error, path) from error

    def clear(self) -> None:
        """Remove all of them. The folder's lock must be held."""
        for path in [*self.folder.glob("*.json"), *self.folder.glob("*.npy")]:
            if path.stem.isdecimal():
                self.remove(int(path.stem))

    def read_index(self) -> dict[str, Place]:
        """Where each image lies, by its digest; of one that lies twice, the newer place.

        Raises:
            InputError: a shard is of another backbone, malformed, or its arrays are missing or of another size.
        """
        places: dict[str, Place] = {}
        for _, rows in self.each():
            places |= rows
        return places

    def each(self) -> Iterator[tuple[int, dict[str, Place]]]:
        """Every shard's number, and where its images lie, in the order in which they were written.

        Raises:
            InputError: see `read_index`.
        """
        numbers = sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal())
        for number in numbers:
            yield number, self._read_shard(number)

    def _read_shard(self, number: int) -> dict[str, Place]:
        path, array = _description_path(self.folder, number), array_path(self.folder, number)
        try:
            description = files.read_json(path)
        except InputError as error:
            raise InputError(error.problem, path=path, line=error.line, remedy=_remedy(number)) from error
        if not isinstance(description, dict) or description.get("format_version") != FORMAT_VERSION:
            raise InputError("is of another version of zsmld", path=path, remedy=_remedy(number))
        if description.get("fingerprint") != self.fingerprint or description.get("shape") != list(self.shape):
            raise InputError("is of another backbone", path=path, remedy=_remedy(number))
        digests, checksums = description.get("images"), description.get("checksums")
        if not (_is_list_of(digests, str) and _is_list_of(checksums, int) and len(digests) == len(checksums)):
            raise InputError("does not name its images and their checksums", path=path, remedy=_remedy(number))
        expected = _HEADER_BYTES + len(digests) * self.row_size
        size = array.stat().st_size if array.is_file() else 0
        if size != expected:
            raise InputError(f"has {size} bytes, expected {expected}", path=array, remedy=_remedy(number))
        return _places(number, digests, checksums)

    def read(self, number: int, rows: Iterable[tuple[int, int]]) -> Iterator[NDArray[np.float16]]:
        """(T,C) of some images of a shard, each given by its row and its checksum.

        Raises:
            InputError: the shard has been removed, cut short or damaged.
        """
        path, size = array_path(self.folder, number), self.row_size
        with files.open_input(path) as stream:
            for row, checksum in rows:
                data = os.pread(stream.fileno(), size, _HEADER_BYTES + row * size)
                if len(data) != size or zlib.crc32(data) != checksum:
                    problem = f"is damaged: row {row} is not what was written"
                    raise InputError(problem, path=path, remedy=_remedy(number))
                yield np.frombuffer(data, dtype="<f2").reshape(self.shape)

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
            own = ((int(row), int(checksum)) for _, row, checksum in self.places[chosen[indices]])
            for index, image in zip(indices, self.shards.read(int(shard), own), strict=True):
                out[index] = image
        return out


def array_path(folder: Path, shard: int) -> Path:
    """The file of a shard's tokens."""
    return folder / f"{shard:05d}.npy"


def _description_path(folder: Path, shard: int) -> Path:
    return array_path(folder, shard).with_suffix(".json")


def _remedy(shard: int) -> str:
    name = array_path(Path(), shard).stem
    return f"Delete {name}.npy and {name}.json; their tokens are computed again."


def _places(shard: int, digests: Sequence[str], checksums: Sequence[int]) -> dict[str, Place]:
    rows = enumerate(zip(digests, checksums, strict=True))
    return {digest: Place(shard, row, checksum) for row, (digest, checksum) in rows}


def _is_list_of(values: object, kind: type[_T]) -> TypeGuard[list[_T]]:
    return isinstance(values, list) and all(type(value) is kind for value in values)
