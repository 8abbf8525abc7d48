"""`zsmld check`: what is wrong with a vocabulary before it costs a training run."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from zsmld import console
from zsmld.cli.options import manner_of, settings_options
from zsmld.errors import InputError, PartialFailure, UsageError
from zsmld.settings import CheckSettings

_STYLES = {"ERROR": "bold red", "WARNING": "bold yellow", "NOTE": "bold"}


@click.command("check")
@click.argument("labels", type=click.Path(path_type=Path), required=False)
@settings_options(CheckSettings)
def check(settings: CheckSettings, labels: Path | None) -> None:
    """Look for what is wrong with label files: LABELS, or those of --seen and --unseen, or all three.

    Finds faulty lines, words without a vector and the nearest that there are, labels with the same vector, twins across
    the seen/unseen line (dog, dogs), synonyms, labels too far from everything seen, and more. The vectors are those of
    the file that embed-labels wrote, or of --source.

    Exit codes: 0 nothing but notes; 4 warnings (figures would look better or worse than they are); 3 errors (a later
    command would stop). Thresholds and their reasons stand in docs/label_doctor.md.

    \b
    Examples:
      zsmld check labels.txt --source glove.6B.300d.txt
      zsmld check --seen seen.txt --unseen unseen.txt --plot labels.svg
      zsmld check --seen TagList1k.txt --unseen Concepts81.txt --split-into nus_wide_lists
    """
    from zsmld import files
    from zsmld.labels import doctor
    from zsmld.labels.label_map import draw_labels

    _refuse_early(settings)
    by_source = _by_source(settings)
    stored = not by_source and (_flagged("embeddings") or settings.embeddings.exists())
    examination, table = doctor.check_labels(
        labels,
        seen=settings.seen,
        unseen=settings.unseen,
        embeddings=settings.embeddings if stored else None,
        source=settings.source if by_source else None,
        manner=manner_of(settings),
    )
    if settings.json:
        # A file name may hold bytes that are no text.
        click.echo(console.clean(files.to_json(examination.to_json())))
    else:
        _print(examination.lines())
    if settings.plot is not None:
        if table is None:
            raise UsageError("nothing to draw: no label has a vector", remedy="Give --embeddings or --source.")
        files.write_text(settings.plot, draw_labels(table, examination), force=settings.force)
        console.info(f"drawn: {settings.plot}")
    if settings.split_into is not None and settings.seen is not None and settings.unseen is not None:
        for path in doctor.split_lists(settings.seen, settings.unseen, settings.split_into, force=settings.force):
            console.info(f"written: {path}")
    _end(examination.count("error"), examination.count("warning"))


def _print(lines: list[str]) -> None:
    """Write the lines: as they are into a pipe, wrapped between words and with the severities marked on a terminal."""
    if not sys.stdout.isatty():
        for line in lines:
            click.echo(console.clean(line))
        return
    terminal = console.stdout_console()
    for line in lines:
        terminal.print(console.clean(line), style=_STYLES.get(line.partition(" ")[0]))


def _by_source(settings: CheckSettings) -> bool:
    """Whether labels are looked up in the source: if it was named, or if there is no file of embeddings."""
    if _flagged("source") and _flagged("embeddings"):
        raise UsageError("--source and --embeddings both say where the vectors are", remedy="Give one of them.")
    if not settings.source or _flagged("embeddings"):
        return False
    return _flagged("source") or not settings.embeddings.exists()


def _refuse_early(settings: CheckSettings) -> None:
    """What needs no examination to be refused."""
    from zsmld import files
    from zsmld.labels.doctor import split_names

    if settings.split_into is not None and (settings.seen is None or settings.unseen is None):
        raise UsageError("--split-into needs both lists", remedy="Give --seen and --unseen.")
    written = [*split_names(settings.split_into)] if settings.split_into else []
    for path in [*written, *([settings.plot] if settings.plot else [])]:
        files.refuse_overwrite(path, force=settings.force)


def _end(errors: int, warnings: int) -> None:
    from zsmld.labels.findings import counted

    told = f"{counted(errors, 'error')} and {counted(warnings, 'warning')} about the labels"
    if errors:
        raise InputError(told, remedy="They are listed above.")
    if warnings:
        raise PartialFailure(told.removeprefix("0 errors and "), remedy="They are listed above.")


def _flagged(name: str) -> bool:
    """Whether a setting was given on the command line itself, not in a variable or in zsmld.toml."""
    return click.get_current_context().get_parameter_source(name) == ParameterSource.COMMANDLINE
