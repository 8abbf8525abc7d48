"""What every fuzz target shares: a file for the bytes, the one error that may pass, and a corpus to begin with."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from zsmld.errors import InputError


def attempt(read: Callable[[], object], folder: Path) -> None:
    """Call `read`: it may succeed, or raise an `InputError` of one line that names a file in `folder`."""
    try:
        read()
    except InputError as error:
        assert str(folder) in str(error), f"does not name the file: {error}"
        assert len(str(error).splitlines()) == 1, f"is not one line: {error!r}"


def packed(data: bytes) -> list[bytes]:
    """`data` gzipped, and in a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("README"), b"Vectors.\n")
        archive.writestr(zipfile.ZipInfo("v"), data)
    return [gzip.compress(data, mtime=0), stream.getvalue()]


def run(read: Callable[[Path], object], seeds: Iterable[bytes], prepare: Callable[[bytes], bytes] = bytes) -> None:
    """Fuzz `read` with libFuzzer's arguments: `python fuzz_x.py CORPUS -max_total_time=3600`.

    The first argument is the folder of the corpus, made of `seeds` where it is empty. `prepare` makes the content of a
    file of what the fuzzer came up with. Warnings are errors.
    """
    import atheris

    parser = argparse.ArgumentParser(description=run.__doc__)
    parser.add_argument("corpus", type=Path)
    arguments, rest = parser.parse_known_args()
    arguments.corpus.mkdir(parents=True, exist_ok=True)
    if not any(arguments.corpus.iterdir()):
        for seed in seeds:
            (arguments.corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    shared = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="zsmld-fuzz-", dir=shared if shared.is_dir() else None)
    path = Path(folder) / "input"

    def one_input(data: bytes) -> None:
        path.write_bytes(prepare(data))
        attempt(lambda: read(path), path.parent)

    atheris.Setup([sys.argv[0], str(arguments.corpus), *rest], one_input)
    warnings.simplefilter("error")
    atheris.Fuzz()
