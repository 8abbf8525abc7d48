"""One console on stderr: log lines, warnings and progress. Data never goes through here.

Progress is a bar on a terminal and a line every few seconds elsewhere. `NO_COLOR` is honoured by rich.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
WIDTH_WHEN_PIPED = 160


@dataclass
class _State:
    quiet: bool = False
    debug: bool = False
    silent: bool = False


_state = _State()


def configure(*, quiet: bool = False, debug: bool = False) -> None:
    """Set what the flags `--quiet` and `--debug` ask for."""
    _state.quiet, _state.debug = quiet, debug


@contextmanager
def silent(is_silent: bool) -> Iterator[None]:
    """Say nothing, and print no data, where another process does; errors are told all the same."""
    if not is_silent:
        yield
        return
    before, _state.silent = (_state.quiet, _state.silent), True
    _state.quiet = True
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
        try:
            yield
        finally:
            _state.quiet, _state.silent = before


def wants_traceback() -> bool:
    """Whether `--debug` was given."""
    return _state.debug


def shows_bars() -> bool:
    """Whether progress may be a bar: on a terminal, and not with `--quiet`."""
    return not _state.quiet and sys.stderr.isatty()


def clean(text: str) -> str:
    """`text` without control characters, so that a label or a file name cannot drive the terminal."""
    return "".join(c if unicodedata.category(c) not in {"Cc", "Cs"} else "\N{REPLACEMENT CHARACTER}" for c in text)


def stderr_console() -> Console:
    """The rich console that everything but data is written to."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else WIDTH_WHEN_PIPED
    return Console(stderr=True, markup=False, highlight=False, emoji=False, width=width)


def stdout_console() -> Console:
    """A rich console for tables that are data: plain text when piped, and wide, so that nothing is cut."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH_WHEN_PIPED
    return Console(markup=False, highlight=False, emoji=False, width=width)


def info(message: str) -> None:
    """Write one line, unless `--quiet`."""
    if not _state.quiet:
        print(clean(message), file=sys.stderr, flush=True)  # noqa: T201


def warn(message: str) -> None:
    """Write one warning line, `--quiet` or not."""
    if not _state.silent:
        print(f"zsmld: warning: {clean(message)}", file=sys.stderr, flush=True)  # noqa: T201


def error(message: str) -> None:
    """Write the one line that an error gets."""
    one_line = " ".join(message.splitlines())
    print(f"zsmld: error: {clean(one_line)}", file=sys.stderr, flush=True)  # noqa: T201


@dataclass
class Meter:
    """Counts towards `total` and shows it: `advance` after each piece of work."""

    description: str
    total: int
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    _bar: Progress | None = None
    _task: TaskID | None = None
    _last_line: float = field(default_factory=time.monotonic)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Record `count` finished items; `note` (a loss, say) is shown behind the figures."""
        self.done += count
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, note=note)
        elif not _state.quiet and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            info(self.line(note))

    def line(self, note: str = "") -> str:
        """The figures as one line: done of total, note, and the time that remains."""
        elapsed = time.monotonic() - self.started
        remaining = elapsed / self.done * (self.total - self.done) if self.done else 0.0
        told = f", {note}" if note else ""
        return f"{self.description}: {self.done}/{self.total}{told}, {remaining:.0f} s left"


@contextmanager
def progress(description: str, total: int, *, done: int = 0) -> Iterator[Meter]:
    """Show progress of `total` items while the block runs; `done` of them were finished before."""
    if not shows_bars():
        yield Meter(description, total, done)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=stderr_console()) as bar:
        task = bar.add_task(description, total=total, completed=done, note="")
        yield Meter(description, total, done, _bar=bar, _task=task)
