"""`zsmld pull`: a model of the Hugging Face hub → a model folder."""

from __future__ import annotations

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.settings import PullSettings


@click.command("pull")
@click.argument("name")
@settings_options(PullSettings)
def pull(settings: PullSettings, name: str) -> None:
    """Fetch the model NAME (ORG/NAME) of the hub into a folder, whole or not at all.

    To use it once no folder is needed: --model ORG/NAME. Of a private model: `hf auth login`, or HF_TOKEN.

    \b
    Examples:
      zsmld pull me/holidays
      zsmld pull me/holidays --output models/holidays --revision v1
    """
    from zsmld.decoder import sharing

    console.info(f"written: {sharing.pull(name, settings)}")
