"""Label embeddings: labels, their vectors, and where these came from; one safetensors file.

The file holds one tensor, `embeddings` (L,E) float32, and metadata as text: `labels` and `routes` (JSON lists),
`sources` (a JSON list of `SourceRecord`), `normalisation`, `shuffled` (the seed, for the control only),
`format_version` and `content_digest`. The last covers the tensor and all other metadata, because safetensors
itself loads a file with a flipped bit without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.labels.vocabulary import canonical, vocabulary_of
from zsmld.tensors import read_tensors, write_tensors

FORMAT_VERSION = 2
TENSOR = "embeddings"
_REQUIRED = ("labels", "routes", "sources", "format_version", "content_digest")
_MAKE_ANEW = "Make it anew with zsmld embed-labels."


@dataclass(frozen=True, eq=False)
class LabelEmbeddings:
    """L labels with one vector each.

    Attributes:
        labels: the L labels.
        vectors: (L,E) float32, finite, no row zero.
        routes: how each label was found, for people to read.
        provenance: where the vectors came from.

    Raises:
        InputError: the parts do not fit each other.
    """

    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    routes: tuple[str, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        vocabulary_of(self.labels)
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2 or 0 in self.vectors.shape:
            raise InputError(f"embeddings are {self.vectors.dtype} {self.vectors.shape}, expected float32 (L,E)")
        if not len(self.labels) == len(self.routes) == len(self.vectors):
            raise InputError(
                f"{len(self.labels)} labels, {len(self.routes)} routes and {len(self.vectors)} embeddings, "
                "expected as many of each"
            )
        for fault, rows in (
            ("is not finite", ~np.isfinite(self.vectors).all(axis=1)),
            ("is all zeros", ~self.vectors.any(axis=1)),
        ):
            if rows.any():
                raise InputError(f"the embedding of {self.labels[int(rows.argmax())]!r} {fault}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def width(self) -> int:
        """E, the width of the embeddings."""
        return int(self.vectors.shape[1])

    def select(self, labels: Sequence[str]) -> LabelEmbeddings:
        """The rows of `labels`, in that order and spelling; spellings of one label match (`canonical`).

        Raises:
            InputError: names the labels that the table lacks.
        """
        row_of = {canonical(label): row for row, label in enumerate(self.labels)}
        absent = [label for label in labels if canonical(label) not in row_of]
        if absent:
            raise InputError(
                f"the label embeddings lack {listed(absent)}", remedy="Add them to the label file and embed it anew."
            )
        rows = [row_of[canonical(label)] for label in labels]
        return replace(
            self, labels=tuple(labels), vectors=self.vectors[rows], routes=tuple(self.routes[row] for row in rows)
        )

    def shuffled(self, seed: int) -> LabelEmbeddings:
        """The control: every label gets another label's vector, and the table says so.

        Raises:
            InputError: fewer than two labels, or a table that is shuffled already.
        """
        if self.provenance.shuffled is not None:
            raise InputError("the label embeddings are shuffled already")
        if len(self) < 2:
            raise InputError("one label cannot be shuffled, expected at least two")
        order = np.random.default_rng(seed).permutation(len(self))
        # A single cycle through all rows has no fixed point.
        giver = np.empty_like(order)
        giver[order] = np.roll(order, 1)
        routes = tuple(f"shuffled: vector of {self.labels[row]}" for row in giver)
        return replace(
            self, vectors=self.vectors[giver], routes=routes, provenance=replace(self.provenance, shuffled=seed)
        )

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the table to `path`, whole or not at all.

        Raises:
            UsageError: `path` exists and `force` is not set.
            EnvironmentFailure: it cannot be written.
        """
        write_tensors(path, {TENSOR: self.vectors}, self._metadata(), force=force)

    def _metadata(self) -> dict[str, str]:
        metadata = {
            "labels": files.to_json(list(self.labels)),
            "routes": files.to_json(list(self.routes)),
            # A path may hold bytes that are no text; safetensors stores text only.
            "sources": files.to_json(self.provenance.to_json()).encode("utf-8", "replace").decode(),
            "normalisation": self.provenance.normalisation,
            "format_version": str(FORMAT_VERSION),
        }
        if self.provenance.shuffled is not None:
            metadata["shuffled"] = str(self.provenance.shuffled)
        return metadata

    @classmethod
    def load(cls, path: str | Path) -> LabelEmbeddings:
        """Read the table at `path`, checking everything, its digest included.

        Raises:
            InputError: absent, truncated, altered, or not such a file.
        """
        arrays, metadata = read_tensors(path, remedy=_MAKE_ANEW)
        try:
            _check_metadata(metadata)
            vectors = arrays.get(TENSOR)
            if vectors is None:
                raise InputError(f"holds no tensor {TENSOR!r}")
            return cls(
                labels=_texts(metadata, "labels"),
                vectors=vectors,
                routes=_texts(metadata, "routes"),
                provenance=_provenance(metadata),
            )
        except InputError as error:
            raise InputError(error.problem, path=path, remedy=error.remedy or _MAKE_ANEW) from error


def listed(labels: Sequence[str], most: int = 10) -> str:
    """`labels` quoted and separated by commas: the first `most`, and how many more."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(repr(label) for label in labels[:most]) + more


def _check_metadata(metadata: Mapping[str, str]) -> None:
    version = metadata.get("format_version", "")
    if version.isascii() and version.isdecimal() and int(version) > FORMAT_VERSION:
        raise InputError(f"has format version {version}, this zsmld reads {FORMAT_VERSION}", remedy="Update zsmld.")
    if version == "1":
        raise InputError(f"has format version 1, this zsmld reads {FORMAT_VERSION}")
    absent = [key for key in _REQUIRED if key not in metadata]
    if absent:
        raise InputError(f"is no file of label embeddings: its metadata lacks {listed(absent)}")


def _texts(metadata: Mapping[str, str], key: str) -> tuple[str, ...]:
    texts = _json(metadata, key)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"its metadata {key!r} is no list of texts")
    return tuple(texts)


def _json(metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise InputError(f"its metadata {key!r} is not JSON") from error


def _provenance(metadata: Mapping[str, str]) -> Provenance:
    records = _json(metadata, "sources")
    seed = metadata.get("shuffled")
    if not isinstance(records, list) or not records:
        raise InputError("its metadata 'sources' is no list of sources")
    if seed is not None and not (seed.isascii() and seed.isdecimal()):
        raise InputError(f"its metadata 'shuffled' is {seed!r}, expected a seed")
    return Provenance(
        parts=tuple(SourceRecord.from_json(record) for record in records),
        shuffled=None if seed is None else int(seed),
    )
