"""Tensor files: safetensors with a digest, written whole or not at all, refused when a bit has flipped.

safetensors itself loads a damaged file without a word; here a SHA-256 over names, types, shapes, bytes and metadata
stands in the file, and is checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from zsmld import files
from zsmld.errors import InputError

Arrays = Mapping[str, NDArray[Any]]
DIGEST = "content_digest"
_DAMAGED = "Make it again, or take it from a backup."


def write_tensors(path: str | Path, arrays: Arrays, metadata: Mapping[str, str], *, force: bool = True) -> str:
    """Write arrays and text metadata to a safetensors file at `path`; returns the digest that it holds.

    Raises:
        UsageError: `path` exists and `force` is not set.
        EnvironmentFailure: it cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    digest = content_digest(arrays, metadata)
    data = _in_order(safetensors.numpy.save(arrays, {**metadata, DIGEST: digest}))
    files.write_bytes(path, data, force=force)
    return digest


def read_tensors(path: str | Path, *, remedy: str = _DAMAGED) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays and metadata of a file that `write_tensors` wrote; the metadata has its digest under `DIGEST`.

    Args:
        path: the file.
        remedy: what to do where it is damaged.

    Raises:
        InputError: absent, no safetensors file, truncated, not ours, or changed since it was written.
    """
    data = files.read_bytes(path)
    try:
        arrays = safetensors.numpy.load(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"is no whole safetensors file: {error}", path=path, remedy=remedy) from error
    if DIGEST not in metadata:
        raise InputError("was not written by zsmld: it holds no digest", path=path, remedy=remedy)
    if metadata[DIGEST] != content_digest(arrays, metadata):
        raise InputError("is damaged: its content does not match its digest", path=path, remedy=remedy)
    return arrays, metadata


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with its header's keys sorted: the library writes metadata in random order."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _metadata(data: bytes) -> dict[str, str]:
    # The header is a little-endian length and that many bytes of JSON (the safetensors format).
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(value) for key, value in metadata.items()}


def content_digest(arrays: Arrays, metadata: Mapping[str, str] | None = None) -> str:
    """`sha256:` over names, types, shapes and bytes of the arrays, and the metadata."""
    stated = sorted((key, value) for key, value in (metadata or {}).items() if key != DIGEST)
    digest = hashlib.sha256(files.to_json(stated).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"
