"""Files that hold arrays, told by their content: NumPy's, safetensors, PyTorch's, pickles.

Each becomes a list of `Stored`: what is known of an array before it is read, and how to read it.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels import array_npy
from zsmld.labels.array_pickles import LEGACY_TORCH, is_pickle, resolved, unpickled
from zsmld.labels.array_stubs import BFLOAT16
from zsmld.labels.array_types import AnyArray, array_over, array_type, checked_shape

ALONE = ""
_HEAD = 4096
_MOST_MEMBERS = 10_000
_LONGEST_JSON = 8 << 20
_GENEROUS = 16 << 20
_DENSEST = 200
_SAFETENSORS = {
    "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": BFLOAT16, "BOOL": "b1",
    "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, KeyError, IndexError, NotImplementedError,
    RuntimeError, OverflowError,
)  # fmt: skip
_FETCH_AGAIN = "Fetch it again."


@dataclass(frozen=True)
class Stored:
    """An array, or a list of texts, in a file.

    Attributes:
        name: its name among the others; `ALONE` where the file holds nothing else.
        kind: NumPy's letter: `f` numbers with a fraction, `U` or `S` texts, and so on; empty where it cannot be read.
        about: its type and shape, for people.
        shape: its sizes, (L,) for a list.
        read: its values, a `list[Any]` where it is one.
    """

    name: str
    kind: str
    about: str
    shape: tuple[int, ...]
    read: Callable[[], Any]


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        stored: the arrays and lists.
        in_order: they have no names, only places: a pickled list of arrays.
        value: what a pickle stands for, else None.
        metadata: the texts of a safetensors file.
    """

    stored: list[Stored]
    in_order: bool = False
    value: Any = None
    metadata: dict[str, Any] | None = None


def form_of(path: Path) -> str | None:
    """`npy`, `npz`, `torch`, `safetensors`, `pickle`, or None for a file that is none of these.

    Raises:
        InputError: absent or unreadable.
    """
    with files.open_input(path) as stream:
        head = stream.read(_HEAD)
        size = stream.seek(0, io.SEEK_END)
        if head.startswith(array_npy.MAGIC):
            return "npy"
        if head.startswith(b"PK\x03\x04"):
            return _zip_form(stream)
        length = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and 2 <= length <= size - 8:
            return "safetensors"
        return "pickle" if is_pickle(head) else None


def _zip_form(stream: IO[bytes]) -> str | None:
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.namelist()
    except _DAMAGED:
        return None
    if any(name.endswith("/data.pkl") for name in members):
        return "torch"
    return "npz" if members and all(name.endswith(".npy") for name in members) else None


def open_contents(path: Path) -> Contents:
    """What the file at `path` holds; pickles are read whole, of the others only what describes the arrays.

    Raises:
        InputError: absent, malformed, or no file of arrays.
    """
    form = form_of(path)
    if form is None:
        raise InputError("is no file of arrays: NumPy's, safetensors, PyTorch's or a pickle of them", path=path)
    with _named(path):
        return _READERS[form](path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors inside name `path`, and damage of any kind is an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(error.problem, path=path, remedy=error.remedy) from error
    except _DAMAGED as error:
        # The libraries' messages may hold what is in the file.
        raise InputError(f"is damaged ({type(error).__name__})", path=path, remedy=_FETCH_AGAIN) from error


def _size(stream: IO[bytes]) -> int:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def _npy(path: Path) -> Contents:
    with files.open_input(path) as stream:
        header = array_npy.read_header(stream)
    return Contents([_described(ALONE, header.kind, header.shape, partial(_read_npy, path))])


def _described(name: str, kind: np.dtype[Any], shape: tuple[int, ...], read: Callable[[], Any]) -> Stored:
    return Stored(name, kind.kind, f"{kind.name} {_sizes(shape)}", shape, read)


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) or "one value"


def _read_npy(path: Path) -> AnyArray:
    with _named(path), files.open_input(path) as stream:
        size = _size(stream)
        header = array_npy.read_header(stream)
        return array_npy.read_values(stream, header, size)


@contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    with files.open_input(path) as stream:
        size = _size(stream)
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


def _npz(path: Path) -> Contents:
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
        return Stored(name, "", "unreadable", (), partial(_refuse, path, name, error))
    return _described(name, header.kind, header.shape, partial(_read_npz, path, member))


def _refuse(path: Path, name: str, error: InputError) -> Any:
    raise InputError(f"its array {name!r} {error.problem}", path=path, remedy=error.remedy)


def _read_npz(path: Path, member: str) -> AnyArray:
    with _named(path), _archive(path) as (archive, members):
        info = members[member]
        with _member(archive, info) as stream:
            return array_npy.read_values(stream, array_npy.read_header(stream), info.file_size)


