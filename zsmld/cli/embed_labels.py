"""`zsmld embed-labels`: words → label embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsmld import console
from zsmld.cli.options import manner_of, settings_options
from zsmld.errors import UsageError
from zsmld.settings import EmbedSettings

if TYPE_CHECKING:
    from zsmld.labels.sources import Manner


@click.command("embed-labels")
@click.argument("labels", type=click.Path(path_type=Path), required=False)
@click.option(
    "--explain", "explained", multiple=True, metavar="LABEL",
    help="Write nothing; say how LABEL became a vector, or would become one. Repeatable.",
)  # fmt: skip
@settings_options(EmbedSettings)
def embed_labels(settings: EmbedSettings, labels: Path | None, explained: tuple[str, ...]) -> None:
    """Turn the words of the file LABELS into vectors.

    LABELS has one label a line; blank lines and lines that start with # are passed over.

    A source is FILE (GloVe, word2vec, fastText; plain, gzipped or zipped; or a ready-made array with its word list:
    FILE::words=LIST), gensim:NAME, open_clip:MODEL@WEIGHTS, open_clip:local-dir:FOLDER or open_clip:hf-hub:ORG/NAME.
    Several stand side by side, FILE::weight=2 gives one more weight. docs/labels.md has the whole table.

    \b
    Examples:
      zsmld embed-labels labels.txt --source glove.6B.300d.txt
      zsmld embed-labels labels.txt --source gensim:glove-wiki-gigaword-300 --forms
      zsmld embed-labels labels.txt --source open_clip:ViT-B-32@laion2b_s34b_b79k --templates imagenet-80
      zsmld embed-labels labels.txt --source wiki.vec::fallback=wiki.bin --source open_clip:ViT-B-32@openai.safetensors
      zsmld embed-labels --explain "polar bear"
    """
    from zsmld import files
    from zsmld.labels import sources
    from zsmld.labels.explain import told_coverage
    from zsmld.labels.vocabulary import read_vocabulary

    manner = manner_of(settings)
    if explained:
        _explain(explained, settings, manner)
        return
    if labels is None:
        raise UsageError("no file LABELS given", remedy="Name a file with one label a line, or give --explain LABEL.")
    files.refuse_overwrite(settings.embeddings, force=settings.force)
    vocabulary = read_vocabulary(labels)
    parts = sources.look_up_labels(vocabulary, settings.source, manner)
    embedded = sources.joined_parts(vocabulary, parts, missing="skip" if settings.missing == "skip" else "error")
    embedded.save(settings.embeddings, force=settings.force)
    for record in embedded.provenance.parts:
        console.info(f"{record.source}: {told_coverage(record)}")
        if record.templates:
            console.info(f"  {len(record.templates)} prompt templates: {' | '.join(record.templates)}")
        if record.note:
            console.info(f"  {record.note}")
    console.info(f"{len(embedded)} labels, vectors of {embedded.width} numbers: {settings.embeddings}")


def _explain(labels: tuple[str, ...], settings: EmbedSettings, manner: Manner) -> None:
    """What the file of label embeddings says of the labels, or for those that it lacks, what the sources say."""
    from zsmld.labels.embeddings import LabelEmbeddings
    from zsmld.labels.explain import explain_lookup, explain_stored
    from zsmld.labels.sources import look_up_labels
    from zsmld.labels.vocabulary import canonical, vocabulary_of

    asked = vocabulary_of(labels)
    table = LabelEmbeddings.load(settings.embeddings) if settings.embeddings.exists() else None
    known = {canonical(label) for label in table.labels} if table else set()
    new = asked.where(lambda label: canonical(label) not in known)
    if new.labels and not settings.source:
        place = f"not in {settings.embeddings}" if table else f"there is no {settings.embeddings}"
        raise UsageError(f"{new.labels[0]!r}: {place}, and no source is given", remedy="Give --source.")
    parts = look_up_labels(new, settings.source, manner) if new.labels else []
    for label in asked.labels:
        if table is not None and canonical(label) in known:
            for line in explain_stored(label, table):
                click.echo(console.clean(line))
        else:
            for part in parts:
                for line in explain_lookup(label, part):
                    click.echo(console.clean(line))
