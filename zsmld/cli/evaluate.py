"""`zsmld eval`: a model and the truth → figures."""

from __future__ import annotations

import click

from zsmld.cli.options import settings_options
from zsmld.settings import EvalSettings


@click.command("eval")
@settings_options(EvalSettings)
def evaluate(settings: EvalSettings) -> None:
    """Measure how well a model scores labels that it was, and was not, trained on.

    Prints a table, or with --json one object; the full report lands in the model folder as report.json, report.md and
    report.html. With --scores it evaluates the scores of any other model.

    \b
    Examples:
      zsmld eval --gzsl
      zsmld eval --gzsl --protocol biam
      zsmld eval --gzsl --scores scores.npy --targets targets.npy --labels labels.txt --seen seen.txt
      zsmld eval --gzsl --model runs/resnet --unseen unseen.txt --json
    """
    from zsmld import distributed

    with distributed.together(settings.device):
        _report(settings)


def _report(settings: EvalSettings) -> None:
    from zsmld import files

    if settings.scores is not None:
        from zsmld.evaluation.scores import evaluate_files

        report = evaluate_files(settings)
    else:
        from zsmld.evaluation.run import evaluate as evaluate_model

        report = evaluate_model(settings)
    if settings.json:
        click.echo(files.to_json(report.to_json()))
    else:
        from zsmld.console import stdout_console
        from zsmld.evaluation.report_text import notes, terminal

        console = stdout_console()
        console.print(terminal(report))
        for line in notes(report):
            console.print(line)
