"""Types and shapes that an array in a file may have, checked before NumPy hears of them.

What a file says of itself is not to be trusted: its numbers are compared with the bytes that are there, and only the
types below are ever made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld.errors import InputError

AnyArray = NDArray[Any]
MOST_DIMENSIONS = 8
_CODE = re.compile(r"([<>=|]?)(f[248]|[iu][1248]|b1|c8|c16|U[0-9]{1,5}|S[0-9]{1,5})", re.ASCII)
_HIGHEST_CODE_POINT = 0x10FFFF


def array_type(code: str) -> np.dtype[Any]:
    """The type that NumPy's `code`, such as `<f4` or `U12`, stands for.

    Raises:
        InputError: no numbers or texts of a fixed size; Python objects among them.
    """
    if not _CODE.fullmatch(code):
        named = "Python objects" if code.lstrip("<>=|").startswith("O") else f"values of the type {shortened(code)}"
        raise InputError(f"holds {named}, expected numbers or texts", remedy="Save plain numbers and texts.")
    return np.dtype(code)


def shortened(text: str) -> str:
    """`text` quoted for a message: what a hostile file holds may be long, or no character to print."""
    return repr(text[:60]) + ("..." if len(text) > 60 else "")


def checked_shape(shape: Any) -> tuple[int, ...]:
    """`shape` where it is that of an array with at least one value.

    Raises:
        InputError: it is not.
    """
    if not isinstance(shape, (tuple, list)) or not all(type(size) is int for size in shape):
        raise InputError("an array's shape is no list of numbers")
    if len(shape) > MOST_DIMENSIONS:
        raise InputError(f"an array has {len(shape)} dimensions, expected words × numbers")
    if any(not 1 <= size < 1 << 48 for size in shape):
        raise InputError("an array has a dimension that is empty or no array's")
    return tuple(shape)


def bytes_of(shape: Sequence[int], kind: np.dtype[Any]) -> int:
    """How many bytes an array of that shape and type has."""
    return math.prod(shape) * kind.itemsize


def array_over(data: bytes, kind: np.dtype[Any], shape: Any, *, columns_first: bool = False) -> AnyArray:
    """The array that lies in `data`, without a copy.

    Raises:
        InputError: its shape and type do not ask for exactly the bytes that are there.
    """
    sizes = checked_shape(shape)
    there = len(data)
    if kind.itemsize == 0 or bytes_of(sizes, kind) != there:
        raise InputError(f"an array of shape {sizes} and type {kind} does not fit its {there} bytes")
    return np.frombuffer(data, kind).reshape(sizes, order="F" if columns_first else "C")


def texts_in(array: AnyArray) -> list[str]:
    """The texts of a one-dimensional array of fixed-size texts.

    Raises:
        InputError: bytes that are no text.
    """
    if array.ndim != 1:
        raise InputError(f"an array of texts has {array.ndim} dimensions, expected one")
    if array.dtype.kind == "S":
        return [text_of(item) for item in array.tolist()]
    points = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
    if points.size and int(points.max()) > _HIGHEST_CODE_POINT:
        raise InputError("an array of texts holds what is no character")
    return [str(item) for item in array.tolist()]


def text_of(value: Any) -> str:
    """`value`, a text or the bytes of one in UTF-8, as text.

    Raises:
        InputError: it is neither.
    """
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"a text is not UTF-8 ({value[:20]!r})") from error
    if type(value) is not str:
        raise InputError(f"holds {type(value).__name__}, where a text was expected")
    return value
