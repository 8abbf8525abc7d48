"""`zsmld eval`: a model and the truth → figures."""

from __future__ import annotations

import click

from zsmld.cli.options import settings_options
from zsmld.settings import EvalSettings


@click.command("eval")
@settings_options(EvalSettings)
def evaluate(settings: EvalSettings) -> None:
    """Measure how well a model scores labels that it was, and was not, trained on.

    Prints a table, or with --json one object; the full report lands in the model folder as report.json.

    \b
    Examples:
      zsmld eval --gzsl
      zsmld eval --gzsl --model runs/resnet --unseen unseen.txt --json
    """
    from zsmld import files
    from zsmld.evaluation import run

    report = run.evaluate(settings)
    if settings.json:
        click.echo(files.to_json(report.to_json()))
    else:
        from zsmld.console import stdout_console

        stdout_console().print(report.table())
