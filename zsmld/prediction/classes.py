"""The classes of a closed-set model: which of them are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from zsmld import console
from zsmld.errors import InputError, nearest
from zsmld.labels.vocabulary import Vocabulary, canonical, vocabulary_of


def classes_among(labels: Vocabulary | Sequence[str], classes: Sequence[str], *, missing: str) -> tuple[str, ...]:
    """The labels as the classes spell them, in the order of the labels.

    Args:
        labels: what is asked for.
        classes: of the model.
        missing: what to do with a label that is no class: error or skip.

    Raises:
        InputError: a label that is no class; names the file, the line, and the nearest class.
    """
    asked = labels if isinstance(labels, Vocabulary) else vocabulary_of(labels)
    spelt = {canonical(name): name for name in classes}
    absent = asked.where(lambda label: canonical(label) not in spelt)
    for label, line in zip(absent.labels[:1], absent.lines, strict=False):
        if missing != "skip":
            remedy = nearest(label, classes) or "Take it out, or add --missing skip."
            problem = f"{label!r} is none of the {len(classes)} classes of the closed-set model"
            raise InputError(problem, path=asked.path, line=line if asked.path else None, remedy=remedy)
        console.warn(f"left out, no classes of the model: {', '.join(map(repr, absent.labels[:10]))}")
    found = tuple(spelt[canonical(label)] for label in asked.labels if canonical(label) in spelt)
    if not found:
        raise InputError("holds none of the classes of the closed-set model", path=asked.path)
    return found
