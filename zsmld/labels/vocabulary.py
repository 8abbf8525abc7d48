"""Label files: one label a line, in the order that the scores will have.

Blank lines and lines that begin with `#` are passed over. Labels keep their spelling (in Unicode's NFC form); two
spellings of one label, such as `Polar_Bear` and `polar bear`, are refused with both lines.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zsmld import files
from zsmld.errors import InputError

MAXIMUM_LENGTH = 200

# The joiners are invisible, but part of words in Persian and the languages of India, and of many emoji.
_JOINERS = {"\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}
_BETWEEN_WORDS = re.compile(r"(?<=[^\s_-])[\s_-]+(?=[^\s_-])")
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class Vocabulary:
    """Labels in order, and where each was read.

    Attributes:
        labels: the L labels, no two of them the same under `canonical`.
        path: the file they were read from; None for labels given in Python.
        lines: the 1-based line of each label (its position, for labels given in Python).
    """

    labels: tuple[str, ...]
    path: Path | None
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, condition: Callable[[str], bool]) -> Vocabulary:
        """The labels for which `condition` holds, with their lines."""
        kept = [(label, line) for label, line in zip(self.labels, self.lines, strict=True) if condition(label)]
        return Vocabulary(tuple(label for label, _ in kept), self.path, tuple(line for _, line in kept))


# Data sets name the same few labels a million times.
@functools.lru_cache(maxsize=1 << 16)
def canonical(label: str) -> str:
    """The key under which two spellings are the same label.

    Compatibility forms, case, and what separates words (underscores, hyphens, white space) do not count:
    `Polar_Bear`, `polar-bear` and `polar  bear` are one label. Number does: `dog` and `dogs` are two. So do
    underscores and hyphens at the ends: Open Images has the classes `/m/02519` and `/m/02519_`.
    """
    # One pass is not a fixed point: folding can leave forms that NFKC composes, and the reverse.
    for _ in range(2):
        label = unicodedata.normalize("NFKC", label).casefold()
    return _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFKC", label).strip())


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the label file at `path`.

    Raises:
        InputError: absent, not UTF-8, without labels, a label twice, unprintable characters or too long a label.
    """
    path = Path(path)
    return _checked(_numbered(path), path)


def sift_vocabulary(labels: Path | Iterable[str]) -> tuple[Vocabulary | None, list[InputError]]:
    """What is sound among labels or in a label file (None where nothing is), and all faults, of which `read_vocabulary`
    and `vocabulary_of` raise the first.

    Raises:
        InputError: the file is absent, or not UTF-8; a text in the place of a list.
    """
    path = labels if isinstance(labels, Path) else None
    return _sifted(_numbered(labels) if isinstance(labels, Path) else _given(labels), path)


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    lines = re.split(r"\r\n|\r|\n", files.read_text(path))
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return ((number, line) for number, line in numbered if line and not line.startswith("#"))


def vocabulary_of(labels: Iterable[str]) -> Vocabulary:
    """The same checks for labels that are given in Python.

    Raises:
        InputError: as `read_vocabulary`; the position of a label stands for its line.
    """
    return _checked(_given(labels), None)


def _given(labels: Iterable[str]) -> Iterator[tuple[int, str]]:
    if isinstance(labels, str):
        raise InputError(f"{labels!r} is one text, a list of labels was expected")
    return ((number, str(label).strip()) for number, label in enumerate(labels, start=1))


def _checked(numbered: Iterator[tuple[int, str]], path: Path | None) -> Vocabulary:
    vocabulary, faults = _sifted(numbered, path)
    if faults:
        raise faults[0]
    if vocabulary is None:
        raise InputError("holds no label, expected one a line" if path else "no labels given", path=path)
    return vocabulary


def _sifted(numbered: Iterator[tuple[int, str]], path: Path | None) -> tuple[Vocabulary | None, list[InputError]]:
    first: dict[str, tuple[int, str]] = {}
    faults: list[InputError] = []
    for number, raw in numbered:
        label = unicodedata.normalize("NFC", raw)
        try:
            key = _key_of(label, path, number)
        except InputError as fault:
            faults.append(fault)
            continue
        if key in first:
            faults.append(_twice(label, number, first[key], path))
        else:
            first[key] = (number, label)
    labels, lines = tuple(label for _, label in first.values()), tuple(number for number, _ in first.values())
    return (Vocabulary(labels, path, lines) if first else None), faults


def _key_of(label: str, path: Path | None, line: int) -> str:
    """The canonical form of `label`, once the label itself is known to be sound."""

    def refuse(problem: str, remedy: str | None = None) -> InputError:
        named = problem if path else f"label {line}: {problem}"
        return InputError(named, path=path, line=line, remedy=remedy)

    if len(label) > MAXIMUM_LENGTH:
        raise refuse(
            f"a label of {len(label)} characters, expected at most {MAXIMUM_LENGTH}", "Write one label a line."
        )
    for character in label:
        if unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS:
            named = "a tab" if character == "\t" else f"the unprintable character U+{ord(character):04X}"
            raise refuse(f"{label!r} holds {named}", "Write one label a line, without other columns.")
    if not re.search(r"[^\s_-]", label):
        raise refuse(f"{label!r} is no word" if label else "is empty")
    return canonical(label)


def _twice(label: str, line: int, earlier: tuple[int, str], path: Path | None) -> InputError:
    first_line, first_label = earlier
    word = "line" if path else "position"
    same = "again" if label == first_label else f"the same label as {first_label!r}"
    return InputError(
        f"{label!r} at {word} {line} is {same}, first at {word} {first_line}", path=path, line=line,
        remedy="Keep one of the two.",
    )  # fmt: skip


def check_disjoint(seen: Vocabulary, unseen: Vocabulary) -> None:
    """Refuse a label that is both seen and unseen.

    Raises:
        InputError: names the label and where it stands in both.
    """
    where_seen = {canonical(label): (label, line) for label, line in zip(seen.labels, seen.lines, strict=True)}
    for label, line in zip(unseen.labels, unseen.lines, strict=True):
        if canonical(label) in where_seen:
            seen_label, seen_line = where_seen[canonical(label)]
            place = f"{seen.path}:{seen_line}" if seen.path else f"position {seen_line}"
            here = "" if unseen.path else f" (position {line})"
            raise InputError(
                f"unseen label {label!r}{here} is also the seen label {seen_label!r} ({place})",
                path=unseen.path, line=line, remedy="Remove it from one of the two.",
            )  # fmt: skip
