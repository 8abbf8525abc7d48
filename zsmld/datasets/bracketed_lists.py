"""Lists of labels in brackets, as ML-Decoder's zero-shot code writes them in one cell: `['a', 'b']` or `[a, b]`."""

from __future__ import annotations

from functools import lru_cache

from zsmld.datasets.gathering import label_words
from zsmld.errors import InputError

_BETWEEN = ", "
_QUOTES = "'\""


def bracketed(cell: str) -> tuple[tuple[str, ...], bool | None]:
    """The labels of a cell, and whether they stand in quotes; None for an empty list, which does not tell.

    That code takes the brackets away and splits at a comma with a space behind it; what it would read in another way
    than a reader of the text does is refused.

    Raises:
        InputError: no list in brackets, half a pair of quotes, quotes around some labels only, an empty label, white
            space around one, a bracket or backslash in one, or a comma without a space.
    """
    text = cell.strip()
    if len(text) < 2 or text[0] != "[" or text[-1] != "]":
        raise InputError(f"labels are {cell[:40]!r}, expected a list in brackets: [a, b]")
    inner = text[1:-1]
    if not inner.strip():
        return (), None
    read = [_unquoted(item) for item in inner.split(_BETWEEN)]
    quoted = read[0][1]
    if any(other != quoted for _, other in read):
        raise InputError(f"labels are {cell[:40]!r}, some in quotes and some not")
    return tuple(word for word, _ in read), quoted


# The same labels stand in many rows.
@lru_cache(maxsize=1 << 14)
def _unquoted(item: str) -> tuple[str, bool]:
    """A label without its quotes, and whether it had them."""
    quoted = len(item) > 1 and item[0] in _QUOTES and item[0] == item[-1]
    word = item[1:-1] if quoted else item
    problem = _problem(word, item, quoted=quoted)
    if problem is not None:
        raise InputError(f"label {item[:40]!r} {problem}")
    return label_words([word])[0], quoted


def _problem(word: str, item: str, *, quoted: bool) -> str | None:
    if not word or word != word.strip():
        return "is empty, or has white space around it"
    if any(mark in word for mark in "[]\\"):
        return "has a bracket or a backslash in it"
    if "," in word:
        return "has a comma without a space behind it"
    if item[0] in word if quoted else (item[0] in _QUOTES or item[-1] in _QUOTES):
        return "has quotes that do not fit"
    return None
