"""How one label became a vector, for people to read: what its source is, what was looked up, what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.lookup import spellings
from zsmld.labels.provenance import SourceRecord
from zsmld.labels.sources import Part
from zsmld.labels.vocabulary import canonical

_NEIGHBOURS = 5
_SPELLINGS = 8


def explain_stored(label: str, table: LabelEmbeddings) -> Iterator[str]:
    """Lines on a label of a table: its route as stored, its sources, its nearest labels.

    Raises:
        InputError: the table lacks the label.
    """
    row = table.select([label])
    yield label
    yield f"  found    {row.routes[0]}"
    for record in table.provenance.parts:
        yield from _source_lines(record)
    if table.provenance.shuffled is not None:
        yield f"  control  rows are permuted with seed {table.provenance.shuffled}: the vector is another label's"
    yield f"  vector   {table.width} numbers, length {float(np.linalg.norm(row.vectors[0])):.3f}"
    near = _neighbours(row, table)
    if near:
        yield f"  nearest  {near}"


def explain_lookup(label: str, part: Part) -> Iterator[str]:
    """Lines on a label that was looked up in a source just now."""
    yield label
    # How many labels were found is told of tables.
    yield from _source_lines(replace(part.record, coverage={}))
    if part.record.kind == "clip_text":
        text = label.replace("_", " ")
        prompts = [template.replace("{}", text) for template in part.record.templates]
        yield f"  asked    {' | '.join(prompts)}"
    else:
        tried = spellings(label)
        more = f", ... ({len(tried)} in all)" if len(tried) > _SPELLINGS else ""
        yield f"  tried    {', '.join(tried[:_SPELLINGS])}{more}"
    if found := part.found.get(label):
        yield f"  found    {found.route}"
        yield f"  vector   {len(found.vector)} numbers, length {float(np.linalg.norm(found.vector)):.3f}"
        return
    near = part.near_misses([label])
    for lacked in part.lacking[label]:
        told = f"; nearest: {', '.join(near[lacked])}" if near.get(lacked) else ""
        yield f"  lacking  {lacked}{told}"


def _source_lines(record: SourceRecord) -> Iterator[str]:
    weight = f", weight {record.weight:g}" if record.weight != 1 else ""
    yield f"  source   {record.source} ({record.kind}, {record.width} numbers, {record.digest[:19]}...{weight})"
    if record.templates:
        yield f"  prompts  {' | '.join(record.templates)}"
    if record.note:
        yield f"  note     {record.note}"
    if record.coverage:
        yield f"  labels   {told_coverage(record)}"


def told_coverage(record: SourceRecord) -> str:
    """`930 whole, 60 composed, 10 lacking`."""
    return ", ".join(f"{count} {way}" for way, count in record.coverage.items() if count) or "none"


def _neighbours(row: LabelEmbeddings, table: LabelEmbeddings) -> str:
    wide = table.vectors.astype(np.float64)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    own = row.vectors[0].astype(np.float64)
    cosines = units @ (own / np.linalg.norm(own))
    order = [int(at) for at in np.argsort(-cosines) if canonical(table.labels[at]) != canonical(row.labels[0])]
    return ", ".join(f"{table.labels[at]} {cosines[at]:.2f}" for at in order[:_NEIGHBOURS])
