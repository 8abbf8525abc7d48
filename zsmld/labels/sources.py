"""Labels and sources → label embeddings: the one entrance for word vectors, ready-made arrays and CLIP text towers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zsmld import console
from zsmld.errors import InputError, UsageError
from zsmld.labels.clip_models import Clip
from zsmld.labels.clip_text import embed_prompts
from zsmld.labels.embeddings import LabelEmbeddings, listed
from zsmld.labels.lookup import Found, look_up
from zsmld.labels.near_misses import near_misses
from zsmld.labels.prompt_templates import Templates, read_templates
from zsmld.labels.provenance import Composition, Provenance, SourceRecord
from zsmld.labels.source_spec import SourceSpec, parse_sources
from zsmld.labels.vocabulary import Vocabulary, canonical, read_vocabulary, vocabulary_of
from zsmld.labels.word_files import open_word_source
from zsmld.labels.word_forms import form_relation

Missing = Literal["error", "skip"]
Sources = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Part:
    """What one source has of the labels.

    Attributes:
        record: the source and how it was used.
        found: label → vector and route.
        lacking: label → the words that the source lacks.
        spec: the source, parsed.
    """

    record: SourceRecord
    found: dict[str, Found]
    lacking: dict[str, tuple[str, ...]]
    spec: SourceSpec

    def near_misses(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """For the words that these labels lack, the nearest that the source has; reads the source once more."""
        words = list(dict.fromkeys(word for label in labels for word in self.lacking.get(label, ())))
        return near_misses(words, open_word_source(self.spec).words()) if words else {}


@dataclass(frozen=True)
class Manner:
    """How labels are turned into vectors, beside the source.

    Attributes:
        templates: name of a template set, a file, or templates, for CLIP text towers; None for the default set.
        compose: how phrases that a file lacks are composed of their words, see `lookup.look_up`.
        forms: whether other forms of a word may stand for it.
        device: where a CLIP text tower computes.
        clip: the model of an `open_clip:` source, where it has been loaded already.
    """

    templates: Templates | None = None
    compose: Composition = "mean"
    forms: bool = False
    device: str = "auto"
    clip: Clip | None = None


def embed_labels(
    labels: Vocabulary | Sequence[str] | Path,
    *,
    source: Sources,
    missing: Missing = "error",
    templates: Templates | None = None,
    compose: Composition = "mean",
    forms: bool = False,
    device: str = "auto",
) -> LabelEmbeddings:
    """Embed labels with word vectors, ready-made arrays, a CLIP text tower, or several of them side by side.

    Args:
        labels: L labels, or the file that holds them one a line.
        source: one source or several, in the grammar of `source_spec`. The vectors of several are scaled to length
            sqrt(weight / sum of weights) each and concatenated, so that the cosine of two labels is the weighted mean
            of their cosines in the sources.
        missing: what to do with labels that a source lacks: refuse, or leave out with a warning.
        templates, compose, forms, device: see `Manner`.

    Returns:
        One row of width E for each label, in order.

    Raises:
        InputError: a label file, vector file or weights that are absent or malformed; missing labels.
        UsageError: a source, CLIP model or tag that is unknown; templates without a CLIP source.
        EnvironmentFailure: weights or vectors that cannot be fetched.
    """
    vocabulary = _vocabulary(labels)
    parts = look_up_labels(vocabulary, source, Manner(templates, compose, forms, device))
    return joined_parts(vocabulary, parts, missing=missing)


def look_up_labels(vocabulary: Vocabulary, source: Sources, manner: Manner | None = None) -> list[Part]:
    """What each source has of the labels; nothing is refused for want of a label.

    Raises:
        as `embed_labels`, but for missing labels.
    """
    manner = manner or Manner()
    specs = parse_sources(source)
    if manner.templates is not None and not any(spec.kind == "open_clip" for spec in specs):
        raise UsageError("templates are for CLIP text towers, the source is a word-vector file")
    return [_look_up_one(vocabulary, spec, manner) for spec in specs]


def _look_up_one(vocabulary: Vocabulary, spec: SourceSpec, manner: Manner) -> Part:
    if spec.kind == "open_clip":
        return _clip_part(vocabulary, spec, manner)
    result = look_up(vocabulary.labels, open_word_source(spec), composition=manner.compose, forms=manner.forms)
    coverage = Counter(found.route.partition(":")[0].partition(" ")[0] for found in result.found.values())
    record = SourceRecord(
        source=spec.text,
        digest=result.words.digest,
        kind="word_vectors",
        width=result.words.width,
        weight=spec.weight,
        composition=manner.compose,
        forms=manner.forms,
        coverage={**coverage, "lacking": len(result.lacking)},
        note=result.words.note,
    )
    return Part(record, result.found, result.lacking, spec)


def _clip_part(vocabulary: Vocabulary, spec: SourceSpec, manner: Manner) -> Part:
    templates = read_templates(manner.templates)
    vectors, source, digest = embed_prompts(
        vocabulary.labels, manner.clip or spec.name, templates, device=manner.device
    )
    route = f"clip: {len(templates)} template{'s' if len(templates) > 1 else ''}"
    record = SourceRecord(
        source=source,
        digest=digest,
        kind="clip_text",
        width=vectors.shape[1],
        weight=spec.weight,
        templates=templates,
        coverage={"clip": len(vocabulary), "lacking": 0},
    )
    found = {label: Found(vector, route) for label, vector in zip(vocabulary.labels, vectors, strict=True)}
    return Part(record, found, {}, spec)


def joined_parts(vocabulary: Vocabulary, parts: Sequence[Part], *, missing: Missing = "error") -> LabelEmbeddings:
    """The table of the labels that every part has.

    Raises:
        InputError: a label that a part lacks, under "error"; all of them, in any case.
    """
    kept = [label for label in vocabulary.labels if all(label in part.found for part in parts)]
    if len(kept) < len(vocabulary):
        _report_missing(vocabulary, parts, skip=missing == "skip" and bool(kept))
    routes = [[part.found[label].route for part in parts] for label in kept]
    return LabelEmbeddings(
        labels=tuple(kept),
        vectors=_side_by_side(kept, parts),
        routes=tuple("; ".join(route) for route in routes),
        provenance=Provenance(tuple(part.record for part in parts)),
    )


def _side_by_side(labels: Sequence[str], parts: Sequence[Part]) -> NDArray[np.float32]:
    blocks = [np.stack([part.found[label].vector for label in labels]) for part in parts]
    if len(blocks) == 1:
        return blocks[0]
    total = sum(part.record.weight for part in parts)
    scaled = []
    for block, part in zip(blocks, parts, strict=True):
        wide = block.astype(np.float64)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        scaled.append(wide / lengths * np.sqrt(part.record.weight / total))
    return np.concatenate(scaled, axis=1).astype(np.float32)


def _report_missing(vocabulary: Vocabulary, parts: Sequence[Part], *, skip: bool) -> None:
    """Warn of the labels that are left out, or refuse; with the nearest words that the sources have."""
    line_of = dict(zip(vocabulary.labels, vocabulary.lines, strict=True))
    absent = [label for label in vocabulary.labels if any(label in part.lacking for part in parts)]
    shown = absent[:10]
    word = "line" if vocabulary.path else "position"
    nearest = [part.near_misses(shown) for part in parts]
    details = []
    for label in shown:
        told = [f"{word} {line_of[label]}"]
        for part, near in zip(parts, nearest, strict=True):
            told += [_told(label, lacked, near) for lacked in part.lacking.get(label, ())]
        details.append(f"{label!r} ({'; '.join(text for text in dict.fromkeys(told) if text)})")
    more = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
    without = " and ".join(part.record.source for part in parts if part.lacking)
    problem = f"{len(absent)} of {len(vocabulary)} labels have no vector in {without}: {', '.join(details)}{more}"
    if skip:
        console.warn(f"left out, {problem}")
        return
    ways = ["Correct them"]
    if any(form_relation(lacked, name) for near in nearest for lacked, names in near.items() for name in names):
        ways.append("take other forms of a word with --forms")
    if len(absent) < len(vocabulary):
        ways.append("leave them out with --missing skip")
    raise InputError(problem, path=vocabulary.path, line=line_of[absent[0]], remedy=f"{', or '.join(ways)}.")


def _told(label: str, lacked: str, near: dict[str, tuple[str, ...]]) -> str:
    names = ", ".join(repr(name) for name in near.get(lacked, ()))
    nearest = f"nearest: {names}" if names else ""
    if lacked == label:
        return nearest
    return f"no {lacked!r}, {nearest}" if nearest else f"no {lacked!r}"


def _vocabulary(labels: Vocabulary | Sequence[str] | Path) -> Vocabulary:
    if isinstance(labels, Vocabulary):
        return labels
    return read_vocabulary(labels) if isinstance(labels, Path) else vocabulary_of(labels)


def embed_like(
    labels: Vocabulary | Sequence[str],
    table: LabelEmbeddings,
    *,
    source: Sources | None = None,
    missing: Missing = "error",
    device: str = "auto",
    clip: Clip | None = None,
) -> LabelEmbeddings:
    """Embed `labels` in the space of `table`: its own rows where it has them, the others from its sources.

    Args:
        labels: L labels; the result keeps their order and spelling.
        table: label embeddings, as of a trained model.
        source: where to embed new labels, if not where the table says it was made.
        missing, device: as in `embed_labels`.
        clip: see `Manner`.

    Raises:
        InputError: the source is gone, or is another one than the table's; new labels for a shuffled table.
    """
    vocabulary = _vocabulary(labels)
    known = {canonical(label) for label in table.labels}
    new = vocabulary.where(lambda label: canonical(label) not in known)
    if not new.labels:
        return table.select(vocabulary.labels)
    if table.provenance.shuffled is not None:
        raise InputError(
            f"the label embeddings are a shuffled control, which cannot be extended by {listed(new.labels)}"
        )
    added = joined_parts(new, _look_up_like(new, table.provenance, source, device, clip), missing=missing)
    if added.provenance.fingerprint != table.provenance.fingerprint:
        raise InputError(
            f"{added.provenance.source} is not the source of the label embeddings, {table.provenance.source}",
            remedy="Pass the file or model that they were made with as --source.",
        )
    old = [label for label in vocabulary.labels if canonical(label) in known]
    joined = _joined(table.select(old), added) if old else added
    found = set(joined.labels)
    order = [label for label in vocabulary.labels if label in found]
    return replace(joined.select(order), provenance=table.provenance)


def _look_up_like(
    new: Vocabulary, provenance: Provenance, source: Sources | None, device: str, clip: Clip | None
) -> list[Part]:
    """Look the new labels up in the same manner as the table's, weights included."""
    records = provenance.parts
    specs = parse_sources([record.source for record in records] if source is None else source)
    if len(specs) != len(records):
        raise UsageError(
            f"{len(specs)} sources are given, the label embeddings were made of {len(records)}: {provenance.source}"
        )
    parts = []
    for spec, record in zip(specs, records, strict=True):
        if source is None and spec.kind == "file" and not Path(spec.name).exists():
            raise InputError(
                f"the label embeddings were made with this file, which is gone; it is needed for {listed(new.labels)}",
                path=spec.name, remedy="Pass its new place as --source.",
            )  # fmt: skip
        manner = Manner(record.templates or None, record.composition or "mean", record.forms, device, clip)
        parts.append(_look_up_one(new, replace(spec, weight=record.weight), manner))
    return parts


def _joined(first: LabelEmbeddings, second: LabelEmbeddings) -> LabelEmbeddings:
    return LabelEmbeddings(
        labels=first.labels + second.labels,
        vectors=np.concatenate([first.vectors, second.vectors]),
        routes=first.routes + second.routes,
        provenance=first.provenance,
    )
