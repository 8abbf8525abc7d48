"""The content of a file that may be packed: as it is, gzipped, or a member of a zip archive; read as a stream.

The digest is that of the content, so that a file and its packed forms are one source.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from zsmld import files
from zsmld.errors import InputError, UsageError, nearest

BLOCK = 1 << 20
GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MOST_MEMBERS = 200
_ENCRYPTED = 1
_FETCH_AGAIN, _UNPACK = "Fetch it again.", "Unpack it yourself."
# What the libraries raise on bytes that are not what they should be; OSError is bz2's and gzip's.
_DAMAGE = (
    EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, struct.error, ValueError, OverflowError,
    NotImplementedError, RuntimeError, MemoryError,
)  # fmt: skip


class _Content(io.RawIOBase):
    """The decompressed bytes; digests them as they pass, and tells damage in one line."""

    def __init__(self, stream: IO[bytes], path: Path, kind: str) -> None:
        self._stream, self._path, self._kind = stream, path, kind
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if not self._kind:
            count: int = self._stream.readinto(view)  # type: ignore[attr-defined]
        else:
            try:
                count = self._stream.readinto(view)  # type: ignore[attr-defined]
            except _DAMAGE as error:
                raise _damaged(error, self._path, self._kind) from error
        self.digest.update(view[:count])
        return count


class Content:
    """A stream of content, and its digest.

    Attributes:
        bytes: the stream, buffered.
    """

    def __init__(self, stream: IO[bytes], path: Path, kind: str) -> None:
        self._raw = _Content(stream, path, kind)
        self.bytes: IO[bytes] = io.BufferedReader(self._raw, BLOCK)

    def digest(self) -> str:
        """`sha256:` and the digest of what was read of the content; of all of it once `bytes` is exhausted."""
        return f"sha256:{self._raw.digest.hexdigest()}"


def _damaged(error: BaseException, path: Path, kind: str) -> InputError:
    if isinstance(error, EOFError):
        return InputError(f"is a truncated {kind}", path=path, remedy=_FETCH_AGAIN)
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    if isinstance(error, NotImplementedError):
        return InputError(f"is a {kind} that cannot be read: {reason.lower()}", path=path, remedy=_UNPACK)
    return InputError(f"is a damaged {kind}: {reason[:200]}", path=path, remedy=_FETCH_AGAIN)


@contextmanager
def open_content(path: Path, member: str | None = None) -> Iterator[Content]:
    """Open the content of the file at `path`, decompressed.

    Args:
        path: the file; how it is packed is told from its first bytes.
        member: the member of a zip archive, as `choose_member` names it.

    Raises:
        InputError: absent, or damaged (also later, by the stream).
    """
    with files.open_input(path) as stream:
        start = stream.read(4)
        stream.seek(0)
        if start in ZIP:
            with _opened_archive(stream, path) as archive, _opened_member(archive, path, member) as inner:
                yield Content(inner, path, "zip archive")
        elif start.startswith(GZIP):
            with gzip.GzipFile(fileobj=stream, mode="rb") as inner:
                yield Content(inner, path, "gzip file")  # type: ignore[arg-type]
        else:
            yield Content(stream, path, "")


def _opened_archive(stream: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except _DAMAGE as error:
        raise _damaged(error, path, "zip archive") from error


def _opened_member(archive: zipfile.ZipFile, path: Path, member: str | None) -> IO[bytes]:
    try:
        return archive.open(member or "")
    except KeyError as error:
        raise InputError(f"has no member {member!r}", path=path) from error
    except _DAMAGE as error:
        raise _damaged(error, path, "zip archive") from error


def choose_member(path: Path, asked: str | None, suits: Callable[[str], bool]) -> str | None:
    """The member of the zip archive at `path` to read, None where the file is no zip archive.

    Args:
        path: the file.
        asked: the name of a member; None for the only one that suits.
        suits: whether a member, read by `open_content`, holds what is looked for.

    Raises:
        InputError: a damaged archive; no member suits, or several, or the one asked for is not there.
        UsageError: `asked` of a file that is no zip archive.
    """
    with files.open_input(path) as stream:
        is_zip = stream.read(4) in ZIP
        stream.seek(0)
        if not is_zip and asked is not None:
            raise UsageError("is no zip archive, which has members", path=path, remedy="Leave ::member= out.")
        if not is_zip:
            return None
        with _opened_archive(stream, path) as archive:
            names = [member.filename for member in archive.infolist() if _is_data(member.filename)]
            if any(member.flag_bits & _ENCRYPTED for member in archive.infolist()):
                raise InputError("is an encrypted zip archive", path=path, remedy=_UNPACK)
    if asked is not None:
        if asked not in names:
            raise InputError(
                f"has no member {asked!r}, it holds {_listed(names)}", path=path, remedy=nearest(asked, names)
            )
        return asked
    return _only(names, path, suits)


def _is_data(name: str) -> bool:
    """Whether a member is a file, and none of those that macOS and editors leave."""
    return not name.endswith("/") and not name.rpartition("/")[2].startswith(".")


def _only(names: list[str], path: Path, suits: Callable[[str], bool]) -> str:
    if len(names) > _MOST_MEMBERS:
        raise InputError(
            f"is a zip archive of {len(names)} files", path=path, remedy="Append ::member=NAME to say which to read."
        )
    if len(names) == 1:
        return names[0]
    found = [name for name in names if suits(name)]
    if not found:
        raise InputError(f"is a zip archive without word vectors, it holds {_listed(names)}", path=path)
    if len(found) > 1:
        raise InputError(
            f"is a zip archive of {len(found)} files of word vectors: {_listed(found)}", path=path,
            remedy="Append ::member=NAME to say which to read.",
        )  # fmt: skip
    return found[0]


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return (shown or "nothing") + (f" and {len(names) - 10} more" if len(names) > 10 else "")
