"""Fuzz the reader of pickles and PyTorch files: `python scripts/fuzz/fuzz_pickles.py CORPUS -max_total_time=3600`.

Whatever bytes it is given, it reads them or raises an `InputError` of one line that names the file; and nothing
that is in them is run.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path

import atheris
import common

with atheris.instrument_imports(include=["zsmld.labels"]):
    from zsmld.labels.array_containers import form_of
    from zsmld.labels.array_files import open_array_file

import numpy as np

# As many related words as the check of their order needs.
WORDS = ["cat", "cats", "dog", "dogs", "sky", "skies", "car", "cars", "bear", "bears"]
RUN = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect"}


def forbid(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: nothing of this may happen while a file is read."""
    if event in RUN:
        raise AssertionError(f"{event} {arguments}")


def read(path: Path) -> None:
    """Read the file as a source of word vectors and as a list of words."""
    if form_of(path) not in {"pickle", "torch"}:
        return
    words = path.with_name("words")
    words.write_text("\n".join(WORDS))
    for chosen in ([words], [path], [words, words]):
        source = open_array_file(path, words=chosen)
        common.attempt(lambda source=source: source.read(WORDS), path.parent)  # type: ignore[misc]


def _unwrapped(data: bytes) -> bytes:
    """A first byte of 1 stands for a PyTorch file around the rest."""
    return _zipped(data[1:]) if data[:1] == b"\x01" else data


def _zipped(pickled: bytes) -> bytes:
    """A PyTorch file around the bytes of its pickle: mutations of those would not survive the zip's checksums."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", np.arange(30, dtype="f4").tobytes())
    return stream.getvalue()


def seeds() -> list[bytes]:
    """Small files of each kind, as NumPy, PyTorch and Python write them."""
    import torch

    found = []
    table = np.arange(30, dtype=np.float32).reshape(10, 3) ** 2 % 7
    values = [
        table, table.T, np.asfortranarray(table), [table, table[:2]], {"wordvec_array": table[None].astype("f2")},
        table.astype(">f8"), np.array(WORDS), {"words": WORDS, "vecs": table}, dict(enumerate(WORDS)),
        {word: at for at, word in enumerate(WORDS)}, [np.str_(word) for word in WORDS], np.float64(2),
        table.reshape(5, 2, 3).transpose(1, 0, 2), np.array(WORDS, object), {0: WORDS, 1.5: 1 << 70},
    ]  # fmt: skip
    for value in values:
        found += [pickle.dumps(value, protocol) for protocol in range(6)]
    tensor = torch.from_numpy(table)
    for value in (tensor, tensor.T, tensor.half(), tensor.bfloat16(), {"w": torch.nn.Parameter(tensor), "n": table}):
        stream = io.BytesIO()
        torch.save(value, stream)
        with zipfile.ZipFile(stream) as archive:
            found += [stream.getvalue(), b"\x01" + archive.read("archive/data.pkl")]
    return found


if __name__ == "__main__":
    planted = seeds()
    sys.addaudithook(forbid)
    common.run(read, planted, _unwrapped)
