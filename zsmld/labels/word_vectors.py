"""Word vectors from GloVe and word2vec files; phrases and missing words.

The file is read once, as a stream, and only the wanted rows are turned into numbers: a file of millions of words
takes seconds and hardly any memory. The others are checked for their structure only. A label is looked up whole in a
fixed order of spellings; what is not there is composed as the mean of the vectors of its parts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zsmld import console
from zsmld.errors import InputError
from zsmld.labels.embeddings import LabelEmbeddings, Provenance
from zsmld.labels.vector_files import open_vector_file
from zsmld.labels.vocabulary import Vocabulary, vocabulary_of
from zsmld.labels.word_source import WordVectors

_SEPARATORS = r"[\s_-]+"


def read_word_vectors(path: Path, wanted: Collection[str]) -> WordVectors:
    """Read the vectors of the `wanted` words from a GloVe or word2vec file, plain or gzipped.

    Args:
        path: the file; its form is told from its content.
        wanted: exact spellings; those that the file lacks are absent from the result.

    Raises:
        InputError: not such a file, or malformed; with the line (byte offset in binary files).
    """
    return open_vector_file(path).read(wanted)


def embed_words(
    labels: Sequence[str],
    path: Path,
    *,
    missing: Literal["error", "skip"] = "error",
    vocabulary: Vocabulary | None = None,
) -> LabelEmbeddings:
    """Embed `labels` with the word vectors of the file at `path`.

    A label is looked up whole first, in the order of `spellings`; one that the file lacks is the mean of the vectors
    of its parts (at spaces, underscores and hyphens), each looked up in the same way.

    Args:
        labels: L labels.
        path: a GloVe or word2vec file.
        missing: what to do with a label that cannot be found: refuse, or leave it out with a warning.
        vocabulary: where the labels were read, for messages.

    Raises:
        InputError: a malformed file; a missing label under "error"; no label found at all.
    """
    vocabulary = vocabulary or vocabulary_of(labels)
    wanted = {spelling for label in labels for text in (label, *_parts(label)) for spelling in spellings(text)}
    words = read_word_vectors(path, wanted)
    found = {label: _find(label, words) for label in labels}
    absent = {label: place for label, place in found.items() if isinstance(place, str)}
    if absent:
        _report_missing(absent, labels, vocabulary, path, skip=missing == "skip")
    kept = {label: place for label, place in found.items() if not isinstance(place, str)}
    return LabelEmbeddings(
        labels=tuple(kept),
        vectors=np.stack([vector for vector, _ in kept.values()]),
        routes=tuple(route for _, route in kept.values()),
        provenance=Provenance(source=str(Path(path).absolute()), source_digest=words.digest, kind="word_vectors"),
    )


def spellings(text: str) -> list[str]:
    """The spellings under which a label, or a part of one, is looked up, in order.

    As written; lower case; joined by underscores, hyphens, nothing and spaces, each as written and in lower case;
    then the same with capitals (`Polar_Bear`, `Polar_bear`, `POLAR_BEAR`).
    """
    pieces = re.split(_SEPARATORS, text.strip())
    forms = [text, text.lower()]
    forms += [case(joiner.join(pieces)) for joiner in ("_", "-", "", " ") for case in (str, str.lower)]
    capitalised = [piece.capitalize() for piece in pieces]
    for joiner in ("_", "-", "", " "):
        forms += [joiner.join(capitalised), joiner.join(pieces).capitalize(), joiner.join(pieces).upper()]
    return list(dict.fromkeys(form for form in forms if form))


def _parts(label: str) -> list[str]:
    return [part for part in re.split(_SEPARATORS, label) if part]


def _find(label: str, words: WordVectors) -> tuple[NDArray[np.float32], str] | str:
    """The vector of `label` and how it was found, or the parts that are missing, in words."""
    whole = next((word for word in spellings(label) if word in words.vectors), None)
    if whole is not None:
        return words.vectors[whole], f"whole: {whole}"
    parts = _parts(label)
    chosen = [next((word for word in spellings(part) if word in words.vectors), None) for part in parts]
    lacking = [part for part, word in zip(parts, chosen, strict=True) if word is None]
    if lacking or not parts:
        return "" if len(parts) < 2 else f"no {' and no '.join(map(repr, lacking))}"
    used = [word for word in chosen if word is not None]
    mean: NDArray[np.float64] = np.mean([words.vectors[word] for word in used], axis=0, dtype=np.float64)
    return mean.astype(np.float32), f"composed: {' + '.join(used)}"


def _report_missing(
    absent: dict[str, str], labels: Sequence[str], vocabulary: Vocabulary, path: Path, *, skip: bool
) -> None:
    """Warn of the labels that are left out, or refuse; leaving out all of them is refused too."""
    line_of = dict(zip(vocabulary.labels, vocabulary.lines, strict=True))
    word = "line" if vocabulary.path else "position"
    details = []
    for label, why in list(absent.items())[:10]:
        place = [f"{word} {line_of[label]}"] if label in line_of else []
        details.append(f"{label!r} ({'; '.join([*place, why] if why else place)})")
    more = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
    problem = f"{len(absent)} of {len(labels)} labels have no vector in {path}: {', '.join(details)}{more}"
    if skip and len(absent) < len(labels):
        console.warn(f"left out, {problem}")
        return
    raise InputError(
        problem, path=vocabulary.path, line=line_of.get(next(iter(absent))),
        remedy="Correct them." if skip else "Correct them, or leave them out with --missing skip.",
    )  # fmt: skip
