"""Labels and the name of a source → label embeddings: the one entrance for word vectors and CLIP text towers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from zsmld.errors import InputError, UsageError
from zsmld.labels.clip_models import PREFIX
from zsmld.labels.clip_text import embed_clip_text, read_templates
from zsmld.labels.embeddings import LabelEmbeddings, listed
from zsmld.labels.vocabulary import Vocabulary, canonical, read_vocabulary, vocabulary_of
from zsmld.labels.word_vectors import embed_words

Missing = Literal["error", "skip"]


def embed_labels(
    labels: Vocabulary | Sequence[str] | Path,
    *,
    source: str | Path,
    missing: Missing = "error",
    templates: Path | None = None,
) -> LabelEmbeddings:
    """Embed labels with word vectors or a CLIP text tower.

    Args:
        labels: L labels, or the file that holds them one a line.
        source: a GloVe or word2vec file, or `open_clip:MODEL@WEIGHTS`, `open_clip:local-dir:FOLDER`,
            `open_clip:hf-hub:ORG/NAME`.
        missing: what to do with labels that word vectors lack: refuse, or leave out with a warning.
        templates: a file of prompt templates, for CLIP only.

    Returns:
        One row of width E for each label, in order.

    Raises:
        InputError: a label file, vector file or weights that are absent or malformed; missing labels.
        UsageError: an unknown CLIP model or tag; templates for word vectors.
        EnvironmentFailure: weights that cannot be fetched.
    """
    vocabulary = _vocabulary(labels)
    if str(source).startswith(PREFIX):
        return embed_clip_text(vocabulary.labels, str(source), templates=read_templates(templates))
    if templates is not None:
        raise UsageError("templates are for CLIP text towers, the source is a word-vector file")
    return embed_words(vocabulary.labels, Path(source).expanduser(), missing=missing, vocabulary=vocabulary)


def _vocabulary(labels: Vocabulary | Sequence[str] | Path) -> Vocabulary:
    if isinstance(labels, Vocabulary):
        return labels
    return read_vocabulary(labels) if isinstance(labels, Path) else vocabulary_of(labels)


def embed_like(
    labels: Vocabulary | Sequence[str],
    table: LabelEmbeddings,
    *,
    source: str | Path | None = None,
    missing: Missing = "error",
) -> LabelEmbeddings:
    """Embed `labels` in the space of `table`: its own rows where it has them, the others from its source.

    Args:
        labels: L labels; the result keeps their order and spelling.
        table: label embeddings, as of a trained model.
        source: where to embed new labels, if not where the table says it was made.
        missing: as in `embed_labels`.

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
    added = _embed_new(new, table, source, missing)
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


def _embed_new(new: Vocabulary, table: LabelEmbeddings, source: str | Path | None, missing: Missing) -> LabelEmbeddings:
    chosen = str(source or table.provenance.source)
    if chosen.startswith(PREFIX):
        return embed_clip_text(new.labels, chosen, templates=table.provenance.templates or None)
    path = Path(chosen).expanduser()
    if source is None and not path.exists():
        raise InputError(
            f"the label embeddings were made with this file, which is gone; it is needed for {listed(new.labels)}",
            path=path, remedy="Pass its new place as --source.",
        )  # fmt: skip
    return embed_words(new.labels, path, missing=missing, vocabulary=new)


def _joined(first: LabelEmbeddings, second: LabelEmbeddings) -> LabelEmbeddings:
    return LabelEmbeddings(
        labels=first.labels + second.labels,
        vectors=np.concatenate([first.vectors, second.vectors]),
        routes=first.routes + second.routes,
        provenance=first.provenance,
    )
