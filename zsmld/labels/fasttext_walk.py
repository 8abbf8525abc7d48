"""The structure of fastText's `.bin` files, walked before anybody trusts its sizes.

Little-endian: magic and version, the arguments of the training, the dictionary (each word ends with a NUL, then its
count and its kind), a flag for quantised vectors, the matrix of words and n-gram buckets, and that of the output layer.
After https://github.com/facebookresearch/fastText, src/fasttext.cc, args.cc, dictionary.cc and densematrix.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zsmld.errors import InputError
from zsmld.labels.vector_forms import FASTTEXT_MAGIC, WIDEST

_VERSIONS = range(1, 13)
_CHUNK = 1 << 20
_LONGEST_WORD = 1 << 16
_LONGEST_NGRAM = 1 << 10
_ENTRY = struct.Struct("<qb")
_USE_VEC = "Use the .vec file of the same vectors."


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        width: E.
        words: how many words the dictionary has.
        buckets: how many rows n-grams are hashed to; 0 for none.
        shortest, longest: the lengths of n-grams, in characters.
    """

    width: int
    words: int
    buckets: int
    shortest: int
    longest: int

    @property
    def row_bytes(self) -> int:
        """The bytes of a vector."""
        return 4 * self.width


class Walk:
    """One pass through a file: `header`, all of `entries`, `begin_matrix`, its rows by `skip` and `take`, `finish`."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._buffer, self._at, self._offset = b"", 0, 0

    @property
    def offset(self) -> int:
        """The byte that comes next."""
        return self._offset + self._at

    def header(self) -> Header:
        """The header, checked.

        Raises:
            InputError: truncated, impossible, or a model without vectors of words: supervised, quantised, pruned.
        """
        magic, version = self.take(4, "its header"), self._unpack("<i", "its header")[0]
        if magic != FASTTEXT_MAGIC or version not in _VERSIONS:
            raise self._refusal(f"is fastText's form of version {version}, expected 1 to 12", 4)
        width, _, _, _, _, _, _, kind, buckets, shortest, longest, _, _ = self._unpack("<12id", "its arguments")
        size, words, labels, _, pruned = self._unpack("<3i2q", "the head of its dictionary")
        if kind == 3 or labels > 0:
            raise self._refusal("is a supervised fastText model (a classifier), expected one of word vectors", None)
        if pruned > 0:
            raise self._refusal("is a quantised fastText model, whose n-grams are pruned", None, _USE_VEC)
        for name, value, least, most in (
            ("dimension", width, 1, WIDEST),
            ("number of buckets", buckets, 0, (1 << 31) - 1),
            ("shortest n-gram", shortest, 0, _LONGEST_NGRAM),
            ("longest n-gram", longest, 0, _LONGEST_NGRAM),
            ("number of words", words, 1, (1 << 31) - 1),
            ("dictionary's size", size, words, words),
            ("number of labels", labels, 0, 0),
            ("size of the pruning table", pruned, -1, 0),
        ):
            if not least <= value <= most:
                expected = str(least) if least == most else f"{least} to {most}"
                raise self._refusal(f"its header gives the {name} as {value}, expected {expected}", None)
        return Header(width, words, buckets, shortest, longest)

    def entries(self, header: Header) -> Iterator[tuple[int, bytes]]:
        """The words of the dictionary, with their byte offsets.

        Raises:
            InputError: with the byte offset: truncated, a word without end, a label, an impossible count.
        """
        for number in range(header.words):
            end = self._find_nul(number, header)
            place, word = self.offset, self._buffer[self._at : end]
            self._at = end + 1
            count, kind = _ENTRY.unpack(self.take(_ENTRY.size, f"word {number + 1}"))
            if kind == 1:
                raise self._refusal("is a supervised fastText model: its dictionary has labels", place)
            if kind or count < 1:
                raise self._refusal(f"an entry of its dictionary has the kind {kind} and the count {count}", place)
            yield place, word

    def begin_matrix(self, header: Header) -> None:
        """Pass the head of the matrix of words and buckets.

        Raises:
            InputError: quantised, or of other sizes than the header says.
        """
        place = self.offset
        self._refuse_quantised(place)
        rows, width = self._unpack("<2q", "the head of its vectors")
        if (rows, width) != (header.words + header.buckets, header.width):
            raise self._refusal(
                f"its vectors are {rows} × {width}, expected {header.words} words + {header.buckets} buckets × "
                f"{header.width}", place,
            )  # fmt: skip

    def finish(self) -> None:
        """Pass the output layer; after it the file has to end.

        Raises:
            InputError: truncated, or more bytes follow.
        """
        place = self.offset
        self._refuse_quantised(place)
        rows, width = self._unpack("<2q", "the head of its output layer")
        if rows < 0 or width < 0:
            raise self._refusal(f"its output layer is {rows} × {width}", place)
        self.skip(4 * rows * width, "its output layer")
        if self.read(1):
            raise self._refusal("more follows where it should end", self.offset - 1)

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes of `what`."""
        piece = self._buffer[self._at : self._at + count]
        self._at += len(piece)
        while len(piece) < count:
            more = self.read(count - len(piece))
            if not more:
                raise self._ends_early(what)
            piece += more
        return piece

    def skip(self, count: int, what: str, use: Callable[[bytes], object] | None = None) -> None:
        """Pass `count` bytes of `what`, block by block; `use` gets them."""
        while count:
            block = self.read(min(count, _CHUNK))
            if not block:
                raise self._ends_early(what)
            count -= len(block)
            if use is not None:
                use(block)

    def read(self, most: int) -> bytes:
        """At least one and at most `most` of the next bytes; none at the end."""
        if self._at == len(self._buffer):
            self._fill(b"")
        piece = self._buffer[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _fill(self, rest: bytes) -> bool:
        """Read on, keeping `rest` of what is there; whether anything came."""
        block = self._stream.read(_CHUNK)
        self._offset += len(self._buffer) - len(rest)
        self._buffer, self._at = rest + block, 0
        return bool(block)

    def _find_nul(self, number: int, header: Header) -> int:
        end = self._buffer.find(b"\0", self._at, self._at + _LONGEST_WORD)
        while end < 0 and len(self._buffer) - self._at < _LONGEST_WORD:
            if not self._fill(self._buffer[self._at :]):
                self._at = len(self._buffer)
                raise self._ends_early(f"word {number + 1} of {header.words}")
            end = self._buffer.find(b"\0", 0, _LONGEST_WORD)
        if end < 0:
            raise self._refusal(f"a word has no end within {_LONGEST_WORD} bytes", self.offset)
        return end

    def _refuse_quantised(self, place: int) -> None:
        flag = self.take(1, "the head of a matrix")
        if flag == b"\x01":
            raise self._refusal("is a quantised fastText model", None, _USE_VEC)
        if flag != b"\0":
            raise self._refusal(f"the flag of a matrix is {flag[0]}, expected 0 or 1", place)

    def _unpack(self, form: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form), what))

    def _ends_early(self, what: str) -> InputError:
        return InputError(
            f"is a truncated fastText model: it ends at byte {self.offset} within {what}", path=self._path,
            remedy="Fetch it again.",
        )  # fmt: skip

    def _refusal(self, problem: str, place: int | None, remedy: str = "") -> InputError:
        """`place` is the byte that is wrong; without it the file is whole, but not what is wanted."""
        if place is None:
            return InputError(problem, path=self._path, remedy=remedy)
        return InputError(f"{problem} (at byte {place})", path=self._path, remedy="Fetch it again.")
