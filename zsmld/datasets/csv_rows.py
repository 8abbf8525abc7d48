"""Rows of a CSV file as a stream, each with the line that it begins in."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zsmld import files
from zsmld.errors import InputError

_LONGEST = 1 << 24


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of the file at `path` that are not blank, with the line in which each begins.

    Raises:
        InputError: not UTF-8, or quotes that do not fit, with the line.
    """
    with files.open_input(path) as stream:
        reader = csv.reader(_lines(stream, path), delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"is not CSV: {error}", path=path, line=line) from error


def _lines(stream: IO[bytes], path: Path) -> Iterator[str]:
    # A line without an end would otherwise be the whole file.
    for number, line in enumerate(iter(lambda: stream.readline(_LONGEST + 1), b""), start=1):
        if len(line) > _LONGEST:
            raise InputError(f"a line of more than {_LONGEST} bytes", path=path, line=number)
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            problem = f"is not UTF-8 text (byte 0x{line[error.start]:02x})"
            raise InputError(problem, path=path, line=number, remedy="Save it as UTF-8.") from error
