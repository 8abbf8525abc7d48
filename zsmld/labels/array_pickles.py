"""Pickled arrays and word lists, read without running anything that is in them.

A pickle is a program. The one that runs here knows numbers, texts, bytes, lists, tuples and dictionaries, and a few
names that pickled NumPy arrays and PyTorch tensors need, all of them stand-ins (`array_stubs`); whatever else a pickle
asks for ends its reading. It is Python's own interpreter in Python, not the one in C, whose memo can be made to
take all memory. Time and memory are bounded by the size of the file and `MOST_STEPS`.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.array_stubs import Dictionary, Named, PickledArray, PickledType, checked_key, names
from zsmld.labels.array_types import AnyArray

MOST_STEPS = 4_000_000
_LONGEST_NUMBER = 64
_REMEDY = "Save the arrays with numpy.savez, or as safetensors."
LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
# Protocols 2 to 5 say so; the older ones are told by what arrays, lists and dictionaries of texts begin with.
_START = re.compile(
    rb"\x80[\x02-\x05]|\(+[ld]p\d+\n|\([VSI][^\n]{1,200}\np\d+\n|[\]}]q\x00"
    rb"|\(*c(?:numpy[\w.]*|torch[\w.]*|_codecs|collections|builtins|__builtin__|os|posix|nt|subprocess)\n"
)
_MALFORMED = (
    pickle.UnpicklingError, EOFError, IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError,
    AssertionError, RecursionError, struct.error,
)  # fmt: skip
_WHOLE = {np.ndarray, list, tuple, dict, Dictionary, str, bytes, int, bool, float, type(None)}
Storages = Callable[[str, str, int], AnyArray]


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins with `head` is a pickle."""
    return _START.match(head) is not None


def unpickled(stream: IO[bytes], size: int, path: Path, *, storages: Storages | None = None) -> Any:
    """What the pickle in `stream`, `size` bytes long, stands for; NumPy arrays in it by way of `resolved`.

    Args:
        stream: at the pickle's first byte.
        size: how many bytes there are.
        path: the file, for errors.
        storages: (key, type code, count) → the numbers of a PyTorch storage; None where there are none.

    Raises:
        InputError: truncated or damaged, or it asks for anything but arrays, lists, dictionaries, texts and numbers.
    """
    try:
        reader = _Reader(_Bounded(stream, size), storages)
        value = reader.load()
    except InputError as error:
        raise InputError(error.problem, path=path, remedy=error.remedy or _REMEDY) from error
    except _MALFORMED as error:
        raise InputError("is no whole pickle: truncated or damaged", path=path, remedy="Fetch it again.") from error
    if reader.source.left:
        raise InputError(f"is a pickle that {reader.source.left} bytes follow", path=path, remedy=_REMEDY)
    return value


def resolved(value: Any) -> Any:
    """`value` out of a pickle, the array where it is one.

    Raises:
        InputError: an array without content, or something that is only part of one.
    """
    if type(value) is PickledArray:
        value = value.array
    if value is not None and type(value) not in {
        np.ndarray,
        list,
        tuple,
        dict,
        Dictionary,
        str,
        bytes,
        int,
        bool,
        float,
    }:
        raise InputError("is a pickle of parts of arrays, expected whole ones", remedy=_REMEDY)
    return value


