"""Fuzz the reader of GloVe and word2vec text.

python scripts/fuzz/fuzz_text_vectors.py CORPUS -max_total_time=3600
"""

from __future__ import annotations

from pathlib import Path

import atheris
import common

with atheris.instrument_imports(include=["zsmld.labels"]):
    from zsmld.labels.vector_files import open_vector_file

WORDS = ("a", "dog", "new york", "é")
GLOVE = "dog 0.5 -1e-3 7\na 1 2 3\nnew york 1 2 3\né 4 5 6\n".encode()


def read(path: Path) -> None:
    """Read wanted words and list all."""
    source = open_vector_file(path)
    source.read(WORDS)
    list(source.words())


if __name__ == "__main__":
    headed = b"4 3\n" + GLOVE
    common.run(read, [GLOVE, headed, b"\xef\xbb\xbf" + headed.replace(b"\n", b" \r\n"), *common.packed(GLOVE)])
