"""Fuzz the reader of fastText's `.bin` models.

python scripts/fuzz/fuzz_fasttext.py CORPUS -max_total_time=3600
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import atheris
import common

with atheris.instrument_imports(include=["zsmld.labels"]):
    from zsmld.labels.vector_files import open_vector_file

WORDS = ("bear", "été", "absent")


def read(path: Path) -> None:
    """Read wanted words, make one of its n-grams, and list all."""
    source = open_vector_file(path)
    words = source.read(WORDS)
    if words.subwords is not None:
        words.subwords("bears")
    list(source.words())


def _model(folder: Path, **options: int) -> bytes:
    from gensim.models import FastText
    from gensim.models.fasttext import save_facebook_model

    settings = {"vector_size": 2, "min_count": 1, "epochs": 1, "bucket": 3, "min_n": 3, "max_n": 4, "workers": 1}
    model = FastText([["bear", "été"]], **{**settings, **options})
    save_facebook_model(model, str(folder / "model.bin"))
    return (folder / "model.bin").read_bytes()


def seeds() -> list[bytes]:
    """Tiny models as gensim saves them, plain and packed."""
    with tempfile.TemporaryDirectory() as folder:
        plain = _model(Path(folder))
        return [plain, _model(Path(folder), hs=1, negative=0), _model(Path(folder), max_n=2), *common.packed(plain)]


if __name__ == "__main__":
    common.run(read, seeds())
