"""`zsmld sample`: a generated workspace to try everything on."""

from __future__ import annotations

from pathlib import Path

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.settings import SampleSettings


@click.command("sample")
@click.argument("folder", type=click.Path(path_type=Path))
@settings_options(SampleSettings)
def sample(settings: SampleSettings, folder: Path) -> None:
    """Make a workspace with drawn scenes, captions and word vectors in FOLDER.

    Needs no network. The same seed gives the same files, byte for byte.

    \b
    Example:
      zsmld sample demo
    """
    from zsmld.datasets.sample import make_sample

    summary = make_sample(folder, seed=settings.seed)
    console.info(
        f"{folder}: {summary.train_images + summary.test_images} drawings, {len(summary.seen)} seen and "
        f"{len(summary.unseen)} unseen labels"
    )
