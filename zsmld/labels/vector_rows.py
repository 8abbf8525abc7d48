"""The rows of word-vector files: text and word2vec binary, read as a stream; only wanted rows become numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from zsmld.errors import InputError
from zsmld.labels.vector_files import BYTE_ORDER_MARK, LONGEST_LINE, Form, is_number

_LONGEST_WORD = 1 << 12
_CHUNK = 1 << 22


@dataclass
class WantedRows:
    """Keeps the wanted rows as they come, and refuses what cannot be a vector.

    Attributes:
        path: the file, for messages.
        words: the wanted words, by their bytes in the file.
        found: the vectors, (E,) float32 each.
    """

    path: Path
    words: dict[bytes, str]
    found: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def keep(self, word: bytes, vector: NDArray[np.float32], line: int | None, place: str = "") -> None:
        """Keep the vector of `word`; `line`, or `place` in words, is where it stands."""
        name = self.words[word]
        earlier = self.found.setdefault(name, vector)
        if not np.isfinite(vector).all():
            fault = "holds a number that is not finite"
        elif not vector.any():
            fault = "is all zeros"
        elif earlier is not vector and not np.array_equal(earlier, vector):
            fault = "differs from the one that the same word has further up"
        else:
            return
        raise InputError(f"the vector of {name!r}{place} {fault}", path=self.path, line=line, remedy="Mend the file.")


def read_text_rows(stream: IO[bytes], form: Form, keeper: WantedRows) -> None:
    """Read GloVe or word2vec text to its end; blank lines are passed over.

    Raises:
        InputError: with the line: a row of another length, no number, not UTF-8, more or fewer rows than promised.
    """
    rows, number, width = 0, 0, form.width
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), start=1):
        row = line.rstrip(b" \r\n")
        if number == 1:
            row = row.removeprefix(BYTE_ORDER_MARK)
            if form.count is not None:
                continue
        if not row:
            continue
        rows += 1
        # One pass in C for the rows that nobody wants: no splitting, no numbers.
        word = row[: row.find(b" ")] if row.count(b" ") == width else _word_with_spaces(row, width, keeper, number)
        if not word.isascii():
            _check_utf8(word, keeper.path, number)
        if word in keeper.words:
            keeper.keep(word, _numbers(row, width, keeper.path, number), number)
    if form.count is not None and rows != form.count:
        raise InputError(
            f"its header promises {form.count} words, {rows} follow", path=keeper.path, line=number,
            remedy="Fetch it again, it may be truncated.",
        )  # fmt: skip


def _word_with_spaces(row: bytes, width: int, keeper: WantedRows, line: int) -> bytes:
    """The word of a row that does not have as many spaces as numbers: split from the right, or refused."""
    tokens = row.rsplit(b" ", width)
    word = tokens[0].strip(b" ")
    last = word.rpartition(b" ")[2]
    # "route 66" may be a word; "cat 0.25" is a row with a number too many.
    too_long = b"." in last and is_number(last)
    if len(tokens) != width + 1 or too_long:
        problem = f"{row.count(b' ')} numbers follow the word, expected {width}"
        raise InputError(problem, path=keeper.path, line=line, remedy="Mend or remove the row.")
    return word


def _check_utf8(word: bytes, path: Path, line: int | None, place: str = "") -> None:
    try:
        word.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"a word{place} is not UTF-8: {word[:40]!r}", path=path, line=line) from error


def _numbers(row: bytes, width: int, path: Path, line: int) -> NDArray[np.float32]:
    tokens = row.rsplit(b" ", width)[1:]
    for token in tokens:
        if not is_number(token):
            shown = token[:40].decode("utf-8", "replace")
            raise InputError(f"{shown!r} is not a number, expected {width} of them", path=path, line=line)
    with np.errstate(over="ignore"):
        return np.array([float(token) for token in tokens]).astype(np.float32)


class BinaryRows:
    """word2vec binary: word, space, E little-endian float32; some writers put a newline before each word."""

    def __init__(self, stream: IO[bytes], form: Form, keeper: WantedRows) -> None:
        self._stream, self._form, self._keeper = stream, form, keeper
        self._buffer, self._at = b"", 0
        # The file's offset of the buffer's first byte, for messages.
        self._offset = len(stream.readline(LONGEST_LINE))

    def read(self) -> None:
        """Read to the end.

        Raises:
            InputError: with the byte offset: no word, not UTF-8, more or fewer rows than promised.
        """
        assert self._form.count is not None
        size = 4 * self._form.width
        for row in range(self._form.count):
            space = self._find_space(row)
            word = self._buffer[self._at : space].lstrip(b"\n")
            start = space + 1
            if start + size > len(self._buffer):
                start = self._refill(start, size, row)
            if not word.isascii():
                _check_utf8(word, self._keeper.path, None, self._place())
            if word in self._keeper.words:
                vector = np.frombuffer(self._buffer, dtype="<f4", count=self._form.width, offset=start)
                self._keeper.keep(word, vector.astype(np.float32), None, self._place())
            self._at = start + size
        self._expect_end()

    def _place(self) -> str:
        return f" at byte {self._offset + self._at}"

    def _find_space(self, row: int) -> int:
        space = self._buffer.find(b" ", self._at, self._at + _LONGEST_WORD)
        if space < 0 and len(self._buffer) - self._at < _LONGEST_WORD:
            self._refill(self._at, 0, row)
            space = self._buffer.find(b" ", 0, _LONGEST_WORD)
        if space < 0 and len(self._buffer) - self._at < _LONGEST_WORD:
            raise self._ends_early(row)
        if space < 0:
            raise InputError(
                f"no word{self._place()}, expected a word and {self._form.width} numbers of 4 bytes",
                path=self._keeper.path, remedy="Check the dimension in its first line.",
            )  # fmt: skip
        return space

    def _refill(self, keep_from: int, need: int, row: int) -> int:
        """Drop what was read, read on until `need` bytes follow `keep_from`; where they start now."""
        rest = self._buffer[keep_from:]
        self._offset += keep_from
        self._buffer = rest + self._stream.read(max(_CHUNK, need))
        self._at = 0
        if len(self._buffer) < need:
            raise self._ends_early(row)
        return 0

    def _ends_early(self, row: int) -> InputError:
        return InputError(
            f"its header promises {self._form.count} words, it ends at byte {self._offset + len(self._buffer)} within "
            f"word {row + 1}", path=self._keeper.path, remedy="Fetch it again, it is truncated.",
        )  # fmt: skip

    def _expect_end(self) -> None:
        left = self._buffer[self._at :]
        surplus = len(left.lstrip(b"\n"))
        while piece := self._stream.read(_CHUNK):
            surplus += len(piece)
        if surplus:
            raise InputError(
                f"its header promises {self._form.count} words, {surplus} bytes follow the last", path=self._keeper.path
            )
