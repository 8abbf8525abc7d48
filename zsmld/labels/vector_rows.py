"""The rows of text vectors, read as a stream, and the wanted ones among the rows of any form."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.vector_forms import BYTE_ORDER_MARK, LONGEST_LINE, Form, is_number
from zsmld.labels.word_source import Vector


class Rows(Protocol):
    """The rows of a file: where each stands, its word in UTF-8, and its bytes."""

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        """All rows; the structure of each is checked.

        Raises:
            InputError: with line or byte offset.
        """

    def vector(self, row: bytes, place: int) -> Vector:
        """The numbers of a row, (E,) float32."""

    def line(self, place: int) -> int | None:
        """The line of a row, None where the form has none."""

    def told(self, place: int) -> str:
        """Where a row stands, in words; empty where `line` says it."""


class WantedRows:
    """Keeps the vectors of the wanted words, and refuses what cannot be a vector.

    Attributes:
        vectors: word → (E,) float32.
        ranks: word → position of its first row, from 0.
        size: how many rows there are.
    """

    def __init__(self, path: Path, wanted: Collection[str]) -> None:
        self._path = path
        self._words = {word.encode("utf-8", "surrogatepass"): word for word in wanted}
        self.vectors: dict[str, Vector] = {}
        self.ranks: dict[str, int] = {}
        self.size = 0

    def read(self, rows: Rows) -> None:
        """Go through all `rows`.

        Raises:
            InputError: a malformed row; a wanted vector that is zero, not finite, or differs from an earlier one.
        """
        words, rank = self._words, -1
        for rank, (place, word, row) in enumerate(rows):
            if word in words:
                self._keep(words[word], rows, row, place, rank)
        self.size = rank + 1

    def _keep(self, word: str, rows: Rows, row: bytes, place: int, rank: int) -> None:
        vector = rows.vector(row, place)
        fault = fault_of(vector)
        earlier = self.vectors.setdefault(word, vector)
        self.ranks.setdefault(word, rank)
        if not fault and not np.array_equal(earlier, vector):
            fault = "differs from the one that the same word has further up"
        if fault:
            raise InputError(
                f"the vector of {word!r}{rows.told(place)} {fault}", path=self._path, line=rows.line(place),
                remedy="Mend the file.",
            )  # fmt: skip


def fault_of(vector: Vector) -> str:
    """Why `vector` cannot stand for a word; empty where it can."""
    if not np.isfinite(vector).all():
        return "holds a number that is not finite"
    return "" if vector.any() else "is all zeros"


class TextRows:
    """GloVe, word2vec and fastText text: a word and E numbers a line; blank lines are passed over."""

    def __init__(self, stream: IO[bytes], form: Form, path: Path) -> None:
        self._stream, self._form, self._path = stream, form, path

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        """All rows, with their lines.

        Raises:
            InputError: with the line: a row of another length, not UTF-8, more or fewer rows than promised.
        """
        rows, number, width, headed = 0, 0, self._form.width, self._form.count is not None
        for number, line in enumerate(iter(lambda: self._stream.readline(LONGEST_LINE), b""), start=1):
            row = line.rstrip(b" \r\n")
            if number == 1:
                row = row.removeprefix(BYTE_ORDER_MARK)
                if headed:
                    continue
            if not row:
                continue
            rows += 1
            # One pass in C for the rows that nobody wants: no splitting, no numbers.
            word = row[: row.find(b" ")] if row.count(b" ") == width else self._word_with_spaces(row, number)
            if not word.isascii():
                check_utf8(word, self._path, number)
            yield number, word, row
        if headed and rows != self._form.count:
            raise InputError(
                f"its header promises {self._form.count} words, {rows} follow", path=self._path, line=number,
                remedy="Fetch it again, it may be truncated.",
            )  # fmt: skip

    def _word_with_spaces(self, row: bytes, line: int) -> bytes:
        """The word of a row that does not have as many spaces as numbers: split from the right, or refused."""
        width = self._form.width
        tokens = row.rsplit(b" ", width)
        word = tokens[0].strip(b" ")
        last = word.rpartition(b" ")[2]
        # "route 66" may be a word; "cat 0.25" is a row with a number too many.
        too_long = b"." in last and is_number(last)
        if len(tokens) != width + 1 or too_long:
            problem = f"{row.count(b' ')} numbers follow the word, expected {width}"
            raise InputError(problem, path=self._path, line=line, remedy="Mend or remove the row.")
        return word

    def vector(self, row: bytes, place: int) -> Vector:
        """The numbers of a row.

        Raises:
            InputError: one of them is no number.
        """
        width = self._form.width
        tokens = row.rsplit(b" ", width)[1:]
        for token in tokens:
            if not is_number(token):
                shown = token[:40].decode("utf-8", "replace")
                raise InputError(f"{shown!r} is not a number, expected {width} of them", path=self._path, line=place)
        with np.errstate(over="ignore"):
            return np.array([float(token) for token in tokens]).astype(np.float32)

    def line(self, place: int) -> int:
        """The line of a row."""
        return place

    def told(self, place: int) -> str:  # noqa: ARG002
        """Nothing: the line says it."""
        return ""


def check_utf8(word: bytes, path: Path, line: int | None, place: str = "") -> None:
    """Refuse a word that is not UTF-8."""
    try:
        word.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"a word{place} is not UTF-8: {word[:40]!r}", path=path, line=line) from error