def _safetensors(path: Path) -> Contents:
    with files.open_input(path) as stream:
        size = _size(stream)
        start = 8 + int.from_bytes(stream.read(8), "little")
        if start > min(size, _LONGEST_JSON):
            raise InputError(f"is a safetensors file with a header of {start - 8} bytes")
        header = _json(stream.read(start - 8))
    metadata = header.pop("__metadata__", {})
    stored = [_tensor(path, name, entry, start, size) for name, entry in header.items()]
    return Contents(stored, metadata=metadata if isinstance(metadata, dict) else {})


def _json(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError("is no whole safetensors file: its header is not JSON", remedy=_FETCH_AGAIN) from error
    if not isinstance(header, dict):
        raise InputError("is no safetensors file: its header is no table")
    return header


def _tensor(path: Path, name: str, entry: Any, start: int, size: int) -> Stored:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise InputError(f"is no safetensors file: it does not describe {name[:60]!r}")
    offsets = entry.get("data_offsets")
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        raise InputError(f"is no safetensors file: it does not say where {name[:60]!r} lies")
    begin, end = offsets
    if not 0 <= begin <= end <= size - start:
        raise InputError(f"ends within the tensor {name[:60]!r}", remedy=_FETCH_AGAIN)
    code = _SAFETENSORS.get(entry["dtype"], "")
    shape = entry.get("shape")
    if not code or shape == [] or (isinstance(shape, list) and 0 in shape):
        return Stored(name, "", f"{entry['dtype'][:20]!r} {shape!r:.60}", (), partial(_refuse, path, name, _NO_NUMBERS))
    kind = np.dtype("f4") if code == BFLOAT16 else array_type(code)
    read = partial(_read_tensor, path, start + begin, end - begin, code, checked_shape(shape))
    return _described(name, kind, checked_shape(shape), read)


_NO_NUMBERS = InputError("holds no numbers")


def _read_tensor(path: Path, start: int, count: int, code: str, shape: tuple[int, ...]) -> AnyArray:
    with _named(path), files.open_input(path) as stream:
        stream.seek(start)
        data = stream.read(count)
        if len(data) != count:
            raise InputError("ends within its values", remedy=_FETCH_AGAIN)
        return over(data, code, shape)


def over(data: bytes, code: str, shape: tuple[int, ...]) -> AnyArray:
    """The array in `data`; PyTorch's bfloat16, which NumPy does not know, as float32."""
    if code != BFLOAT16:
        return array_over(data, array_type(code), shape)
    halves = array_over(data, np.dtype("<u2"), shape)
    return (halves.astype("<u4") << 16).view("<f4")


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
            raise InputError(f"is a PyTorch file without its part {name[:60]!r}", remedy=_FETCH_AGAIN)
        with _member(self.archive, info) as stream:
            data = stream.read()
        if len(data) != info.file_size:
            raise InputError("is a truncated PyTorch file", remedy=_FETCH_AGAIN)
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


def _torch(path: Path) -> Contents:
    with _archive(path) as (archive, members):
        roots = [name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise InputError(f"is a PyTorch file with {len(roots)} pickles, expected one")
        info = members[f"{roots[0]}/data.pkl"]
        storages = _Storages(archive, members, roots[0])
        with _member(archive, info) as stream:
            value = unpickled(stream, info.file_size, path, storages=storages)
    return _from_pickle(path, value)


def _pickle(path: Path) -> Contents:
    with files.open_input(path) as stream:
        size = _size(stream)
        if stream.read(len(LEGACY_TORCH)) == LEGACY_TORCH:
            raise InputError(
                "is in the form that PyTorch wrote before 1.6",
                remedy="Load it where it was made and save it anew with torch.save, or with numpy.savez.",
            )
        stream.seek(0)
        return _from_pickle(path, unpickled(stream, size, path))


def _from_pickle(path: Path, pickled: Any) -> Contents:
    value = resolved(pickled)
    if isinstance(value, np.ndarray):
        return Contents([_known(ALONE, value)], value=value)
    if isinstance(value, dict):
        items = [(_key(key), resolved(item)) for key, item in value.items()]
        return Contents([_known(name, item) for name, item in items if _is_kept(item)], value=value)
    if isinstance(value, (list, tuple)):
        parts = [resolved(item) for item in value]
        arrays = [_known(str(at), item) for at, item in enumerate(parts) if isinstance(item, np.ndarray)]
        return Contents(arrays, in_order=True, value=parts)
    raise InputError(f"is a pickle of one {type(value).__name__}, expected arrays", path=path)


def _key(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _is_kept(item: Any) -> bool:
    return isinstance(item, (np.ndarray, list, tuple))


def _known(name: str, item: Any) -> Stored:
    if isinstance(item, np.ndarray):
        return _described(name, item.dtype, item.shape, lambda: item)
    texts = all(type(text) in {str, bytes} for text in item)
    return Stored(name, "U" if texts else "", f"list of {len(item)}", (len(item),), lambda: list(item))


_READERS = {"npy": _npy, "npz": _npz, "safetensors": _safetensors, "torch": _torch, "pickle": _pickle}
