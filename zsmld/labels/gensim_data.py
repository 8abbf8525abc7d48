"""Models of gensim-data by name: fetched as a file, verified, and never run.

gensim's own downloader fetches a Python module beside each model, and runs it. Here the compressed vectors alone are
fetched, into the folder that gensim uses, so that what is there already is used; only after its MD5 checksum has been
found in the list that gensim-data publishes.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from zsmld import console, files
from zsmld.errors import EnvironmentFailure, InputError, UsageError, nearest
from zsmld.hub import first_line, why_unreachable

LIST_URL = "https://raw.githubusercontent.com/RaRe-Technologies/gensim-data/master/list.json"
MODELS_URL = "https://github.com/RaRe-Technologies/gensim-data/releases/download"
GENSIM_NAMES = (
    "glove-wiki-gigaword-50", "glove-wiki-gigaword-100", "glove-wiki-gigaword-200", "glove-wiki-gigaword-300",
    "glove-twitter-25", "glove-twitter-50", "glove-twitter-100", "glove-twitter-200",
    "word2vec-google-news-300", "word2vec-ruscorpora-300",
    "fasttext-wiki-news-subwords-300", "conceptnet-numberbatch-17-06-300",
)  # fmt: skip
_LIST, _VERIFIED = "information.json", ".zsmld-verified.json"
_CHUNK = 1 << 20
_SECONDS = 30.0


def fetched(name: str) -> Path:
    """The file of the model `name`, fetched where it is not on this machine, and verified.

    Raises:
        UsageError: no such model.
        InputError: the list is malformed.
        EnvironmentFailure: it is not here and cannot be fetched, or what was fetched has another checksum.
    """
    if name not in GENSIM_NAMES:
        remedy = nearest(name, GENSIM_NAMES) or f"There are {', '.join(GENSIM_NAMES)}."
        raise UsageError(f"gensim-data has no model {name!r}", remedy=remedy)
    base = files.expanded(os.environ.get("GENSIM_DATA_DIR") or "~/gensim-data").absolute()
    path = base / name / f"{name}.gz"
    # Before the lock: the folder may be read-only.
    if path.exists() and _is_verified(path):
        return path
    with files.locked(path.parent):
        checksum = _checksum(base, name, path)
        growing = path.with_name(f"{path.name}.part")
        if not path.exists():
            _fetch(name, growing, path)
        _verify(path if path.exists() else growing, checksum)
        if not path.exists():
            files.promote(growing, path)
        _remember(path)
    return path


def _is_verified(path: Path) -> bool:
    marker = path.with_name(_VERIFIED)
    return marker.exists() and files.read_json(marker) == _state(path)


def _remember(path: Path) -> None:
    files.write_json(path.with_name(_VERIFIED), _state(path))


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "modified": status.st_mtime_ns}


def _checksum(base: Path, name: str, path: Path) -> str:
    """The published MD5 checksum; the list is fetched where it is not here, or older than the model."""
    listing = base / _LIST
    if not listing.exists() or _entry(listing, name) is None:
        _refuse_offline(name, listing, path)
        console.info("fetching the list of gensim-data")
        try:
            with urllib.request.urlopen(LIST_URL, timeout=_SECONDS) as answer:
                files.write_bytes(listing, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise _unfetched(name, first_line(error), listing, path) from error
    entry = _entry(listing, name)
    checksum = entry.get("checksum") if entry else None
    if not isinstance(checksum, str) or len(checksum) != 32:
        raise InputError(f"has no checksum for {name}", path=listing, remedy=f"Fetch it again from {LIST_URL}.")
    return checksum


def _entry(listing: Path, name: str) -> dict[str, Any] | None:
    content = files.read_json(listing)
    models = content.get("models") if isinstance(content, dict) else None
    entry = models.get(name) if isinstance(models, dict) else None
    return entry if isinstance(entry, dict) else None


def _refuse_offline(name: str, listing: Path, path: Path) -> None:
    if reason := why_unreachable(LIST_URL):
        raise _unfetched(name, reason, listing, path)


def _unfetched(name: str, reason: str, listing: Path, path: Path) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"{name} is not on this machine and cannot be fetched: {reason}",
        remedy=f"On a machine with network fetch {LIST_URL} as {listing} and {MODELS_URL}/{name}/{name}.gz as {path}.",
    )


def _fetch(name: str, growing: Path, path: Path) -> None:
    """Fetch the model to `growing`, from where an earlier attempt was cut."""
    _refuse_offline(name, growing.parent.parent / _LIST, path)
    have = growing.stat().st_size if growing.exists() else 0
    request = urllib.request.Request(
        f"{MODELS_URL}/{name}/{name}.gz", headers={"Range": f"bytes={have}-"} if have else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                # This server sends the whole of it.
                growing.unlink()
                have = 0
            _receive(answer, name, growing, have)
    except urllib.error.HTTPError as error:
        # The part is whole already, or longer than the file: the checksum decides.
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _unfetched(name, f"{error.code} {error.reason}", growing.parent.parent / _LIST, path) from error
    except (OSError, http.client.HTTPException) as error:
        raise _broken(name, growing, first_line(error)) from error


def _receive(answer: Any, name: str, growing: Path, have: int) -> None:
    total, at = have + int(answer.headers.get("Content-Length") or 0), have
    told = console.progress(f"fetching {name}, MiB", total >> 20, done=have >> 20)
    with files.growing(growing) as stream, told as meter:
        while piece := _read(answer, name, growing):
            stream.write(piece)
            meter.advance((at + len(piece) >> 20) - (at >> 20))
            at += len(piece)
    if at < total:
        raise _broken(name, growing, "the connection was closed")


def _read(answer: Any, name: str, growing: Path) -> bytes:
    try:
        piece: bytes = answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        # Not to be mistaken for a failure to write.
        raise _broken(name, growing, first_line(error)) from error
    return piece


def _broken(name: str, growing: Path, reason: str) -> EnvironmentFailure:
    have = growing.stat().st_size if growing.exists() else 0
    return EnvironmentFailure(
        f"fetching {name} broke off after {have >> 20} MiB: {reason}", remedy="Run it again, it goes on from there."
    )


def _verify(path: Path, checksum: str) -> None:
    """Refuse a file of another checksum; a part that was fetched is removed, a file that was there is left."""
    digest = hashlib.md5(usedforsecurity=False)
    with files.open_input(path) as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    if digest.hexdigest() == checksum:
        return
    fetched_now = path.suffix == ".part"
    if fetched_now:
        path.unlink()
    raise EnvironmentFailure(
        f"{path}: its MD5 checksum is {digest.hexdigest()}, that of the published file {checksum}",
        remedy="It was removed; run it again." if fetched_now else "Remove it, and run it again to fetch it anew.",
    )
