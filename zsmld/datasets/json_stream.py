"""The elements of a JSON object's arrays, one by one: files of half a gigabyte in the memory that one element takes."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from zsmld import files
from zsmld.errors import InputError

_PIECE = 1 << 20
# No element of a real file comes near; what is malformed would otherwise be read to its end.
LONGEST = 1 << 26
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def elements(path: Path) -> Iterator[tuple[str, int, Any, int]]:
    """Walk the object in the file at `path`.

    Yields:
        For each element of an array that is a value of the object: its key, its position, the element, its line.

    Raises:
        InputError: with the line: not UTF-8, not JSON, no object, or an element longer than `LONGEST` characters.
    """
    with files.open_input(path) as stream:
        reader = _Reader(stream, path)
        reader.expect("{")
        if reader.peek() == "}":
            reader.expect("}")
            return reader.end()
        while True:
            key = reader.value()
            if not isinstance(key, str):
                raise reader.refuse("expected a key in quotes")
            reader.expect(":")
            if reader.peek() == "[":
                yield from _array(reader, key)
            else:
                reader.value()
            if not reader.another("}"):
                return reader.end()


def _array(reader: _Reader, key: str) -> Iterator[tuple[str, int, Any, int]]:
    reader.expect("[")
    if reader.peek() == "]":
        reader.expect("]")
        return
    position = 0
    while True:
        reader.peek()
        line = reader.line
        yield key, position, reader.value(), line
        position += 1
        if not reader.another("]"):
            return


class _Reader:
    """Text of a file in pieces, and where in it we are."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._whole = "", 0, False
        self.line = 1

    def refuse(self, problem: str) -> InputError:
        return InputError(f"is not JSON: {problem}", path=self._path, line=self.line)

    def _more(self, size: int = 0) -> None:
        """Read on, and forget what is behind."""
        data = self._stream.read(max(size, _PIECE))
        try:
            added = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise InputError(
                "is not UTF-8 text", path=self._path, line=self.line, remedy="Save it as UTF-8."
            ) from error
        self._text, self._at, self._whole = self._text[self._at :] + added, 0, not data

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def peek(self) -> str:
        """The next character that is no white space, empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._move(found.end() if found else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._whole:
                return ""
            self._more()

    def expect(self, character: str) -> None:
        found = self.peek()
        if found != character:
            raise self.refuse(f"expected {character!r}, found {found!r}" if found else "it ends before its end")
        self._move(self._at + 1)

    def another(self, closing: str) -> bool:
        """Whether a comma follows, and not the closing bracket."""
        closed = self.peek() == closing
        self.expect(closing if closed else ",")
        return not closed

    def end(self) -> None:
        if self.peek():
            raise self.refuse("something follows its end")

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                # A number near the end of what was read may go on: `1` is what is whole of `1e+`.
                if end + 2 < len(self._text) or self._whole:
                    self._move(end)
                    return value
            except json.JSONDecodeError as error:
                if self._whole:
                    self._move(min(error.pos, len(self._text)))
                    raise self.refuse(error.msg[0].lower() + error.msg[1:]) from error
            except (ValueError, RecursionError) as error:
                raise self.refuse("nested too deeply, or a number is too long") from error
            held = len(self._text) - self._at
            if held > LONGEST:
                raise self.refuse(f"a value of more than {LONGEST} characters")
            self._more(held)
