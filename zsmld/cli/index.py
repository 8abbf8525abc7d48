"""`zsmld index`: photographs → tokens on disk, which `zsmld predict --index` scores for any words."""

from __future__ import annotations

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.errors import PartialFailure
from zsmld.settings import IndexSettings

_TOLD_FAILURES = 5


@click.command("index")
@click.argument("photographs", nargs=-1)
@settings_options(IndexSettings)
def index(settings: IndexSettings, photographs: tuple[str, ...]) -> None:
    """Keep what the backbone makes of PHOTOGRAPHS (files and folders), so that new words cost the decoder alone.

    Run it again after adding, changing, moving or deleting photographs: what is missing is computed, and nothing else.
    So it is after a run that was interrupted. A photograph that cannot be read is kept with its error, tried again when
    its file has changed, and makes the exit code 4. See docs/index_of_photographs.md.

    \b
    Examples:
      zsmld index photos/
      zsmld index photos/ scans/ --index pictures.index --model runs/resnet
    """
    from zsmld.prediction.indexing import index_photographs

    changes = index_photographs(photographs, settings)
    console.info(f"{settings.index}: {changes.told()}")
    for failure in changes.failures[:_TOLD_FAILURES]:
        console.warn(str(failure))
    if changes.failed > _TOLD_FAILURES:
        console.warn(f"and {changes.failed - _TOLD_FAILURES:,} more that cannot be read")
    if changes.failed:
        raise PartialFailure(
            f"{changes.failed:,} of {changes.given:,} photographs could not be read",
            remedy="The others are in the index.",
        )
