"""What stands in, while a pickle is read, for the few names that pickled arrays call.

None of the real ones is ever called: a pickle chooses their arguments, and NumPy's and PyTorch's own functions do not
expect that of an enemy. Each stand-in takes the arguments that NumPy and PyTorch write, checks them, and builds an
array over the bytes that are in the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.array_types import AnyArray, array_over, array_type, checked_shape, text_of, texts_in

Spend = Callable[[int], None]


class Dictionary(dict[Any, Any]):
    """A `collections.OrderedDict`, as far as it matters here; a state that is set on it is passed over."""

    @classmethod
    def empty(cls) -> Dictionary:
        """As Python 3 pickles it: an empty one first, its items set after."""
        return cls()


class Named:
    """One of the names that a pickle may call, or pass on as an argument."""

    def __init__(self, call: Callable[..., Any] | None = None, storage: str = "") -> None:
        self.call = call
        self.storage = storage


class PickledType:
    """A NumPy type in the making: named first, its byte order set after."""

    def __init__(self, code: str) -> None:
        # A byte order before the code is not what NumPy pickles, but harmless.
        self.kind = array_type(code)

    def set_state(self, state: Any) -> None:
        """Take what `numpy.dtype.__reduce__` writes: (version, byte order, subarray, names, fields, ...)."""
        if type(state) is not tuple or not 8 <= len(state) <= 9 or any(part is not None for part in state[2:5]):
            raise InputError("an array's type is none of numbers or texts")
        order = text_of(state[1])
        if order not in {"<", ">", "|", "="}:
            raise InputError("an array's byte order is none")
        self.kind = self.kind.newbyteorder(order)  # type: ignore[arg-type]


class PickledArray:
    """A NumPy array in the making: an empty one first, its shape and bytes set after."""

    def __init__(self) -> None:
        self.array: AnyArray | None = None

    def set_state(self, state: Any) -> None:
        """Take what `numpy.ndarray.__reduce__` writes: (version, shape, type, columns first, bytes)."""
        if type(state) is not tuple or len(state) != 5:
            raise InputError("an array's state is none that NumPy writes")
        _, shape, kind, columns_first, data = state
        self.array = array_over(_bytes(data), _kind(kind), shape, columns_first=bool(_flag(columns_first)))


def _bytes(data: Any) -> bytes:
    if type(data) is not bytes:
        raise InputError("an array's content is no bytes")
    return data


def _kind(kind: Any) -> np.dtype[Any]:
    if type(kind) is not PickledType:
        raise InputError("an array's type is none of NumPy's")
    return kind.kind


def _flag(value: Any) -> int:
    if type(value) not in {bool, int} or value not in {0, 1}:
        raise InputError("an array's order is neither rows first nor columns first")
    return int(value)


def _numpy_type(code: Any, align: Any = 0, copy: Any = 1) -> PickledType:
    _flag(align), _flag(copy)
    return PickledType(text_of(code))


def _numpy_reconstruct(of: Any, shape: Any, code: Any) -> PickledArray:
    if of is not NDARRAY or checked_axes(shape) != (0,) or text_of(code) != "b":
        raise InputError("an array is not made as NumPy makes one")
    return PickledArray()


def _numpy_from_buffer(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> AnyArray:
    stated = text_of(order)
    array = array_over(_bytes(data), _kind(kind), shape, columns_first=stated == "F")
    if stated != "K" or axes is None:
        return array
    if sorted(checked_axes(axes)) != list(range(array.ndim)):
        raise InputError("an array's axes are not those that it has")
    return array.transpose(checked_axes(axes))


def checked_axes(axes: Any) -> tuple[int, ...]:
    """`axes` where it is a tuple of numbers; nothing else of a pickle's is to be compared or hashed."""
    if type(axes) is not tuple or not all(type(axis) is int for axis in axes):
        raise InputError("an array's axes are no numbers")
    return axes


def _torch_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any = False, hooks: Any = None, meta: Any = None
) -> AnyArray:
    del requires_grad, hooks, meta
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise InputError("a tensor lies in no storage")
    there = storage.size
    sizes, steps = checked_shape(shape), checked_axes(strides)
    if len(steps) != len(sizes) or type(offset) is not int or any(not 0 <= part < 1 << 48 for part in (offset, *steps)):
        raise InputError("a tensor's strides are none")
    last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if last >= there or math.prod(sizes) > there:
        raise InputError(f"a tensor of shape {sizes} reaches out of its storage of {there} numbers")
    width = storage.itemsize
    # NumPy checks the bounds once more.
    return np.ndarray(sizes, storage.dtype, storage, offset * width, tuple(step * width for step in steps))


def _torch_parameter(tensor: Any, requires_grad: Any = False, hooks: Any = None) -> AnyArray:
    del requires_grad, hooks
    if not isinstance(tensor, np.ndarray):
        raise InputError("a parameter holds no tensor")
    return tensor


def names(spend: Spend) -> dict[tuple[str, str], Named]:
    """The names that a pickle of arrays may use.

    Args:
        spend: called with how many bytes a call makes anew, raises where these are too many in all.
    """

    def encode(text: Any, encoding: Any) -> bytes:
        # So protocols 0 to 2 write bytes.
        if type(text) is not str or text_of(encoding) != "latin1":
            raise InputError("calls _codecs.encode as no pickled bytes do")
        spend(len(text))
        return text.encode("latin-1")

    def scalar(kind: Any, data: Any) -> Any:
        spend(len(_bytes(data)))
        array = array_over(data, _kind(kind), (1,))
        return texts_in(array)[0] if array.dtype.kind in "US" else array[0].item()

    table = {("numpy", "ndarray"): NDARRAY, ("numpy", "dtype"): Named(_numpy_type)}
    for core in ("numpy.core", "numpy._core"):
        table[core + ".multiarray", "_reconstruct"] = Named(_numpy_reconstruct)
        table[core + ".multiarray", "scalar"] = Named(scalar)
        table[core + ".numeric", "_frombuffer"] = Named(_numpy_from_buffer)
    table["_codecs", "encode"] = Named(encode)
    table["collections", "OrderedDict"] = Named(Dictionary.empty)
    table["torch._utils", "_rebuild_tensor_v2"] = Named(_torch_tensor)
    table["torch._utils", "_rebuild_parameter"] = Named(_torch_parameter)
    table |= {("torch", name): Named(storage=code) for name, code in STORAGES.items()}
    return table


NDARRAY = Named()
BFLOAT16 = "bfloat16"
STORAGES = {"FloatStorage": "f4", "HalfStorage": "f2", "DoubleStorage": "f8", "BFloat16Storage": BFLOAT16}
STORAGES |= {"LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1"}
STORAGES |= {"BoolStorage": "b1"}


def checked_key(key: Any) -> Any:
    """`key` where it is a text or a number: hashing nested tuples can take for ever."""
    if type(key) not in {str, bytes, int}:
        raise InputError(f"a dictionary's key is {type(key).__name__}, expected a text or a number")
    return key
