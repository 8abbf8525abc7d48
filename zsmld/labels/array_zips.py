"""Zip archives of arrays: NumPy's `.npz` and what PyTorch's `save` writes, none of which may grow without bounds."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels import array_npy
from zsmld.labels.array_pickles import unpickled
from zsmld.labels.array_stored import (
    DAMAGED,
    FETCH_AGAIN,
    Contents,
    Stored,
    described,
    from_pickle,
    naming,
    over,
    refuse,
    size_of,
)
from zsmld.labels.array_stubs import BFLOAT16
from zsmld.labels.array_types import AnyArray

_MOST_MEMBERS = 10_000
_GENEROUS = 16 << 20
_DENSEST = 200


def zip_form(stream: IO[bytes]) -> str | None:
    """`npz`, `torch`, or None for another archive, or none at all."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.namelist()
    except DAMAGED:
        return None
    if any(name.endswith("/data.pkl") for name in members):
        return "torch"
    return "npz" if members and all(name.endswith(".npy") for name in members) else None


@contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    with files.open_input(path) as stream:
        size = size_of(stream)
        with zipfile.ZipFile(stream) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if len(members) != len(archive.infolist()) or len(members) > _MOST_MEMBERS:
                raise InputError("is a zip archive that holds a name twice, or too many of them")
            if sum(info.compress_size for info in members.values()) > size:
                raise InputError("is a zip archive whose members overlap")
            yield archive, members


@contextmanager
def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} or info.flag_bits & 1:
        raise InputError("is a zip archive that is encrypted, or packed in a way that NumPy does not")
    if info.file_size > max(_GENEROUS, _DENSEST * info.compress_size):
        raise InputError(f"is a zip archive that {info.compress_size} bytes would unpack to {info.file_size}")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise InputError("is a zip archive with two sizes of one member")
    with archive.open(info) as stream:
        yield stream


def open_npz(path: Path) -> Contents:
    """What the `.npz` at `path` holds."""
    stored = []
    with _archive(path) as (archive, members):
        for name, info in members.items():
            with _member(archive, info) as stream:
                stored.append(_npz_member(path, name, stream))
    return Contents(stored)


def _npz_member(path: Path, member: str, stream: IO[bytes]) -> Stored:
    name = member.removesuffix(".npy")
    try:
        header = array_npy.read_header(stream)
    except InputError as error:
        # It may be one that nobody asks for.
        return Stored(name, "", "unreadable", (), partial(refuse, path, name, error))
    return described(name, header.kind, header.shape, partial(_read_npz, path, member))


def _read_npz(path: Path, member: str) -> AnyArray:
    with naming(path), _archive(path) as (archive, members):
        info = members[member]
        with _member(archive, info) as stream:
            return array_npy.read_values(stream, array_npy.read_header(stream), info.file_size)


class _Storages:
    """The storages of a PyTorch archive, each read once."""

    def __init__(self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], prefix: str) -> None:
        self.archive = archive
        self.members = members
        self.prefix = prefix
        self.read: dict[tuple[str, str], AnyArray] = {}
        self.order = "<"
        if f"{prefix}/byteorder" in members and self._bytes("byteorder") == b"big":
            self.order = ">"

    def _bytes(self, name: str) -> bytes:
        info = self.members.get(f"{self.prefix}/{name}")
        if info is None or info.compress_type != zipfile.ZIP_STORED:
            raise InputError(f"is a PyTorch file without its part {name[:60]!r}", remedy=FETCH_AGAIN)
        with _member(self.archive, info) as stream:
            data = stream.read()
        if len(data) != info.file_size:
            raise InputError("is a truncated PyTorch file", remedy=FETCH_AGAIN)
        return data

    def __call__(self, key: str, code: str, count: int) -> AnyArray:
        if not re.fullmatch(r"[0-9]{1,9}", key, re.ASCII):
            raise InputError(f"refers to the storage {key[:60]!r}, expected a number")
        if any(known == key and kind != code for known, kind in self.read):
            raise InputError("is a PyTorch file with two types of one storage")
        if (key, code) not in self.read:
            data = self._bytes(f"data/{key}")
            swapped = code if code == BFLOAT16 or self.order == "<" else f">{code}"
            if code == BFLOAT16 and self.order == ">":
                raise InputError("holds bfloat16 of a big-endian machine", remedy="Save it as float32.")
            self.read[key, code] = over(data, swapped, (count,))
        return self.read[key, code]


def open_torch(path: Path) -> Contents:
    """What the PyTorch file at `path` holds."""
    with _archive(path) as (archive, members):
        roots = [name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise InputError(f"is a PyTorch file with {len(roots)} pickles, expected one")
        info = members[f"{roots[0]}/data.pkl"]
        storages = _Storages(archive, members, roots[0])
        with _member(archive, info) as stream:
            value = unpickled(stream, info.file_size, path, storages=storages)
    return from_pickle(path, value)
