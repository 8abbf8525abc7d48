"""`zsmld push`: a model folder → the Hugging Face hub."""

from __future__ import annotations

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.settings import PushSettings


@click.command("push")
@click.argument("model")
@click.argument("name")
@settings_options(PushSettings)
def push(settings: PushSettings, model: str, name: str) -> None:
    """Send the run or model folder MODEL to the hub as NAME (ORG/NAME), with a card that says what it is.

    What travels: the weights, the label vectors, what was measured, how it was trained. What does not: checkpoints,
    photographs, paths of this machine. Needs a token that may write: `hf auth login`, or HF_TOKEN.

    \b
    Examples:
      zsmld push runs/latest me/holidays --licence apache-2.0
      zsmld push runs/latest me/holidays --dry-run
    """
    from zsmld.decoder import sharing

    sent = sharing.push(model, name, settings)
    if sent.url is None:
        for each, size in sent.files.items():
            click.echo(f"{size:>12}  {each}")
        return
    console.info(f"sent: {', '.join(sent.files)}")
    click.echo(sent.url)
