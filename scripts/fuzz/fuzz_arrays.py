"""Fuzz the reader of NumPy's files and safetensors: `python scripts/fuzz/fuzz_arrays.py CORPUS -max_total_time=3600`.

Whatever bytes it is given, it reads them or raises an `InputError` of one line that names the file. A first byte of 1
to 3 puts the rest into an archive: mutations of what is in one would not survive its checksums.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import atheris
import common

with atheris.instrument_imports(include=["zsmld.labels"]):
    from zsmld.labels.array_files import is_array_file, open_array_file

import numpy as np
from numpy.typing import NDArray

# As many related words as the check of their order needs.
WORDS = ["cat", "cats", "dog", "dogs", "sky", "skies", "car", "cars", "bear", "bears"]


def read(path: Path) -> None:
    """Read the file as a source of word vectors, with its own words and with others."""
    if not is_array_file(path):
        return
    words = path.with_name("words")
    words.write_text("\n".join(WORDS))
    for chosen in ([], [words], [path]):
        for array in (None, "vecs"):
            source = open_array_file(path, words=chosen, array=array)
            common.attempt(lambda source=source: source.read(WORDS), path.parent)  # type: ignore[misc]


def _packed(data: bytes) -> bytes:
    kind = data[0] if data else 0
    if kind == 3:
        # safetensors: the length of the header is made to fit.
        header, _, values = data[1:].partition(b"\n")
        return len(header).to_bytes(8, "little") + header + values
    if kind not in {1, 2}:
        return data
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if kind == 2 else zipfile.ZIP_STORED) as archive:
        for at, part in enumerate(data[1:].split(b"\x93NUMPY")[1:]):
            archive.writestr(f"{('words', 'vecs')[at] if at < 2 else at}.npy", b"\x93NUMPY" + part)
    return stream.getvalue()


def seeds() -> list[bytes]:
    """Small files of each kind, as NumPy and safetensors write them."""
    import safetensors.numpy

    table = np.arange(30, dtype=np.float32).reshape(10, 3) ** 2 % 7
    arrays = [
        table,
        table.T,
        table[None].astype("f2"),
        table.astype(">f8"),
        np.arange(9).reshape(3, 3),
        np.array(WORDS),
    ]
    found = []
    for array in arrays:
        found.append(_saved(array))
        found += [b"\x01" + _saved(np.array(WORDS)) + found[-1], b"\x02" + found[-1]]
        native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
        if native.dtype.kind != "U":
            packed = safetensors.numpy.save({"vecs": native, "more": native[:1]}, {"made": "here"})
            end = 8 + int.from_bytes(packed[:8], "little")
            found += [packed, b"\x03" + packed[8:end] + b"\n" + packed[end:]]
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, words=np.array(WORDS), vecs=table, ids=np.arange(10))
        found.append(stream.getvalue())
    return found


def _saved(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


if __name__ == "__main__":
    common.run(read, seeds(), _packed)
