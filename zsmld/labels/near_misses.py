"""For words that a source lacks, the words of the source that are spelt most like them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

MOST_ASKED = 50
_CHUNK = 1 << 16
# Of the optimal string alignment distance over the longer word's length: "aeroplane" and "airplane" have 0.78.
_LEAST = 0.6


def near_misses(missing: Sequence[str], words: Iterable[str], *, most: int = 3) -> dict[str, tuple[str, ...]]:
    """The nearest spellings among `words`, in one pass and bounded memory.

    Case does not count, nor whether words are separated by spaces, underscores or hyphens.

    Args:
        missing: the words to find others for; only the first 50 are looked at.
        words: all words of a source.
        most: how many for each, at most.

    Returns:
        word → the nearest, best first, of equals the earlier; words without any are absent.
    """
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import cdist

    asked = list(dict.fromkeys(missing))[:MOST_ASKED]
    keys = [_key(word) for word in asked]
    best: dict[str, list[tuple[float, str]]] = {word: [] for word in asked}
    stream = iter(words)
    while asked and (chunk := list(itertools.islice(stream, _CHUNK))):
        scores = cdist(
            keys, [_key(word) for word in chunk], scorer=OSA.normalized_similarity, score_cutoff=_LEAST,
            dtype=np.float32,
        )  # fmt: skip
        for word, row in zip(asked, scores, strict=True):
            found = [(float(row[at]), chunk[at]) for at in np.flatnonzero(row)]
            best[word] = _first_distinct(best[word] + found, most)
    return {word: tuple(name for _, name in found) for word, found in best.items() if found}


def _first_distinct(found: list[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """The `most` best that differ by more than case; sorting is stable, so of equals the earlier stays in front."""
    kept: dict[str, tuple[float, str]] = {}
    for score, name in sorted(found, key=lambda each: -each[0]):
        kept.setdefault(_key(name), (score, name))
    return list(kept.values())[:most]


def _key(word: str) -> str:
    return word.lower().replace("_", " ").replace("-", " ")
