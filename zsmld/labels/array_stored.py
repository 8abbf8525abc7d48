"""What is in a file of arrays, before and after it is read."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.array_pickles import resolved
from zsmld.labels.array_stubs import BFLOAT16
from zsmld.labels.array_types import AnyArray, array_over, array_type

ALONE = ""
FETCH_AGAIN = "Fetch it again."
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, KeyError, IndexError, NotImplementedError,
    RuntimeError, OverflowError,
)  # fmt: skip


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors inside name `path`, and damage of any kind is an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(error.problem, path=path, remedy=error.remedy) from error
    except DAMAGED as error:
        # The libraries' messages may hold what is in the file.
        raise InputError(f"is damaged ({type(error).__name__})", path=path, remedy=FETCH_AGAIN) from error


def size_of(stream: IO[bytes]) -> int:
    """The bytes of a stream, which is left at its first."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def described(name: str, kind: np.dtype[Any], shape: tuple[int, ...], read: Callable[[], Any]) -> Stored:
    """An array of that type and shape."""
    return Stored(name, kind.kind, f"{kind.name} {_sizes(shape)}", shape, read)


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) or "one value"


def refuse(path: Path, name: str, error: InputError) -> Any:
    """Raise what is wrong with an array, once it is asked for."""
    raise InputError(f"its array {name!r} {error.problem}", path=path, remedy=error.remedy)


def over(data: bytes, code: str, shape: tuple[int, ...]) -> AnyArray:
    """The array in `data`; PyTorch's bfloat16, which NumPy does not know, as float32."""
    if code != BFLOAT16:
        return array_over(data, array_type(code), shape)
    halves = array_over(data, np.dtype("<u2"), shape)
    return (halves.astype("<u4") << 16).view("<f4")


def from_pickle(path: Path, pickled: Any) -> Contents:
    """The arrays, and lists of texts, of what `unpickled` gives.

    Raises:
        InputError: it is neither an array nor a list or dictionary.
    """
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
        return described(name, item.dtype, item.shape, lambda: item)
    texts = all(type(text) in {str, bytes} for text in item)
    return Stored(name, "U" if texts else "", f"list of {len(item)}", (len(item),), lambda: list(item))
