"""Every byte that the product writes goes through here, and every text file it reads.

A file appears whole or not at all: the bytes go to a unique temporary name in the same folder, are
synced, and take the final name in one rename; then the folder is synced, so that the name survives too.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zsmld.errors import EnvironmentFailure, InputError, UsageError, unreadable, unwritable

_CHUNK = 1 << 20
_TEMPORARY = ".zsmld-{token}.tmp"


@dataclass
class _State:
    without_writing: bool = False


_state = _State()


@contextmanager
def without_writing(is_without: bool) -> Iterator[None]:
    """Let files be, and hold no locks: another process writes the same."""
    before, _state.without_writing = _state.without_writing, is_without
    try:
        yield
    finally:
        _state.without_writing = before


@contextmanager
def atomic_writer(path: str | Path, *, force: bool = True) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it changes whole, at the end of the block, or not at all.

    A file that is replaced keeps its permissions.

    Args:
        path: the final name; its folder is created where it is missing.
        force: without it an existing `path` is refused.

    Raises:
        UsageError: `path` exists and `force` is not set.
        EnvironmentFailure: the disk is full, the folder is read-only, ...
    """
    path = Path(path)
    refuse_overwrite(path, force=force)
    if _state.without_writing:
        yield io.BytesIO()
        return
    temporary = path.parent / _TEMPORARY.format(token=secrets.token_hex(8))
    try:
        make_folder(path.parent)
        if path.exists() and not path.is_file():
            # The rename would put a file in the place of a pipe or a device; a folder it would refuse, but late.
            kind = "a folder" if path.is_dir() else "a pipe, socket or device"
            raise OSError(errno.EINVAL, f"{kind} of that name exists", str(path))
        # os.open with 0666 leaves the mode to the umask, as for any file that a program writes.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            # A new file has none to keep, and not every disk has permissions.
            with suppress(OSError):
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def growing(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` to write on at its end: what may be cut, and goes on where it was. It is no final name.

    Raises:
        EnvironmentFailure: it cannot be written, or another process is writing it.
    """
    make_folder(path.parent)
    try:
        with path.open("ab") as stream:
            _lock(stream, path)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise unwritable(error, path) from error


def cut(path: Path, size: int) -> None:
    """Take off what stands behind the first `size` bytes of a file that `growing` wrote.

    Raises:
        EnvironmentFailure: it cannot be written.
    """
    try:
        os.truncate(path, size)
    except OSError as error:
        raise unwritable(error, path) from error


def promote(growing: Path, path: Path) -> None:
    """Give a file that is whole now its final name, in one step."""
    try:
        growing.replace(path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(error, path) from error


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Refuse an existing `path` unless `force`; call it before long work, not only at its end."""
    if not force and os.path.lexists(path):
        raise UsageError("exists already", path=path, remedy="Add --force to replace it.")


def expanded(text: str | Path) -> Path:
    """`text` as a path, `~` and `~user` expanded where there is such a user; else it is a name like any other."""
    try:
        return Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib's raises where there is none)
    except ValueError:  # a NUL character: no user is called so, and no file
        return Path(text)


def cache_folder() -> Path:
    """`$ZSMLD_CACHE`, else `zsmld` in the user's cache folder."""
    if chosen := os.environ.get("ZSMLD_CACHE"):
        return expanded(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zsmld"


def make_folder(path: Path) -> Path:
    """Create the folder `path` and its parents where they are missing, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, path) from error
    return path


def sync(path: Path) -> None:
    """Make what a file holds, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes, *, force: bool = True) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_writer(path, force=force) as stream:
        stream.write(data)


def write_text(path: str | Path, text: str, *, force: bool = True) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"), force=force)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON that every reader accepts: no NaN, no infinity, non-ASCII letters as they are."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def write_json(path: str | Path, value: Any, *, force: bool = True) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all."""
    write_text(path, to_json(value, indent=2) + "\n", force=force)


def read_json(path: str | Path) -> Any:
    """Read the JSON file at `path`; a malformed one is an `InputError` with its line."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"is not JSON: {error.msg}", path=path, line=error.lineno) from error
    except RecursionError as error:
        raise InputError("is not JSON that can be read: nested too deeply", path=path) from error
    except ValueError as error:
        # Python refuses numbers of thousands of digits.
        raise InputError("is not JSON that can be read: a number is too long", path=path) from error


def point_latest(link: Path, target: Path) -> None:
    """Let the symbolic link `link` point at its sibling folder `target`, in one step.

    Raises:
        UsageError: `link` exists and is no symbolic link; it is left as it is.
    """
    refuse_no_link(link)
    if _state.without_writing:
        return
    temporary = link.parent / _TEMPORARY.format(token=secrets.token_hex(8))
    try:
        temporary.symlink_to(target.name)
        temporary.replace(link)
        sync(link.parent)
    except OSError as error:
        raise unwritable(error, link) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_no_link(link: Path) -> None:
    """Refuse a `link` that is something else; call it before long work, not only at its end."""
    if os.path.lexists(link) and not link.is_symlink():
        raise UsageError("is no link, it cannot be pointed at the newest run", path=link, remedy="Rename it.")


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left in `folder`; hold its lock when calling."""
    if _state.without_writing:
        return
    for leftover in folder.glob(_TEMPORARY.format(token="*")):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone; the lock goes with the process, however it ends.

    Raises:
        EnvironmentFailure: another process holds it.
    """
    if _state.without_writing:
        yield
        return
    path = make_folder(folder) / ".lock"
    try:
        stream = path.open("ab")
    except OSError as error:
        raise unwritable(error, path) from error
    with stream:
        _lock(stream, folder)
        yield


def _lock(stream: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise EnvironmentFailure(
            "another zsmld process is writing here", path=path, remedy="Wait until it has finished."
        ) from error


@contextmanager
def open_input(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading bytes; anything else (folder, pipe, device) is an `InputError`."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer would otherwise hang for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        # ValueError: a NUL character in the name.
        raise unreadable(error if isinstance(error, OSError) else OSError(str(error)), path) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder, a file was expected" if stat.S_ISDIR(mode) else "no regular file (a pipe, socket or device)"
        raise InputError(f"is {kind}", path=path)
    with os.fdopen(descriptor, "rb") as stream:
        try:
            yield stream
        except OSError as error:
            raise unreadable(error, path) from error


def read_bytes(path: str | Path) -> bytes:
    """All bytes of the regular file at `path`."""
    with open_input(path) as stream:
        return stream.read()


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, with or without byte-order mark; other encodings are refused with the line."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"is not UTF-8 text (byte 0x{data[error.start]:02x})",
            path=path,
            line=line,
            remedy="Save it as UTF-8.",
        ) from error


def digest_bytes(data: bytes | memoryview) -> str:
    """`sha256:` and the hexadecimal SHA-256 of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_file(path: str | Path) -> str:
    """`sha256:` and the hexadecimal SHA-256 of the file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open_input(path) as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"
