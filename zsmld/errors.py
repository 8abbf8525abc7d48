"""What can go wrong, and the exit code of each.

| code | class                | meaning                                           |
|------|----------------------|---------------------------------------------------|
| 0    |                      | done                                              |
| 1    | anything else        | a bug of ours                                     |
| 2    | `UsageError`         | usage or configuration                            |
| 3    | `InputError`         | bad input: absent, unreadable or malformed        |
| 4    | `PartialFailure`     | finished, some items failed                       |
| 5    | `EnvironmentFailure` | disk, permission to write, network, memory        |
| 130  | `KeyboardInterrupt`  | interrupted                                       |
| 143  | `Terminated`         | terminated                                        |

Every message is one line: `PATH[:LINE]: what is wrong, what was expected. What to do.`
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path

EXIT_BUG = 1
EXIT_INTERRUPTED = 130

# What a path can be wrong with, whatever the machine.
_NAMES_NOTHING = {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


class ZsmldError(Exception):
    """An error that is written for the person who reads it.

    Args:
        problem: what is wrong and what was expected, without a full stop.
        path: the file concerned, printed first.
        line: its 1-based line, printed behind the path.
        remedy: what to do, a sentence of its own.
    """

    exit_code = EXIT_BUG

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = None if path is None else Path(path)
        self.line = line
        self.remedy = remedy

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}: "
        if self.path is not None and self.line is not None:
            where = f"{self.path}:{self.line}: "
        what_to_do = f". {self.remedy}" if self.remedy else ""
        return f"{where}{self.problem}{what_to_do}"


class UsageError(ZsmldError):
    """A flag, a variable or a configuration key that does not fit (exit code 2)."""

    exit_code = 2


class InputError(ZsmldError):
    """A file that is absent, unreadable or malformed (exit code 3)."""

    exit_code = 3


class PartialFailure(ZsmldError):
    """The run finished, but some items failed (exit code 4)."""

    exit_code = 4


class EnvironmentFailure(ZsmldError):
    """Disk, permission, network or memory: nothing that the input could mend (exit code 5)."""

    exit_code = 5


class Terminated(BaseException):
    """SIGTERM arrived; raised so that `finally` blocks run (exit code 143)."""

    exit_code = 143


def nearest(name: str, known: Iterable[str]) -> str:
    """A `did you mean` clause for `name` among `known`, empty where nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def unreadable(error: OSError, path: str | Path) -> InputError:
    """Turn the failure to open or read `path` into the error that names it."""
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", path=path, remedy="Check the path.")
    if isinstance(error, IsADirectoryError):
        return InputError("is a folder, a file was expected", path=path)
    reason = (error.strerror or str(error)).lower()
    return InputError(f"cannot be read: {reason}", path=path)


def unwritable(error: OSError, path: str | Path) -> EnvironmentFailure:
    """Turn the failure to create or write `path` into the error that names it."""
    reason = (error.strerror or str(error)).lower()
    if isinstance(error, FileExistsError):
        # A file would have been replaced: it is the folder that could not be made.
        reason = "is a file, a folder was expected"
    return EnvironmentFailure(
        f"cannot be written: {reason}", path=path, remedy="Nothing that was there has been changed."
    )


def describe(error: BaseException) -> tuple[int, str]:
    """Exit code and one-line message of any exception that reached the top.

    Errors of ours say it themselves; operating-system errors that no caller translated are
    told apart by kind; everything else is a bug.
    """
    if isinstance(error, ZsmldError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted"
    if isinstance(error, Terminated):
        return error.exit_code, "terminated"
    if isinstance(error, OSError) and error.errno in _NAMES_NOTHING:
        translated = unreadable(error, error.filename or "input")
        return translated.exit_code, str(translated)
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        return EnvironmentFailure.exit_code, f"{named}{(error.strerror or str(error)).lower()}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _torch_lacks_memory(error):
        return EnvironmentFailure.exit_code, "out of memory. Try a smaller --batch-size."
    text = " ".join(str(error).split()) or "no message"
    return EXIT_BUG, f"{type(error).__name__}: {text}. This is a bug of zsmld; --debug shows where."


def _torch_lacks_memory(error: BaseException) -> bool:
    # PyTorch's allocator for the CPU has no error class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
