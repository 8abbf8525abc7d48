"""Checkpoints: named tensors out of PyTorch files, pickles and safetensors, of which nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.array_containers import open_contents
from zsmld.labels.array_pickles import resolved
from zsmld.labels.array_stored import FETCH_AGAIN, Contents
from zsmld.labels.array_stubs import PickledArray
from zsmld.labels.array_types import AnyArray, text_of

# What training code puts the tensors under, the first of these that is there.
_WRAPPERS = ("model", "state_dict", "model_state_dict", "net")
_DEEPEST = 4
_NUMBERS = "fiub"
_REMEDY = "Where it was made, save the tensors alone: torch.save(model.state_dict(), FILE)."


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: the tensors by name, in the order of the file.
        beside: what stands beside them at the top of the file: numbers, texts, lists and tables.
    """

    tensors: dict[str, AnyArray]
    beside: Mapping[Any, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read named tensors: those at the top, or under `model`, `state_dict` and the like.

    Raises:
        InputError: absent, truncated, without named tensors, or a pickle of anything but arrays, texts and numbers.
    """
    try:
        contents = open_contents(path)
        top = _top(contents)
        held = {name: resolved(value) for name, value in _state(top).items() if _is_array(value)}
        tensors = {text_of(name): value for name, value in held.items() if value.dtype.kind in _NUMBERS}
    except InputError as error:
        remedy = error.remedy if error.remedy == FETCH_AGAIN else _REMEDY
        raise InputError(error.problem, path=path, remedy=remedy) from error
    if not tensors:
        raise InputError("holds no named tensors", path=path, remedy=_REMEDY)
    return Checkpoint(tensors, {name: value for name, value in top.items() if not _is_array(value)})


def _top(contents: Contents) -> Mapping[Any, Any]:
    if isinstance(contents.value, dict):
        return contents.value
    if contents.value is None and not contents.in_order:
        return {stored.name: stored.read() for stored in contents.stored if stored.name}
    return {}


def _state(held: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The innermost table that the wrappers lead to."""
    # A pickle can hold a table that holds itself.
    for _ in range(_DEEPEST):
        wrapped = [held[wrapper] for wrapper in _WRAPPERS if isinstance(held.get(wrapper), dict)]
        if not wrapped:
            break
        held = wrapped[0]
    return held


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or type(value) is PickledArray
