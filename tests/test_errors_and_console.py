"""Messages, exit codes, and a console that nothing can drive."""

import errno

import pytest

from zsmld import console
from zsmld.errors import EnvironmentFailure, InputError, PartialFailure, Terminated, UsageError, describe, nearest


def test_a_message_is_path_line_problem_and_remedy():
    error = InputError("is not a word", path="a.txt", line=3, remedy="Spell it.")
    assert str(error) == "a.txt:3: is not a word. Spell it."
    assert str(UsageError("bad")) == "bad"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (InputError("x"), 3),
        (PartialFailure("x"), 4),
        (EnvironmentFailure("x"), 5),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (FileNotFoundError(errno.ENOENT, "no", "f"), 3),
        (OSError(errno.ENOSPC, "No space left on device", "f"), 5),
        (PermissionError(errno.EACCES, "Permission denied", "f"), 5),
        (MemoryError(), 5),
        (ZeroDivisionError("a\nb"), 1),
    ],
)
def test_exit_codes(error, code):
    told = describe(error)
    assert told[0] == code
    assert "\n" not in told[1]


def test_nearest_name():
    assert nearest("epoch", ["epochs", "seed"]) == "Did you mean 'epochs'?"
    assert nearest("zzz", ["epochs"]) == ""


def test_control_characters_and_surrogates_never_reach_the_terminal(capsys):
    console.warn("a\x1b[31mb\udc80[red][/foo]\rc")
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\r" not in told and "[red][/foo]" in told


def test_quiet_silences_information_but_not_warnings(capsys):
    console.configure(quiet=True)
    try:
        console.info("info")
        with console.progress("work", 2) as meter:
            meter.advance(2)
        console.warn("warning")
    finally:
        console.configure()
    assert capsys.readouterr().err == "zsmld: warning: warning\n"


def test_progress_off_a_terminal_is_a_line_every_few_seconds(capsys, monkeypatch):
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    with console.progress("work", 4, done=1) as meter:
        meter.advance(note="loss 0.5")
    captured = capsys.readouterr()
    assert captured.err.startswith("work: 2/4, loss 0.5, ")
    assert captured.out == ""


def test_progress_on_a_terminal_is_a_bar_on_standard_error(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress("work", 2) as meter:
        meter.advance(2, note="[/foo] done")
    captured = capsys.readouterr()
    assert "work" in captured.err and "[/foo] done" in captured.err
    assert captured.out == ""
