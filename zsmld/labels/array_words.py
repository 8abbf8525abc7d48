"""Which words the rows of an array belong to: lists in text files, pickles or arrays of texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels.array_containers import form_of, open_contents
from zsmld.labels.array_pickles import resolved
from zsmld.labels.array_types import text_of, texts_in

_CONTROL = {"Cc", "Cs", "Zl", "Zp"}
_ONE_A_LINE = "Write one word a line, without other columns."


@dataclass(frozen=True)
class WordList:
    """Words in order.

    Attributes:
        words: as they are written, in Unicode's NFC form; a word may stand there twice.
        path: the file that lists them.
        about: how to name the list: the file's name and the first digits of its SHA-256, or the array in the file.
    """

    words: tuple[str, ...]
    path: Path
    about: str


def read_words(path: Path) -> WordList:
    """Read a list of words: one a line, or a pickle or array of texts, or a pickled dictionary of places.

    Lines are read as those of a label file: blank ones and those that begin with `#` are passed over.

    Raises:
        InputError: absent, malformed, or without words.
    """
    about = f"{path.name} ({files.digest_file(path)[:19]})"
    if form_of(path) is None:
        lines = enumerate(re.split(r"\r\n|\r|\n", files.read_text(path)), start=1)
        return word_list(((at, line) for at, line in lines if line.strip() and not line.startswith("#")), path, about)
    try:
        return word_list(enumerate(_texts(path), start=1), path, about)
    except InputError as error:
        raise InputError(error.problem, path=path, line=None, remedy=error.remedy or _ONE_A_LINE) from error


def word_list(numbered: Iterable[tuple[int, str]], path: Path, about: str) -> WordList:
    """The words of a list with their lines, checked.

    Raises:
        InputError: a word that is empty or holds control characters; no words.
    """
    words = tuple(_checked(text, path, line) for line, text in numbered)
    if not words:
        raise InputError("holds no word, expected one a line", path=path)
    return WordList(words, path, about)


def _checked(text: str, path: Path, line: int) -> str:
    word = text.strip()
    if word.isascii() and word.isprintable() and word:
        return word
    if not word:
        raise InputError(f"its word {line} is empty", path=path)
    for character in word:
        if unicodedata.category(character) in _CONTROL:
            named = "a tab" if character == "\t" else f"the control character U+{ord(character):04X}"
            raise InputError(f"{word[:60]!r} holds {named}", path=path, line=line, remedy=_ONE_A_LINE)
    return unicodedata.normalize("NFC", word)


def _texts(path: Path) -> list[str]:
    """The words of a pickle, or of the one array of texts in another file."""
    contents = open_contents(path)
    if isinstance(contents.value, dict):
        return _in_places(contents.value)
    if isinstance(contents.value, list):
        return [text_of(item) for item in contents.value]
    lists = [stored for stored in contents.stored if stored.kind and stored.kind in "US"]
    if len(lists) != 1:
        raise InputError(f"holds {len(lists)} lists of texts, expected one")
    return as_texts(lists[0].read())


def as_texts(values: Any) -> list[str]:
    """The texts of an array or a list."""
    return texts_in(values) if isinstance(values, np.ndarray) else [text_of(value) for value in values]


def _in_places(value: dict[Any, Any]) -> list[str]:
    """The texts of a dictionary place → text, or text → place, by place."""
    pairs = [(key, resolved(item)) for key, item in value.items()]
    if all(type(item) is int for _, item in pairs):
        pairs = [(place, text) for text, place in pairs]
    if {type(place) for place, _ in pairs} != {int} or {place for place, _ in pairs} != set(range(len(pairs))):
        raise InputError(
            f"is a pickled dictionary of {len(pairs)} entries, expected the places 0 to {len(pairs) - 1} of words"
        )
    return [text_of(text) for _, text in sorted(pairs, key=lambda pair: pair[0])]


def in_alphabetical_order(lists: Sequence[WordList]) -> tuple[str, ...]:
    """The distinct words of `lists` as Python sorts them: the order of the classes of a binarizer."""
    return tuple(sorted({word for words in lists for word in words.words}))