class _Bounded:
    """A stream of a known length: nobody can ask for more than is there, and so make room for it."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream = stream
        self.left = size
        self.size = size

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise EOFError
        data = self.stream.read(count)
        if len(data) != count:
            raise EOFError
        self.left -= count
        return data

    def readline(self) -> bytes:
        line = self.stream.readline(self.left)
        if not line.endswith(b"\n"):
            raise EOFError
        self.left -= len(line)
        return line


class _Steps:
    """The operations that a pickle may use, by code; it counts them."""

    def __init__(self, known: dict[int, Callable[[Any], None]]) -> None:
        self.known = known
        self.left = MOST_STEPS

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.left -= 1
        if self.left < 0:
            raise InputError(f"is a pickle of more than {MOST_STEPS} steps", remedy="Give the words as a text file.")
        step = self.known.get(code)
        if step is None:
            raise InputError(f"is a pickle that makes objects (operation 0x{code:02x}), {_NOTHING_RUN}")
        return step


_NOTHING_RUN = "expected numpy arrays alone; nothing was run"


class _Reader(pickle._Unpickler):
    """Python's own unpickler, cut down to what needs no trust."""

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, source: _Bounded, storages: Storages | None) -> None:
        # Python 2 wrote bytes and texts alike; which is which is decided where they are used.
        super().__init__(source, encoding="bytes")
        self.source = source
        self.made = 0
        self.storages = storages
        self.names = names(self.spend)
        self.dispatch = _Steps(_STEPS)  # type: ignore[misc, assignment]

    def spend(self, count: int) -> None:
        """Count bytes that are made from others: a pickle can name the same ones again and again."""
        self.made += count
        if self.made > self.source.size:
            raise InputError("is a pickle that grows as it is read")

    def find_class(self, module: str, name: str) -> Any:
        known = self.names.get((module, name))
        if known is None:
            full = f"{module}.{name}"
            told = full if full.isprintable() and len(full) < 80 else ascii(full[:80])
            raise InputError(f"holds {told}, {_NOTHING_RUN}")
        return known

    def persistent_load(self, pid: Any) -> Any:
        if self.storages is None or type(pid) is not tuple or len(pid) != 5 or type(pid[0]) is not str:
            raise InputError(f"refers to something outside, {_NOTHING_RUN}")
        _, kind, key, _, count = pid
        if type(kind) is not Named or not kind.storage or type(key) is not str or type(count) is not int:
            raise InputError("refers to no storage of PyTorch's")
        return self.storages(key, kind.storage, count)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        called = self.stack[-1]
        if type(called) is not Named or called.call is None or type(arguments) is not tuple:
            raise InputError(f"calls what is no array, {_NOTHING_RUN}")
        self.stack[-1] = called.call(*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) in {PickledArray, PickledType}:
            made.set_state(state)
        elif type(made) is not Dictionary:
            raise InputError(f"sets the state of what is no array, {_NOTHING_RUN}")

    def load_int(self) -> None:
        line = self._number()
        self.append({b"00": False, b"01": True}[line] if line in {b"00", b"01"} else int(line, 0))

    def load_long(self) -> None:
        self.append(int(self._number().removesuffix(b"L"), 0))

    def load_float(self) -> None:
        self.append(float(self._number()))

    def _number(self) -> bytes:
        line: bytes = self.readline()
        if len(line) > _LONGEST_NUMBER:
            raise InputError(f"holds a number of {len(line)} digits")
        return line[:-1]

    def load_long1(self) -> None:
        (size,) = self.read(1)
        if size > 8:
            raise InputError(f"holds a number of {size} bytes")
        self.append(int.from_bytes(self.read(size), "little", signed=True))

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))

    def load_append(self) -> None:
        value = self.stack.pop()
        self._list().append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        target = self.stack[-1]
        if type(target) is not list:
            raise InputError(f"appends to what is no list, {_NOTHING_RUN}")
        return target

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._dictionary()[checked_key(key)] = value

    def load_setitems(self) -> None:
        self._fill(self.pop_mark(), self._dictionary)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items, self._dictionary)

    def _fill(self, items: list[Any], target: Callable[[], dict[Any, Any]]) -> None:
        filled = target()
        for key, value in zip(items[::2], items[1::2], strict=True):
            filled[checked_key(key)] = value

    def _dictionary(self) -> dict[Any, Any]:
        target = self.stack[-1]
        if type(target) not in {dict, Dictionary}:
            raise InputError(f"sets items of what is no dictionary, {_NOTHING_RUN}")
        filled: dict[Any, Any] = target
        return filled


_OWN = (
    "reduce", "build", "int", "long", "float", "long1", "bytearray8", "append", "appends", "setitem", "setitems",
    "dict",
)  # fmt: skip
_INHERITED = (
    "PROTO", "FRAME", "PERSID", "BINPERSID", "NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "UNICODE", "BINUNICODE",
    "BINUNICODE8", "SHORT_BINUNICODE", "TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "EMPTY_DICT",
    "LIST", "GLOBAL", "STACK_GLOBAL", "POP", "POP_MARK", "DUP", "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "MARK", "STOP",
)  # fmt: skip


def _steps() -> dict[int, Callable[[Any], None]]:
    """Code → step. Absent are INST, OBJ, NEWOBJ, EXT, sets, out-of-band buffers and numbers of any length."""
    known: dict[int, Callable[[Any], None]] = {}
    for name in _INHERITED:
        code = getattr(pickle, name)[0]
        known[code] = pickle._Unpickler.dispatch[code]
    for name in _OWN:
        known[getattr(pickle, name.upper())[0]] = getattr(_Reader, f"load_{name}")
    return known


_STEPS = _steps()
