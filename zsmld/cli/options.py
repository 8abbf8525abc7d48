"""Flags out of declared settings, and settings out of flags, variables and `zsmld.toml`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zsmld import console
from zsmld.cli.completion import COMPLETERS
from zsmld.config import Workspace, check_keys, flag_of, resolve, value_type
from zsmld.settings import ALL_SETTINGS, SourceSettings

if TYPE_CHECKING:
    from zsmld.labels.sources import Manner

F = TypeVar("F", bound=Callable[..., Any])
_METAVARS = {Path: "PATH", int: "INTEGER", float: "NUMBER", str: "TEXT"}


def settings_options(settings: type) -> Callable[[F], Callable[..., Any]]:
    """Give a command a flag for every setting, and call it with the resolved settings as its first argument.

    Values stay text until `config.resolve` reads them, so that a bad one is told the same way wherever it stands.
    """

    def decorate(command: F) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(quiet: bool, debug: bool, **given: Any) -> Any:
            console.configure(quiet=quiet, debug=debug)
            names = {field.name for field in dataclasses.fields(settings)}
            flags = {name: value for name, value in given.items() if name in names}
            others = {name: value for name, value in given.items() if name not in names}
            workspace = Workspace.find()
            check_keys(workspace, ALL_SETTINGS)
            return command(resolve(settings, flags, workspace), **others)

        decorated: Callable[..., Any] = wrapped
        for option in reversed([_option(settings, field) for field in dataclasses.fields(settings)]):
            decorated = option(decorated)
        decorated = click.option("--debug", is_flag=True, help="Show a traceback with an error.")(decorated)
        return click.option("--quiet", is_flag=True, help="Only data, warnings and errors.")(decorated)

    return decorate


def _option(settings: type, field: dataclasses.Field[Any]) -> Callable[[Any], Any]:
    scalar, is_list = value_type(settings, field.name)
    rules = field.metadata
    text = rules["text"] + _shown_default(field)
    flag = flag_of(field)
    if scalar is bool:
        both = f"{flag}/{rules['negated']}" if rules["negated"] else flag
        return click.option(both, field.name, is_flag=True, default=None, help=text)
    kind = click.Choice(rules["choices"]) if rules["choices"] else None
    metavar = None if kind else _METAVARS[scalar]
    # A list of words is repeated, a list of numbers stands behind one flag: --mean 0.485,0.456,0.406.
    if is_list and scalar is float:
        return click.option(
            flag, field.name, metavar="NUMBERS", help=text, callback=lambda _c, _p, value: _split(value)
        )
    return click.option(
        flag, field.name, type=kind or str, metavar=metavar, multiple=is_list, help=text,
        shell_complete=COMPLETERS.get(rules["complete"]),
    )  # fmt: skip


def _split(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value.split(","))


def _shown_default(field: dataclasses.Field[Any]) -> str:
    if field.default in (None, False, ()):
        return ""
    return f"  [default: {field.default}]"


def manner_of(settings: SourceSettings) -> Manner:
    """How labels are turned into vectors."""
    from zsmld.labels.sources import Manner

    return Manner(
        templates=settings.templates,
        compose="sif" if settings.compose == "sif" else "mean",
        forms=settings.forms,
        device=settings.device,
    )
