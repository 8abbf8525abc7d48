"""Fuzz the reader of word2vec binary files.

python scripts/fuzz/fuzz_binary_vectors.py CORPUS -max_total_time=3600
"""

from __future__ import annotations

import struct
from pathlib import Path

import atheris
import common

with atheris.instrument_imports(include=["zsmld.labels"]):
    from zsmld.labels.vector_files import open_vector_file

WORDS = ("a", "dog", "é")


def read(path: Path) -> None:
    """Read wanted words and list all."""
    source = open_vector_file(path)
    source.read(WORDS)
    list(source.words())


def _rows(lead: bytes) -> bytes:
    return b"".join(lead + word.encode() + b" " + struct.pack("<3f", 1, 0.5, at) for at, word in enumerate(WORDS))


if __name__ == "__main__":
    plain = b"3 3\n" + _rows(b"")
    common.run(read, [plain, b"3 3\n" + _rows(b"\n"), *common.packed(plain)])
