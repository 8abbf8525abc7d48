"""The command line: click only; one file a command; each is a thin skin over one public function."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

import click

from zsmld import __version__, console
from zsmld.cli.check import check
from zsmld.cli.compare import compare
from zsmld.cli.convert import convert
from zsmld.cli.data import data
from zsmld.cli.embed_labels import embed_labels
from zsmld.cli.evaluate import evaluate
from zsmld.cli.predict import predict
from zsmld.cli.pull import pull
from zsmld.cli.push import push
from zsmld.cli.sample import sample
from zsmld.cli.short_list import short_list
from zsmld.cli.train import train
from zsmld.errors import Terminated, UsageError, describe
from zsmld.memory import keep_freed_memory


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="zsmld")
def main() -> None:
    """Tag images with any words.

    Train on the labels you have, score the labels you never trained on.

    \b
    A first round, on a generated data set:
      zsmld sample demo && cd demo
      zsmld embed-labels labels.txt
      zsmld train --seen seen.txt
      zsmld eval --gzsl
      zsmld predict img.jpg --labels any.txt

    Every flag can also stand in zsmld.toml or in a variable ZSMLD_*. Exit codes: 0 done, 2 usage or configuration,
    3 bad input, 4 finished but some items failed, 5 environment (disk, permission, network), 1 a bug of ours.
    """


for command in (
    sample, data, embed_labels, check, train, evaluate, compare, predict, short_list, push, pull, convert,
):  # fmt: skip
    main.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the one place where exceptions become messages."""
    signal.signal(signal.SIGTERM, _terminate)
    keep_freed_memory()
    with _signals_kept():
        return _run(sys.argv[1:] if arguments is None else list(arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of our output has gone: that is its right. Nothing more may be written to it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as error:
        return _told(_as_usage_error(error))
    except BaseException as error:
        if console.wants_traceback():
            import traceback

            traceback.print_exc()
        return _told(error)


def _invoke(arguments: list[str]) -> int:
    """What `main.main` does, without its answers to a closed pipe (exit code 1) and to Ctrl-C (an empty line)."""
    try:
        if "_ZSMLD_COMPLETE" in os.environ:
            main.main(arguments, prog_name="zsmld")  # answers the shell and exits
        with main.make_context("zsmld", arguments) as context:
            main.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _told(error: BaseException) -> int:
    code, message = describe(error)
    console.error(message)
    return code


def _as_usage_error(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "zsmld"
    return UsageError(error.format_message().rstrip("."), remedy=f"See {command} --help.")


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Send a signal again whose exception was lost: Python drops what is raised while an object is finalised."""
    before = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        for kind, number in ((Terminated, signal.SIGTERM), (KeyboardInterrupt, signal.SIGINT)):
            if issubclass(lost.exc_type, kind):
                # Not at once: it would strike in this hook, and be lost again.
                threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
                return
        before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
