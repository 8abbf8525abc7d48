"""What the shell completes the values of flags with."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def _complete_source(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from zsmld.labels.source_spec import complete_source

    return _beside_files(incomplete, complete_source(incomplete))


def _complete_model(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from zsmld.labels.source_spec import complete_source

    return _beside_files(incomplete, [value for value in complete_source(incomplete) if value.startswith("open_clip:")])


def _complete_templates(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from zsmld.labels.prompt_templates import TEMPLATE_SETS

    return _beside_files(incomplete, [name for name in TEMPLATE_SETS if name.startswith(incomplete)])


def _beside_files(incomplete: str, values: list[str]) -> list[CompletionItem]:
    """Files, and `values`; before anything is typed files alone, because bash shows no files beside values."""
    files = CompletionItem(incomplete, type="file")
    # bash drops what stands in front of the files.
    return [files, *(CompletionItem(value) for value in values)] if incomplete else [files]


COMPLETERS = {"model": _complete_model, "source": _complete_source, "templates": _complete_templates}
