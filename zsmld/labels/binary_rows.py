"""The rows of word2vec's binary form, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.vector_forms import LONGEST_LINE, Form
from zsmld.labels.vector_rows import check_utf8
from zsmld.labels.word_source import Vector

_LONGEST_WORD = 1 << 12
_CHUNK = 1 << 22


class BinaryRows:
    """word2vec binary: word, space, E little-endian float32; some writers put a newline before each word."""

    def __init__(self, stream: IO[bytes], form: Form, path: Path) -> None:
        assert form.count is not None
        self._stream, self._path = stream, path
        self._width, self._count = form.width, form.count
        self._buffer, self._at = b"", 0
        # The file's offset of the buffer's first byte, for messages.
        self._offset = len(stream.readline(LONGEST_LINE))

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        """All rows, with their byte offsets.

        Raises:
            InputError: with the byte offset: no word, not UTF-8, more or fewer rows than promised.
        """
        size = 4 * self._width
        for row in range(self._count):
            space = self._find_space(row)
            place = self._offset + self._at
            word = self._buffer[self._at : space].lstrip(b"\n")
            start = space + 1
            if start + size > len(self._buffer):
                start = self._refill(start, size, row)
            if not word.isascii():
                check_utf8(word, self._path, None, self.told(place))
            self._at = start + size
            yield place, word, self._buffer[start : self._at]
        self._expect_end()

    def vector(self, row: bytes, place: int) -> Vector:  # noqa: ARG002
        """The numbers of a row."""
        return np.frombuffer(row, dtype="<f4").astype(np.float32)

    def line(self, place: int) -> None:  # noqa: ARG002
        """None: binary files have no lines."""
        return

    def told(self, place: int) -> str:
        """The byte offset of a row."""
        return f" at byte {place}"

    def _find_space(self, row: int) -> int:
        space = self._buffer.find(b" ", self._at, self._at + _LONGEST_WORD)
        if space < 0 and len(self._buffer) - self._at < _LONGEST_WORD:
            self._refill(self._at, 0, row)
            space = self._buffer.find(b" ", 0, _LONGEST_WORD)
        if space < 0 and len(self._buffer) - self._at < _LONGEST_WORD:
            raise self._ends_early(row)
        if space < 0:
            raise InputError(
                f"no word at byte {self._offset + self._at}, expected a word and {self._width} numbers of 4 bytes",
                path=self._path, remedy="Check the dimension in its first line.",
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
            f"its header promises {self._count} words, it ends at byte {self._offset + len(self._buffer)} within "
            f"word {row + 1}", path=self._path, remedy="Fetch it again, it is truncated.",
        )  # fmt: skip

    def _expect_end(self) -> None:
        left = self._buffer[self._at :]
        surplus = len(left.lstrip(b"\n"))
        while piece := self._stream.read(_CHUNK):
            surplus += len(piece)
        if surplus:
            raise InputError(
                f"its header promises {self._count} words, {surplus} bytes follow the last", path=self._path
            )
