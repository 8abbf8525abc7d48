"""Ready-made arrays of label vectors, as research code ships them, as a source of word vectors.

Known files: `.npy`, `.npz`, safetensors, PyTorch's `.pth` and pickles, told by their content. The words come from
the same file where it holds them, else from word lists; whether their order is right is checked (`label_order`).
Nothing in these files is ever run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from zsmld.errors import InputError
from zsmld.labels.array_containers import form_of, open_contents
from zsmld.labels.array_stored import Contents, Stored
from zsmld.labels.array_tables import Part, Table, check_order, dropped, join, lay
from zsmld.labels.array_types import AnyArray, shortened
from zsmld.labels.array_words import WordList, as_texts, in_alphabetical_order, read_words, word_list
from zsmld.labels.embeddings import TENSOR, listed
from zsmld.labels.word_source import WordSource, WordVectors
from zsmld.tensors import DIGEST

_NAME_ONE = "Append ::array=NAME to the source."
_NAME_WORDS = "Append ::words=FILE to the source, a file with one word a line in the order of the rows."


def is_array_file(path: Path) -> bool:
    """Whether `path` is a file of arrays that `open_array_file` reads, or refuses better than others; by content.

    Raises:
        InputError: absent or unreadable.
    """
    return form_of(Path(path)) is not None


def open_array_file(
    path: Path, *, words: Sequence[Path] = (), array: str | None = None, alphabetical: bool = False
) -> WordSource:
    """A file of arrays as a source of word vectors; it is read when it is first asked.

    Args:
        path: the file.
        words: lists of the words. One for each array of a pickled list; those of a single array are joined.
            Without any, the file's own.
        array: the name of the array, where the file holds several.
        alphabetical: the rows are in the alphabetical order of the words, whatever their order in the list.
    """
    return _ArrayFile(Path(path), tuple(Path(name) for name in words), array, alphabetical)


class _ArrayFile:
    """A `WordSource` over a file of arrays."""

    def __init__(self, path: Path, words: tuple[Path, ...], array: str | None, sort: bool) -> None:
        self._path = path
        self._words = words
        self._array = array
        self._sort = sort

    def read(self, wanted: Collection[str]) -> WordVectors:
        """The vectors of the `wanted` words; see `WordSource`."""
        table, note = self._checked
        ranks = {word: rank for rank, word in enumerate(table.place_of)}
        present = [word for word in wanted if word in ranks]
        return WordVectors(
            vectors={word: self._sound(table, word) for word in present},
            width=table.width,
            digest=self._digest,
            size=len(ranks),
            ranks={word: ranks[word] for word in present},
            note=note,
        )

    def words(self) -> Iterator[str]:
        """Every word, in the order of the rows."""
        return iter(self._checked[0].place_of)

    @cached_property
    def _digest(self) -> str:
        return self._checked[0].digest()

    @cached_property
    def _checked(self) -> tuple[Table, str]:
        parts = _parts(self._path, self._words, self._array, sort=self._sort)
        checked = check_order(self._path, parts, sort=self._sort)
        sides = "; ".join(f"words of {part.lists} on its {part.side}s" for part in parts)
        return join(self._path, parts), f"{sides}; {checked}"

    def _sound(self, table: Table, word: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        vector = table.vector(word)
        part, row = table.place_of[word]
        where = f"{table.parts[part].side} {row + 1}, the vector of {shortened(word)},"
        if not np.isfinite(vector).all():
            raise InputError(f"{where} holds a number that is not finite", path=self._path)
        if not vector.any():
            raise InputError(f"{where} is all zeros", path=self._path)
        return vector


def _parts(path: Path, words: tuple[Path, ...], array: str | None, *, sort: bool) -> list[Part]:
    contents = open_contents(path)
    _refuse_own(path, contents)
    given = [read_words(name) for name in words]
    if contents.in_order and array is None and len(contents.stored) > 1:
        return [lay(path, each, [own], sort=sort) for each, own in _paired(path, contents, given)]
    values, lists = _chosen(path, contents, array, given)
    return [lay(path, values, lists, sort=sort)]


def _refuse_own(path: Path, contents: Contents) -> None:
    if contents.metadata and DIGEST in contents.metadata and any(stored.name == TENSOR for stored in contents.stored):
        raise InputError("is a file of label embeddings already", path=path, remedy="Give it as --embeddings.")


def _paired(path: Path, contents: Contents, given: list[WordList]) -> list[tuple[AnyArray, WordList]]:
    stored = contents.stored
    if len(stored) != len(given):
        sizes = " and ".join(each.about for each in stored[:4]) + (" ..." if len(stored) > 4 else "")
        raise InputError(
            f"holds a list of {len(stored)} arrays ({sizes}), {len(given)} word lists are given, expected one for each",
            path=path, remedy="Append ::words=FILE to the source for each of them, in that order.",
        )  # fmt: skip
    return [(_read(path, each), own) for each, own in zip(stored, given, strict=True)]


def _read(path: Path, stored: Stored) -> AnyArray:
    """The numbers of an array that is words × numbers."""
    if not _is_table(stored):
        if not stored.kind:
            stored.read()
        named = f"its array {stored.name!r} " if stored.name else ""
        raise InputError(
            f"{named}holds {stored.about}, expected floating-point numbers, words × numbers", path=path,
            remedy="Save it as float32.",
        )  # fmt: skip
    array: AnyArray = dropped(stored.read())
    return array


def _is_table(stored: Stored) -> bool:
    return stored.kind == "f" and len(_sizes(stored)) == 2


def _sizes(stored: Stored) -> tuple[int, ...]:
    sizes = stored.shape
    while len(sizes) > 2 and sizes[0] == 1:
        sizes = sizes[1:]
    return sizes


def _chosen(
    path: Path, contents: Contents, array: str | None, given: list[WordList]
) -> tuple[AnyArray, Sequence[WordList]]:
    """The array that is meant, and its words."""
    candidates = _candidates(path, contents, array)
    if len(candidates) > 1:
        # The words, in the file or beside it, may tell.
        counts = {sum(len(own.words) for own in given), len(in_alphabetical_order(given))}
        candidates = [
            stored for stored in candidates
            if (counts & set(_sizes(stored)) if given else _own_words(contents, stored))
        ] or candidates  # fmt: skip
    if len(candidates) != 1:
        raise InputError(f"holds several arrays: {_names(contents.stored)}", path=path, remedy=_NAME_ONE)
    values = _read(path, candidates[0])
    if given:
        return values, given
    own = _own_words(contents, candidates[0])
    if len(own) != 1:
        held = f"several lists of words, {_names(own)}," if own else "no words"
        raise InputError(f"holds {held} for {candidates[0].about}", path=path, remedy=_NAME_WORDS)
    return values, [_own_list(path, own[0])]


def _candidates(path: Path, contents: Contents, array: str | None) -> list[Stored]:
    if array is not None:
        named = [stored for stored in contents.stored if stored.name == array]
        if not named:
            raise InputError(f"holds no array {array!r}, but {_names(contents.stored)}", path=path, remedy=_NAME_ONE)
        return named[:1]
    tables = [stored for stored in contents.stored if _is_table(stored)]
    if not tables and len(contents.stored) != 1:
        raise InputError(
            f"holds {_names(contents.stored)}, expected floating-point numbers, words × numbers", path=path
        )
    return tables or contents.stored


def _names(stored: list[Stored]) -> str:
    named = [f"{each.name} ({each.about})" for each in stored]
    return listed(named) if named else "nothing else"


def _own_words(contents: Contents, array: Stored) -> list[Stored]:
    """The lists of texts in the file that have a word for each row, or each column, of `array`."""
    return [
        stored for stored in contents.stored
        if stored.kind in {"U", "S"} and len(stored.shape) == 1 and stored.shape[0] in _sizes(array)
    ]  # fmt: skip


def _own_list(path: Path, stored: Stored) -> WordList:
    try:
        texts = as_texts(stored.read())
    except InputError as error:
        raise InputError(error.problem, path=path, remedy=error.remedy) from error
    return word_list(enumerate(texts, start=1), path, f"its own {stored.name!r}")
