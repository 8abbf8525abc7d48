"""Words laid on the rows of arrays: which side of an array the words are, in which order, and whether that fits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsmld.errors import InputError
from zsmld.labels.array_types import AnyArray, shortened
from zsmld.labels.array_words import WordList, in_alphabetical_order
from zsmld.labels.label_order import Evidence, Pairs, Rows, evidence, related_pairs
from zsmld.labels.word_source import Vector

_BLOCK = 4096
_ORDERS = ("as listed", "alphabetical")


@dataclass(frozen=True)
class Part:
    """One array, one row a word.

    Attributes:
        words: the L words, in the order of the rows.
        rows: (L,E), of any floating-point type.
        side: whether the words are the `row`s or the `column`s of the array in the file.
        lists: how the word lists are named.
        other_order: the words as listed, where `words` are in alphabetical order, and the reverse.
    """

    words: tuple[str, ...]
    rows: AnyArray
    side: str
    lists: str
    other_order: tuple[str, ...]


def lay(path: Path, array: AnyArray, lists: Sequence[WordList], *, sort: bool) -> Part:
    """Lay the words of `lists` on the rows or columns of `array`.

    Raises:
        InputError: not as many words as rows or columns; or as many as both, and nothing tells which they are.
    """
    array = dropped(array)
    given = tuple(word for words in lists for word in words.words)
    orders = (in_alphabetical_order(lists), given) if sort else (given, in_alphabetical_order(lists))
    about = ", ".join(words.about for words in lists)
    sides = [side for side, size in zip(("row", "column"), array.shape, strict=True) if size == len(orders[0])]
    if not sides:
        raise _no_fit(path, array, orders, about, sort=sort)
    parts = [Part(orders[0], array if side == "row" else array.T, side, about, orders[1]) for side in sides]
    if len(parts) == 1:
        return parts[0]
    fitting = [part for part in parts if (found := _evidence(part)) and found.fits]
    if len(fitting) != 1:
        raise InputError(
            f"has as many rows as columns ({array.shape[0]}), and the words do not tell which of them they are",
            path=path, remedy="Save it as GloVe text instead, each word before its numbers.",
        )  # fmt: skip
    return fitting[0]


def dropped(array: AnyArray) -> AnyArray:
    """`array` without leading dimensions of 1."""
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array


def _no_fit(
    path: Path, array: AnyArray, orders: tuple[tuple[str, ...], tuple[str, ...]], about: str, *, sort: bool
) -> InputError:
    words, others = orders
    remedy = "Give the list that was used when the array was made."
    if not sort and len(others) != len(words) and len(others) in array.shape:
        remedy = f"It fits the {len(others)} distinct ones: append ::order=alphabetical if that is their order."
    count = f"{len(words)} distinct words" if sort else f"{len(words)} words"
    return InputError(
        f"holds {array.shape[0]} × {array.shape[1]} numbers, but there are {count} in {about}, expected as many "
        "words as rows or columns", path=path, remedy=remedy,
    )  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Distinct words and where their vectors are.

    Attributes:
        parts: the arrays.
        place_of: word → its part and the row there, in the order of the parts; the first of equal ones.
    """

    parts: tuple[Part, ...]
    place_of: dict[str, tuple[int, int]]

    @property
    def width(self) -> int:
        """E, the numbers of a row."""
        return int(self.parts[0].rows.shape[1])

    def vector(self, word: str) -> Vector:
        """The (E,) float32 vector of a word; numbers too large for the type are infinite."""
        part, row = self.place_of[word]
        return _single(self.parts[part].rows[row])

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The rows of the distinct words in order, some thousands at a time."""
        for number, part in enumerate(self.parts):
            rows = np.array([row for owner, row in self.place_of.values() if owner == number], np.intp)
            for start in range(0, len(rows), _BLOCK):
                yield _single(part.rows[rows[start : start + _BLOCK]])

    def digest(self) -> str:
        """`sha256:` over words and float32 rows in order: the same for every container."""
        digest = hashlib.sha256(f"{len(self.place_of)} {self.width}\n".encode())
        for word in self.place_of:
            digest.update(f"{word}\n".encode("utf-8", "surrogatepass"))
        for block in self.blocks():
            digest.update(np.ascontiguousarray(block, "<f4").data)
        return f"sha256:{digest.hexdigest()}"


def _single(rows: AnyArray) -> NDArray[np.float32]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(rows).astype(np.float32)


def join(path: Path, parts: Sequence[Part]) -> Table:
    """One table of all parts.

    Raises:
        InputError: a word that has two vectors.
    """
    place_of: dict[str, tuple[int, int]] = {}
    for number, part in enumerate(parts):
        for row, word in enumerate(part.words):
            first = place_of.setdefault(word, (number, row))
            if first != (number, row) and not _same(parts[first[0]].rows[first[1]], part.rows[row]):
                raise InputError(
                    f"{shortened(word)} has two vectors: {_place(parts, first)} and {_place(parts, (number, row))}",
                    path=path, remedy="Check the order of the words; keep one of the two.",
                )  # fmt: skip
    return Table(tuple(parts), place_of)


def _same(one: AnyArray, other: AnyArray) -> bool:
    # A NaN that signals warns when it is compared.
    with np.errstate(invalid="ignore"):
        return np.array_equal(one, other)


def _place(parts: Sequence[Part], place: tuple[int, int]) -> str:
    array = f" of array {place[0] + 1}" if len(parts) > 1 else ""
    return f"{parts[place[0]].side} {place[1] + 1}{array}"


def check_order(path: Path, parts: Sequence[Part], *, sort: bool) -> str:
    """Check that related words have nearer vectors than others, part by part; returns what was found, for people.

    Raises:
        InputError: parts of different widths; or they have not, so that the rows belong to other words; it says which
            order fits, where one does.
    """
    widths = {part.rows.shape[1] for part in parts}
    if len(widths) > 1:
        raise InputError(f"holds vectors of {sorted(widths)} numbers, expected one width", path=path)
    words = tuple(word for part in parts for word in part.words)
    pairs = related_pairs(words)
    starts = np.cumsum([0, *(len(part.words) for part in parts)])
    found = []
    for number, part in enumerate(parts):
        measured = evidence(pairs, _rows_of(parts), np.arange(starts[number], starts[number + 1]))
        if measured is not None and not measured.fits:
            raise _misfit(path, part, words, pairs, measured, sort=sort)
        found.append(measured.figures if measured else "not checked, too few of its words are related")
    return f"order {_ORDERS[sort]}: {'; '.join(found)}"


def _rows_of(parts: Sequence[Part]) -> Rows:
    starts = np.cumsum([0, *(len(part.words) for part in parts)])

    def rows(places: NDArray[np.intp]) -> NDArray[np.float32]:
        owners = np.searchsorted(starts, places, side="right") - 1
        vectors = np.empty((len(places), parts[0].rows.shape[1]), np.float32)
        for number, part in enumerate(parts):
            mine = owners == number
            vectors[mine] = _single(part.rows[places[mine] - starts[number]])
        return vectors

    return rows


def _evidence(part: Part) -> Evidence | None:
    return evidence(related_pairs(part.words), _rows_of([part]), np.arange(len(part.words)))


def _misfit(
    path: Path, part: Part, words: tuple[str, ...], pairs: Pairs, measured: Evidence, *, sort: bool
) -> InputError:
    one, other = (words[place] for place in pairs[0])
    fits = "Give the list in the order that was used when the array was made."
    if len(part.other_order) == len(part.words):
        otherwise = _evidence(Part(part.other_order, part.rows, part.side, part.lists, part.words))
        if otherwise is not None and otherwise.fits:
            fits = f"The order {_ORDERS[not sort]} does fit: "
            fits += "leave out ::order=alphabetical." if sort else "append ::order=alphabetical to the source."
    return InputError(
        f"the {part.side}s do not fit the order of the words in {part.lists}: related words such as {shortened(one)} "
        f"and {shortened(other)} are no nearer than others ({measured.figures})", path=path, remedy=fits,
    )  # fmt: skip
