"""`zsmld compare`: runs and simple methods side by side."""

from __future__ import annotations

from pathlib import Path

import click

from zsmld.cli.options import settings_options
from zsmld.settings import CompareSettings


@click.command("compare")
@click.argument("runs", nargs=-1, required=True)
@settings_options(CompareSettings)
def compare(settings: CompareSettings, runs: tuple[str, ...]) -> None:
    """Put RUNS (run folders of one split of the labels) and simple methods side by side, on the same test images.

    Behind each figure stands its difference to the first run, with a star where the 95 % interval of that difference,
    from paired bootstrap resamples of the images, leaves 0 out. Hyper-parameters of the simple methods are chosen on
    seen labels.

    \b
    Examples:
      zsmld compare runs/001 runs/002
      zsmld compare runs/latest --baselines all
      zsmld compare runs/latest --baselines clip --clip open_clip:ViT-B-32@laion2b_s34b_b79k
    """
    from zsmld import console, files
    from zsmld.console import stdout_console
    from zsmld.evaluation import compare as comparing

    found = comparing.compare([Path(run) for run in runs], settings)
    if settings.output is not None:
        comparing.write(found, settings.output)
    if settings.json:
        click.echo(files.to_json(found.to_json()))
    else:
        stdout_console().print(found.table())
        if len(found.rows) > 1:
            console.info(f"in brackets: the difference to {found.rows[0].name}; * where its 95 % interval leaves 0 out")
