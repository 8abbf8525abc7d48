"""`zsmld embed-labels`: words → label embeddings."""

from __future__ import annotations

from pathlib import Path

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.errors import UsageError
from zsmld.settings import EmbedSettings


@click.command("embed-labels")
@click.argument("labels", type=click.Path(path_type=Path))
@settings_options(EmbedSettings)
def embed_labels(settings: EmbedSettings, labels: Path) -> None:
    """Turn the words of the file LABELS into vectors.

    LABELS has one label a line; blank lines and lines that start with # are passed over.

    \b
    Examples:
      zsmld embed-labels labels.txt --source glove.6B.300d.txt
      zsmld embed-labels labels.txt --source open_clip:ViT-B-32@laion2b_s34b_b79k --output clip.safetensors
    """
    from zsmld import files
    from zsmld.labels import sources

    if settings.source is None:
        raise UsageError("no source given", remedy="Give --source FILE, or set it in zsmld.toml.")
    files.refuse_overwrite(settings.embeddings, force=settings.force)
    embedded = sources.embed_labels(
        labels,
        source=settings.source,
        missing="skip" if settings.missing == "skip" else "error",
        templates=settings.templates,
    )
    embedded.save(settings.embeddings, force=settings.force)
    console.info(f"{len(embedded)} labels, vectors of {embedded.width} numbers: {settings.embeddings}")
