"""Files that hold arrays, told by their content: NumPy's, safetensors, PyTorch's, pickles.

Each becomes a list of `Stored`: what is known of an array before it is read, and how to read it.
"""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels import array_npy
from zsmld.labels.array_pickles import LEGACY_TORCH, is_pickle, unpickled
from zsmld.labels.array_stored import (
    ALONE,
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
from zsmld.labels.array_types import AnyArray, array_type, checked_shape
from zsmld.labels.array_zips import open_npz, open_torch, zip_form

_HEAD = 4096
_LONGEST_JSON = 8 << 20
_SAFETENSORS = {
    "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": BFLOAT16, "BOOL": "b1",
    "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip


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
            return zip_form(stream)
        length = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and 2 <= length <= size - 8:
            return "safetensors"
        return "pickle" if is_pickle(head) else None


def open_contents(path: Path) -> Contents:
    """What the file at `path` holds; pickles are read whole, of the others only what describes the arrays.

    Raises:
        InputError: absent, malformed, or no file of arrays.
    """
    form = form_of(path)
    if form is None:
        raise InputError("is no file of arrays: NumPy's, safetensors, PyTorch's or a pickle of them", path=path)
    with naming(path):
        return _READERS[form](path)


def _npy(path: Path) -> Contents:
    with files.open_input(path) as stream:
        header = array_npy.read_header(stream)
    return Contents([described(ALONE, header.kind, header.shape, partial(_read_npy, path))])


def _read_npy(path: Path) -> AnyArray:
    with naming(path), files.open_input(path) as stream:
        size = size_of(stream)
        header = array_npy.read_header(stream)
        return array_npy.read_values(stream, header, size)


def _safetensors(path: Path) -> Contents:
    with files.open_input(path) as stream:
        size = size_of(stream)
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
        raise InputError("is no whole safetensors file: its header is not JSON", remedy=FETCH_AGAIN) from error
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
        raise InputError(f"ends within the tensor {name[:60]!r}", remedy=FETCH_AGAIN)
    code = _SAFETENSORS.get(entry["dtype"], "")
    shape = entry.get("shape")
    if not code or shape == [] or (isinstance(shape, list) and 0 in shape):
        return Stored(name, "", f"{entry['dtype'][:20]!r} {shape!r:.60}", (), partial(refuse, path, name, _NO_NUMBERS))
    kind = np.dtype("f4") if code == BFLOAT16 else array_type(code)
    read = partial(_read_tensor, path, start + begin, end - begin, code, checked_shape(shape))
    return described(name, kind, checked_shape(shape), read)


_NO_NUMBERS = InputError("holds no numbers")


def _read_tensor(path: Path, start: int, count: int, code: str, shape: tuple[int, ...]) -> AnyArray:
    with naming(path), files.open_input(path) as stream:
        stream.seek(start)
        data = stream.read(count)
        if len(data) != count:
            raise InputError("ends within its values", remedy=FETCH_AGAIN)
        return over(data, code, shape)


def _pickle(path: Path) -> Contents:
    with files.open_input(path) as stream:
        size = size_of(stream)
        if stream.read(len(LEGACY_TORCH)) == LEGACY_TORCH:
            raise InputError(
                "is in the form that PyTorch wrote before 1.6",
                remedy="Load it where it was made and save it anew with torch.save, or with numpy.savez.",
            )
        stream.seek(0)
        return from_pickle(path, unpickled(stream, size, path))


_READERS = {"npy": _npy, "npz": open_npz, "safetensors": _safetensors, "torch": open_torch, "pickle": _pickle}
