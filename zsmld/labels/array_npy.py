"""NumPy's `.npy`: a magic number, a header that looks like a Python dictionary, and the numbers.

The header is matched, never evaluated, and believed only where the file has exactly the bytes that it promises.
The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.array_types import AnyArray, array_type, bytes_of, checked_shape, shortened

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # NumPy's own bound
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}
_ENTRY = re.compile(r"\s*'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\d\sL,]*\)|\[[^\]]*\])\s*")


@dataclass(frozen=True)
class Header:
    """What an `.npy` says of its array.

    Attributes:
        kind: the type of its values.
        shape: its sizes, each at least 1.
        columns_first: Fortran's order.
        start: where the values begin, in bytes.
    """

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    columns_first: bool
    start: int


def read_header(stream: IO[bytes]) -> Header:
    """The header of the `.npy` in `stream`, which is left where the values begin.

    Raises:
        InputError: no `.npy`, or an array of anything but numbers and texts.
    """
    magic = stream.read(8)
    width = _LENGTH_BYTES.get(magic[6:])
    if not magic.startswith(MAGIC) or width is None:
        raise InputError("is no NumPy array file of a known version")
    length = int.from_bytes(stream.read(width), "little")
    raw = stream.read(min(length, _LONGEST_HEADER + 1))
    if not length <= _LONGEST_HEADER or len(raw) != length:
        raise InputError(f"is a NumPy array file with a header of {length} bytes, {len(raw)} follow")
    entries = _entries(raw.decode("latin-1"))
    kind = array_type(entries["descr"].strip("'"))
    sizes = [size.strip().rstrip("L") for size in entries["shape"].strip("()").split(",") if size.strip()]
    if not all(size.isdecimal() and len(size) < 18 for size in sizes):
        raise InputError(f"is a NumPy array file of the shape {shortened(entries['shape'])}")
    shape = checked_shape([int(size) for size in sizes])
    return Header(kind, shape, entries["fortran_order"] == "True", 8 + width + length)


def _entries(text: str) -> dict[str, str]:
    inner = text.strip()
    entries: dict[str, str] = {}
    at = 1
    while found := _ENTRY.match(inner, at):
        entries[found[1]] = found[2]
        at = found.end() + 1
        if inner[at - 1 : at] != ",":
            break
    closed = inner.startswith("{") and inner[at - 1 :].strip(", ") in {"}", ""} and inner.endswith("}")
    stated = len(entries) == 3 and entries["shape"][0] == "(" and entries["fortran_order"] in {"True", "False"}
    if not closed or not stated or entries["descr"][0] != "'":
        raise InputError(
            f"is a NumPy array file with the header {shortened(inner)}, expected one array of numbers or texts"
        )
    return entries


def read_values(stream: IO[bytes], header: Header, size: int) -> AnyArray:
    """The array after `header`, read into its final place.

    Args:
        stream: where the values begin.
        header: its header.
        size: the bytes of the whole file.

    Raises:
        InputError: the file does not hold exactly the promised bytes.
    """
    promised = bytes_of(header.shape, header.kind)
    if promised != size - header.start or promised == 0:
        raise InputError(
            f"promises {promised} bytes of {header.kind} {header.shape}, {size - header.start} follow the header",
            remedy="Fetch it again.",
        )
    values = np.empty(promised // header.kind.itemsize, header.kind)
    rest = values.view(np.uint8).data
    while rest:
        count = stream.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise InputError("ends within its values", remedy="Fetch it again.")
        rest = rest[count:]
    return values.reshape(header.shape, order="F" if header.columns_first else "C")
