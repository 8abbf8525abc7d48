"""What a word-vector file is, told by its content: compression, form, dimension.

Known forms: GloVe text (`word number ... number` a line), word2vec text (the same under a line `words dimension`) and
word2vec binary (that line, then word, space and little-endian float32 numbers), each plain or gzipped.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zsmld import files
from zsmld.errors import InputError

LONGEST_LINE = 1 << 20
WIDEST = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SAMPLED_ROWS = 10
_GZIP = b"\x1f\x8b"
_FOREIGN = (
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xba\x16\x4f\x2f", "a fastText model"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (_GZIP, "gzipped twice"),
)
_FORMS = "GloVe text, word2vec text or word2vec binary, plain or gzipped"


@dataclass(frozen=True)
class Form:
    """The form of a word-vector file.

    Attributes:
        binary: word2vec binary, not text.
        width: E, the numbers of a row.
        count: the rows that a word2vec header promises; None without header (GloVe).
    """

    binary: bool
    width: int
    count: int | None


class _Hashed(io.RawIOBase):
    """A raw stream that digests the bytes as they pass."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        count: int = self._stream.readinto(view)  # type: ignore[attr-defined]
        self.digest.update(view[:count])
        return count


class VectorStream:
    """The decompressed bytes of a word-vector file, and the digest of the file as it lies on disk."""

    def __init__(self, stream: IO[bytes]) -> None:
        compressed = stream.read(2) == _GZIP
        stream.seek(0)
        self._hashed = _Hashed(stream)
        raw: IO[bytes] = io.BufferedReader(self._hashed, LONGEST_LINE)
        self.bytes: IO[bytes] = io.BufferedReader(_unzipped(raw), LONGEST_LINE) if compressed else raw

    def digest(self) -> str:
        """`sha256:` and the digest of the whole file; call it once `bytes` is exhausted."""
        return f"sha256:{self._hashed.digest.hexdigest()}"


def _unzipped(raw: IO[bytes]) -> io.RawIOBase:
    # GzipFile has the methods of a raw stream; its declared type does not say so.
    stream: io.RawIOBase = gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[assignment]
    return stream


@contextmanager
def open_vectors(path: Path) -> Iterator[VectorStream]:
    """Open a word-vector file, plain or gzipped.

    Raises:
        InputError: absent, or its compression is damaged.
    """
    with files.open_input(path) as stream:
        try:
            yield VectorStream(stream)
        except EOFError as error:
            raise InputError("is a truncated gzip file", path=path, remedy="Fetch it again.") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"is a damaged gzip file: {error}", path=path, remedy="Fetch it again.") from error


def tell_form(path: Path) -> Form:
    """Tell the form of the word-vector file at `path` from its first bytes.

    Raises:
        InputError: empty, a known foreign format, or no rows of a word and numbers.
    """
    with open_vectors(path) as stream:
        head = stream.bytes.read(LONGEST_LINE)
    if not head:
        raise InputError("is empty, expected word vectors", path=path)
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"is {name}, expected {_FORMS}", path=path, remedy=_remedy_for(name))
    first, newline, rest = head.removeprefix(BYTE_ORDER_MARK).partition(b"\n")
    if not newline and len(head) == LONGEST_LINE:
        raise InputError(f"holds no line end in its first MiB, expected {_FORMS}", path=path, line=1)
    header = first.split()
    if len(header) == 2 and all(_is_integer(part) for part in header):
        return _headed(path, int(header[0]), int(header[1]), rest)
    return Form(binary=False, width=_width_of(path, head), count=None)


def _remedy_for(name: str) -> str:
    if "pickle" in name:
        return "Pickles are not opened, they can run code: in gensim, save_word2vec_format writes a readable form."
    return "Use the .vec file of the same vectors." if "fastText" in name else "Unpack or convert it."


def _is_integer(token: bytes) -> bool:
    return token.removeprefix(b"-").isdigit()


def _headed(path: Path, count: int, width: int, rest: bytes) -> Form:
    if count < 1 or not 1 <= width <= WIDEST:
        raise InputError(
            f"its header promises {count} words of dimension {width}, expected at least one of each and a "
            f"dimension up to {WIDEST}", path=path, line=1,
        )  # fmt: skip
    row = rest.partition(b"\n")[0].rstrip(b" \r")
    tokens = row.rsplit(b" ", width)[1:]
    is_row = len(tokens) == width and all(is_number(token) for token in tokens)
    # Text with a fault in its first row is to be reported as text.
    faulty = any(is_number(token) for token in tokens) and _looks_like_text(rest[:4096])
    return Form(binary=not is_row and not faulty, width=width, count=count)


def _looks_like_text(sample: bytes) -> bool:
    try:
        # The incremental decoder does not mind a character that is cut at the sample's end.
        text = codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return all(character >= " " or character in "\t\r\n" for character in text)


def is_number(token: bytes) -> bool:
    """Whether `token` is a number as word-vector files write it."""
    try:
        float(token)
    except ValueError:
        return False
    # Python also takes 1_000 for a number.
    return b"_" not in token


def _width_of(path: Path, head: bytes) -> int:
    """The dimension of a GloVe file: what most of its first rows have, as a word may hold spaces and digits."""
    lines = head.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    complete = lines if len(head) < LONGEST_LINE else lines[:-1]
    rows = [line for line in complete[: 2 * _SAMPLED_ROWS] if line.strip()][:_SAMPLED_ROWS]
    widths = Counter(_trailing_numbers(row) for row in rows)
    # On a tie the greater: then a short row is reported as ragged, and not taken for a word with a number in it.
    width = max(widths, key=lambda found: (widths[found], found), default=0)
    if not 1 <= width <= WIDEST:
        raise InputError(f"line 1 is not a word and its numbers, expected {_FORMS}", path=path, line=1)
    return width


def _trailing_numbers(row: bytes) -> int:
    tokens = row.split()
    count = 0
    while count < len(tokens) - 1 and is_number(tokens[-1 - count]):
        count += 1
    return count
