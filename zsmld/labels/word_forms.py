"""English inflections by rule: singular and plural, with and without -ing.

Rules, not a dictionary: they give candidates of which a caller takes those that exist in a vocabulary. Words in other
scripts than Latin have no forms here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from zsmld.labels.vocabulary import canonical

Change = Literal["singular", "plural", "without -ing", "with -ing"]

_IRREGULAR = {
    "person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth",
    "goose": "geese", "mouse": "mice", "louse": "lice", "ox": "oxen", "die": "dice", "penny": "pence",
    "leaf": "leaves", "loaf": "loaves", "half": "halves", "calf": "calves", "wolf": "wolves", "shelf": "shelves",
    "self": "selves", "elf": "elves", "thief": "thieves", "scarf": "scarves", "hoof": "hooves", "knife": "knives",
    "wife": "wives", "life": "lives", "cactus": "cacti", "fungus": "fungi", "alumnus": "alumni", "octopus": "octopi",
    "criterion": "criteria", "phenomenon": "phenomena", "bacterium": "bacteria", "datum": "data", "medium": "media",
    "axis": "axes", "crisis": "crises", "oasis": "oases", "analysis": "analyses", "quiz": "quizzes",
}  # fmt: skip
_SINGULAR_OF = {plural: singular for singular, plural in _IRREGULAR.items()}
# Words like these end on s, but are no plurals.
_NO_PLURAL = re.compile(r"(ss|us|is|news|series|species|lens|gas|bus|chaos|canvas|atlas|christmas)$")
# What is left before -ing must be a word: "sing", "king", "thing" and "spring" lose nothing.
_STEM = re.compile(r"(?=.*[aeiouy]).{3,}|go|do|be|[ldtv]y")
_VOWELS = "aeiou"


@dataclass(frozen=True)
class Form:
    """Another form of a word.

    Attributes:
        word: its spelling, capitals as in the word it was made of.
        change: what was done to that.
    """

    word: str
    change: Change


def other_forms(text: str) -> tuple[Form, ...]:
    """Other forms of a word, or of the last word of a phrase, the likelier first.

    Args:
        text: one label or a part of one; its capitals are kept.
    """
    head, word = re.fullmatch(r"(.*?[\s_-])?([^\s_-]*)[\s_-]*", text, re.DOTALL).groups(default="")  # type: ignore[union-attr]
    lower = word.lower()
    if not re.fullmatch(r"[a-z]{2,}", lower):
        return ()
    rules: tuple[tuple[Change, Callable[[str], list[str]]], ...] = (
        ("singular", _singulars),
        ("without -ing", _without_ing),
        ("plural", _plurals),
        ("with -ing", _with_ing),
    )
    found: dict[str, Change] = {}
    for change, rule in rules:
        # A plural has no plural, and nothing to do with -ing.
        if "singular" in found.values() and change != "singular":
            break
        for candidate in rule(lower):
            found.setdefault(candidate, change)
    return tuple(Form(head + _cased_like(word, candidate), change) for candidate, change in found.items())


def _cased_like(word: str, candidate: str) -> str:
    if word.isupper():
        return candidate.upper()
    return candidate.capitalize() if word[:1].isupper() else candidate


def _singulars(word: str) -> list[str]:
    for plural, singular in _SINGULAR_OF.items():
        if word == plural or (len(plural) > 3 and word.endswith(plural)) or _is_compound_of_man(word, plural):
            return [word.removesuffix(plural) + singular]
    if not word.endswith("s") or len(word) < 3 or _NO_PLURAL.search(word):
        return []
    stems = [word[:-1]]
    if word.endswith("ies") and len(word) > 4:
        stems.insert(0, word[:-3] + "y")
    elif re.search(r"(s|x|z|ch|sh|o)es$", word):
        stems.insert(0, word[:-2])
    return stems


def _plurals(word: str) -> list[str]:
    for singular, plural in _IRREGULAR.items():
        if word == singular or (len(singular) > 3 and word.endswith(singular)) or _is_compound_of_man(word, singular):
            return [word.removesuffix(singular) + plural, word + "s"]
    if re.search(r"[^aeiou]y$", word):
        return [word[:-1] + "ies"]
    if re.search(r"(s|x|z|ch|sh)$", word):
        return [word + "es"]
    return [word + "s", word + "es"] if word.endswith("o") else [word + "s"]


def _is_compound_of_man(word: str, ending: str) -> bool:
    """Whether `word` is like fireman or firemen, and not like human."""
    return ending in ("man", "men") and word.endswith(ending) and word[:-3] not in {"hu", "ger", "ro", "sha", "otto"}


def _without_ing(word: str) -> list[str]:
    stem = word.removesuffix("ing")
    if stem == word or not _STEM.fullmatch(stem):
        return []
    candidates = [stem, stem + "e"]
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in _VOWELS:
        # running → run; but falling → fall.
        candidates.insert(0 if stem[-1] not in "lsz" else 1, stem[:-1])
    elif len(stem) == 2 and stem.endswith("y"):
        candidates = [stem[:-1] + "ie"]
    return candidates


def _with_ing(word: str) -> list[str]:
    if word.endswith("ing") and _without_ing(word):
        return []
    if word.endswith("ie"):
        return [word[:-2] + "ying"]
    if word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        return [word[:-1] + "ing", word + "ing"]
    if re.search(r"[^aeiou][aeiou][^aeiouwxy]$", word):
        return [word + word[-1] + "ing", word + "ing"]
    return [word + "ing"]


def form_relation(first: str, second: str) -> Literal["plural", "-ing"] | None:
    """How two labels are forms of one another: one the plural of the other, or the other's -ing form; or not at all."""
    a, b = canonical(first), canonical(second)
    # From the longer to the shorter only: that `bus` could be the plural of `bu` says nothing.
    changes = {form.change for one, other in ((a, b), (b, a)) for form in other_forms(one) if form.word == other}
    if "singular" in changes:
        return "plural"
    return "-ing" if "without -ing" in changes else None
