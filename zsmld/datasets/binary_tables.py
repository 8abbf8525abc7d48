"""Tables of 0 and 1 as text, a row an image: NUS-WIDE's tags and ground truth → a bit an entry.

The largest has 269,648 rows of 1,000 columns, half a gigabyte. It is read in blocks, never as a list of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zsmld import console, files
from zsmld.datasets.records import Sets
from zsmld.errors import InputError

# (R, ceil(C/8)), a bit an entry, as `numpy.packbits` lays them out.
Bits: TypeAlias = NDArray[np.uint8]

_BLOCK = 1 << 22
_BAD, _SPACE, _NEWLINE, _ZERO, _ONE = range(5)
_KIND: Final = np.full(256, _BAD, dtype=np.uint8)
_KIND[[ord(char) for char in " \t\r"]] = _SPACE
_KIND[[ord(char) for char in "\n01"]] = (_NEWLINE, _ZERO, _ONE)


def read_table(paths: Sequence[Path], columns: int) -> Bits:
    """Tables of `columns` columns, each beside the next, as bits (R, ceil(F·C/8)) of F files.

    Raises:
        InputError: a value that is neither 0 nor 1, a row that is not as long as it should be, or files with
            different numbers of rows; with file and line.
    """
    with console.progress(f"reading {paths[0].name}", sum(path.stat().st_size for path in paths)) as meter:
        return _side_by_side(paths, columns, meter)


def sets_of(bits: Bits, columns: int) -> Sets:
    """(R,C) of the bits, sparse. Only bytes that are not 0 are unpacked: of a row's 1,000 tags six are true."""
    width = bits.shape[1]
    flat = bits.reshape(-1)
    places = np.flatnonzero(flat)
    which, bit = np.nonzero(np.unpackbits(flat[places][:, None], axis=1))
    rows, column = places[which] // width, (places[which] % width) * 8 + bit
    starts = np.zeros(len(bits) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(bits)), out=starts[1:])
    return Sets((np.ones(len(rows), dtype=np.bool_), column.astype(np.int32), starts), shape=(len(bits), columns))


def _side_by_side(paths: Sequence[Path], columns: int, meter: console.Meter) -> Bits:
    first = parse_table(paths[0], columns, meter)
    if len(paths) == 1:
        return first
    wide = np.zeros((len(first), len(paths) * columns), dtype=np.bool_)
    for at, path in enumerate(paths):
        bits = first if at == 0 else parse_table(path, columns, meter)
        if len(bits) != len(first):
            raise InputError(f"has {len(bits)} rows, but {paths[0].name} has {len(first)}", path=path)
        wide[:, at * columns : (at + 1) * columns] = np.unpackbits(bits, axis=1, count=columns).view(np.bool_)
    return np.packbits(wide, axis=1)


def parse_table(path: Path, columns: int, meter: console.Meter) -> Bits:
    """The table in one file; empty lines at its end are no rows.

    Raises:
        InputError: a value that is neither 0 nor 1, a row of another length, or no row at all.
    """
    reading = _Reading(path, columns)
    for block in _blocks(path, columns, meter):
        reading.take(block)
    if not reading.parts:
        raise InputError("has no rows", path=path, remedy="Fetch it again.")
    return np.concatenate(reading.parts)


def _blocks(path: Path, columns: int, meter: console.Meter) -> Iterator[bytes]:
    """The file in blocks of whole lines; the last line may lack its end."""
    longest = _BLOCK + 64 * columns
    rest = b""
    with files.open_input(path) as stream:
        while data := stream.read(_BLOCK):
            meter.advance(len(data))
            rest += data
            if len(rest) > longest:
                raise InputError("is no table of 0 and 1: it has a line without an end", path=path)
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
    if rest:
        yield rest + b"\n"


@dataclass
class _Reading:
    """One file on its way to bits."""

    path: Path
    columns: int
    parts: list[Bits] = field(default_factory=list)
    line: int = 1
    empty_since: int | None = None

    def take(self, block: bytes) -> None:
        """Take in whole lines."""
        kinds = _KIND[np.frombuffer(block, dtype=np.uint8)]
        is_digit = kinds >= _ZERO
        if not kinds.all() or (is_digit[1:] & is_digit[:-1]).any():
            self._refuse_value(block)
        values = np.flatnonzero(is_digit)
        ends = np.flatnonzero(kinds == _NEWLINE)
        counts = np.diff(np.searchsorted(values, ends), prepend=0)
        self._check(counts)
        if len(values):
            self.parts.append(np.packbits((kinds[values] == _ONE).reshape(-1, self.columns), axis=1))
        self.line += len(ends)

    def _check(self, counts: NDArray[np.int64]) -> None:
        wrong = np.flatnonzero((counts != self.columns) & (counts != 0))
        if len(wrong):
            at = int(wrong[0])
            problem = f"has {counts[at]} values, expected {self.columns}"
            raise InputError(problem, path=self.path, line=self.line + at)
        full = np.flatnonzero(counts)
        # The first empty line that a row follows, here or in an earlier block.
        gap = self.empty_since
        if gap is None and len(full) and full[-1] + 1 != len(full):
            gap = self.line + int(np.flatnonzero(counts == 0)[0])
        if gap is not None and len(full):
            raise InputError("is empty, but rows follow", path=self.path, line=gap)
        if self.empty_since is None and len(full) < len(counts):
            self.empty_since = self.line + len(full)

    def _refuse_value(self, block: bytes) -> None:
        for at, text in enumerate(block.split(b"\n")):
            for value in text.replace(b"\r", b" ").replace(b"\t", b" ").split(b" "):
                if value not in (b"", b"0", b"1"):
                    shown = value[:20].decode("latin-1")
                    raise InputError(f"has the value {shown!r}, expected 0 or 1", path=self.path, line=self.line + at)
