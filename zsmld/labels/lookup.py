"""How a label is found among the words of a source, and what is recorded of it.

In this order, and the first that succeeds counts:

1. whole, under one of its spellings (`spellings`): `polar bear`, `polar_bear`, `Polar-Bear`, ...
2. composed of its parts (at spaces, underscores and hyphens), each looked up in the same way;
3. another form of it, where forms are admitted: the plural of a singular, the verb of an -ing form, ...;
4. composed of parts of which some are other forms;
5. fastText's character n-grams, for the whole label or for the parts that are lacking.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from zsmld.labels.provenance import Composition
from zsmld.labels.word_forms import other_forms
from zsmld.labels.word_source import Vector, WordSource, WordVectors

_SEPARATORS = r"[\s_-]+"
# Arora et al., "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017: a word of probability p
# weighs a / (a + p); this is their a.
_SIF = 1e-3


@dataclass(frozen=True)
class Found:
    """The vector of a label, (E,) float32, and how it was found."""

    vector: Vector
    route: str


@dataclass
class LookUp:
    """What became of labels in one source.

    Attributes:
        found: label → its vector and route.
        lacking: label → the words that the source lacks: the label itself, or parts of it.
        words: what was read of the source.
    """

    words: WordVectors
    found: dict[str, Found] = field(default_factory=dict)
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)


def look_up(
    labels: Sequence[str], source: WordSource, *, composition: Composition = "mean", forms: bool = False
) -> LookUp:
    """Find the vectors of `labels` in `source`.

    Args:
        labels: L labels.
        source: the word vectors.
        composition: how a phrase is composed: `mean` of its words' vectors, or `sif`, a mean that gives less weight to
            frequent words, by their rank in the source.
        forms: whether to try plural, singular and -ing forms of what is not found.

    Raises:
        InputError: the source is malformed.
    """
    words = source.read({each for label in labels for text in (label, *_parts(label)) for each in spellings(text)})
    result = LookUp(words)
    stages: list[Callable[[str], Found | tuple[str, ...]]] = [_Finder(words, composition).find]
    if forms:
        stages.append(_Finder(words, composition, forms=True).find)
    if words.subwords is not None:
        stages.append(_Finder(words, composition, forms=forms, subwords=True).find)
    for number, find in enumerate(stages):
        remaining = [label for label in labels if label not in result.found]
        if number == 1 and forms and remaining:
            _read_forms(remaining, source, words)
        for label in remaining:
            outcome = find(label)
            if isinstance(outcome, Found):
                result.found[label] = outcome
                result.lacking.pop(label, None)
            else:
                result.lacking[label] = outcome
    return result


def _read_forms(labels: Iterable[str], source: WordSource, words: WordVectors) -> None:
    """Read the source once more, for other forms of what it lacks; most labels never need it."""
    wanted = {
        spelling
        for label in labels
        for text in (label, *_parts(label))
        for form in other_forms(text)
        for spelling in spellings(form.word)
    }
    more = source.read(wanted - set(words.vectors))
    words.vectors.update(more.vectors)
    words.ranks.update(more.ranks)


class _Finder:
    """Finds single labels among the words that were read."""

    def __init__(
        self, words: WordVectors, composition: Composition, *, forms: bool = False, subwords: bool = False
    ) -> None:
        self._words, self._composition, self._forms, self._subwords = words, composition, forms, subwords

    def find(self, label: str) -> Found | tuple[str, ...]:
        """The vector of `label`, or the words that are lacking."""
        parts = _parts(label)
        if single := self._find_one(label, whole=len(parts) > 1):
            vector, name = single
            return Found(vector, name if name.startswith(("form:", "subwords:")) else f"whole: {name}")
        found = [self._find_one(part) for part in parts] if len(parts) > 1 else [None]
        lacking = [part for part, each in zip(parts, found, strict=True) if each is None]
        if lacking:
            return tuple(lacking)
        return self._composed([each for each in found if each is not None])

    def _find_one(self, text: str, *, whole: bool = False) -> tuple[Vector, str] | None:
        """The vector of a word, and under which name it was found; a phrase as a `whole` has no subwords."""
        vectors = self._words.vectors
        if name := _first(spellings(text), vectors):
            return vectors[name], name
        if self._forms:
            for form in other_forms(text):
                if name := _first(spellings(form.word), vectors):
                    return vectors[name], f"form: {name} ({form.change})"
        if self._subwords and not whole and self._words.subwords is not None:
            vector = self._words.subwords(text)
            if vector is not None:
                return vector, f"subwords: {text}"
        return None

    def _composed(self, parts: Sequence[tuple[Vector, str]]) -> Found:
        weights = [self._weight(name) for _, name in parts]
        vectors = np.stack([vector for vector, _ in parts]).astype(np.float64)
        mean = np.average(vectors, axis=0, weights=weights)
        told = " + ".join(
            name if self._composition == "mean" else f"{weight:.2g} × {name}"
            for weight, (_, name) in zip(weights, parts, strict=True)
        )
        return Found(mean.astype(np.float32), f"composed ({self._composition}): {told}")

    def _weight(self, name: str) -> float:
        if self._composition == "mean":
            return 1.0
        rank = self._words.ranks.get(name)
        # A word that is found by another form or by its subwords is rare.
        probability = 0.0 if rank is None else 1 / ((rank + 1) * (math.log(self._words.size) + 0.5772))
        return _SIF / (_SIF + probability)


def _first(names: Iterable[str], known: Collection[str]) -> str | None:
    return next((name for name in names if name in known), None)


def _parts(label: str) -> list[str]:
    return [part for part in re.split(_SEPARATORS, label) if part]


def spellings(text: str) -> list[str]:
    """The spellings under which a label, or a part of one, is looked up, in order.

    As written; lower case; joined by underscores, hyphens, nothing and spaces, each as written and in lower case;
    then the same with capitals (`Polar_Bear`, `Polar_bear`, `POLAR_BEAR`); then all of it without accents on Latin
    letters; then with `#` for each digit, as word2vec's GoogleNews vectors write numbers of several digits.
    """
    forms = _cased(text)
    plain = _without_accents(text)
    if plain != text:
        forms += _cased(plain)
    if re.search(r"\d\d", text):
        forms += _cased(re.sub(r"\d", "#", text))
    return list(dict.fromkeys(form for form in forms if form))


def _cased(text: str) -> list[str]:
    pieces = re.split(_SEPARATORS, text.strip())
    forms = [text, text.lower()]
    forms += [case(joiner.join(pieces)) for joiner in ("_", "-", "", " ") for case in (str, str.lower)]
    capitalised = [piece.capitalize() for piece in pieces]
    for joiner in ("_", "-", "", " "):
        forms += [joiner.join(capitalised), joiner.join(pieces).capitalize(), joiner.join(pieces).upper()]
    return forms


def _without_accents(text: str) -> str:
    """`text` with the marks taken off its Latin letters. In other scripts a mark is part of the letter."""
    kept: list[str] = []
    latin = False
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.category(character) == "Mn" and latin:
            continue
        latin = "LATIN" in unicodedata.name(character, "")
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))
