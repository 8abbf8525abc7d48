"""XMP sidecars: keywords in a small file beside a photograph, which itself is never touched (docs/sidecars.md)."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lxml import etree

from zsmld import files
from zsmld.errors import InputError, unwritable
from zsmld.images.opening import IMAGE_SUFFIXES
from zsmld.labels.vocabulary import canonical
from zsmld.prediction import xmp

# `full`: IMG.jpg.xmp, as digiKam and darktable call it. `stem`: IMG.xmp, as Lightroom does.
Naming = Literal["full", "stem"]
MAX_BYTES = 64_000_000

# All that XML 1.0 does not have (section 2.2), and the control characters that it has.
_NO_TEXT = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Sidecar:
    """What was done to a sidecar, or with `dry_run` would be.

    Attributes:
        path: of the sidecar; where there is none and no keyword to write, the one that it would have.
        added: keywords that it had not.
        removed: keywords that an earlier run had added, and that hold no more.
        created: whether it is new.
    """

    path: Path
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    created: bool = False


def write_sidecar(photo: Path, keywords: Sequence[str], *, naming: Naming = "full", dry_run: bool = False) -> Sidecar:
    """Let the sidecar of a photograph hold these keywords, and of those that an earlier call added no others.

    A sidecar that exists is changed in its keywords alone, and not even touched where they are right already. Keywords
    that anybody else wrote stay (see `xmp.merge`).

    Args:
        photo: the photograph; only its name matters.
        keywords: best first. Control characters become spaces, and of two spellings of one word the first is taken.
        naming: what a new sidecar is called; an existing one of the other name is used where there is none of this. A
            sidecar without the suffix of the photograph is only used if no other photograph has the same stem.
        dry_run: change nothing.

    Raises:
        InputError: a sidecar that is no XMP, or is `stem` and belongs to another photograph as well.
        EnvironmentFailure: it cannot be written. In either case what was there is unchanged.
    """
    path = _place(photo, naming)
    wanted: dict[str, str] = {}
    for word in map(_clean, keywords):
        if word:
            wanted.setdefault(canonical(word), word)
    is_new = not os.path.lexists(path)
    if is_new and not wanted:
        return Sidecar(path)
    data = b"" if is_new else _read(path)
    root = xmp.empty() if is_new else _parsed(data, path)
    try:
        added, removed, is_changed = xmp.merge(root, tuple(wanted.values()))
    except InputError as error:
        raise InputError(error.problem, path=path) from error
    if is_changed:
        _refuse_read_only(path)
    if is_changed and not dry_run:
        # To where a link leads: it stays a link.
        files.write_bytes(os.path.realpath(path), _serialized(root, data))
    return Sidecar(path, added, removed, is_new)


def _clean(keyword: str) -> str:
    return " ".join(_NO_TEXT.sub(" ", keyword).split())


def _place(photo: Path, naming: Naming) -> Path:
    """The sidecar that is there, or is to be."""
    full, stem = photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp")
    asked, other = (full, stem) if naming == "full" else (stem, full)
    path = other if os.path.lexists(other) and not os.path.lexists(asked) else asked
    if path == full or (twin := _twin(photo)) is None:
        return path
    if naming == "full":
        return full
    raise InputError(
        f"is the sidecar of {twin.name} too, and each would take back what the other has added", path=stem,
        remedy="Name sidecars after the full names of the photographs.",
    )  # fmt: skip


def _twin(photo: Path) -> Path | None:
    """Another photograph whose name differs in the suffix alone."""
    for suffix in sorted(IMAGE_SUFFIXES):
        for other in (photo.with_suffix(suffix), photo.with_suffix(suffix.upper())):
            with suppress(OSError):
                # Where the case of letters makes no difference, IMG.JPG is IMG.jpg itself.
                if other.name != photo.name and not other.samefile(photo):
                    return other
    return None


def _read(path: Path) -> bytes:
    with files.open_input(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES // 1_000_000} MB, it is no sidecar", path=path)
    return data


def _parsed(data: bytes, path: Path) -> Any:
    """The root element; nothing that the file names is fetched, and no entity expanded."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        reason = " ".join(str(error.msg).partition(", line ")[0].split())
        raise InputError(f"is no XML: {reason}", path=path, line=error.lineno) from error
    if root.getroottree().docinfo.doctype:
        raise InputError("has a document type declaration, which XMP does not have", path=path)
    return root


def _serialized(root: Any, before: bytes) -> bytes:
    """The document as UTF-8, which is what readers of sidecars expect.

    Args:
        root: element of the document.
        before: the file that it was read from; empty for a new one.
    """
    nodes = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    lines = [etree.tostring(node, encoding="unicode", with_tail=False) for node in nodes]
    if not before or re.match(rb"(\xef\xbb\xbf)?<\?xml\s", before):
        lines.insert(0, f'<?xml version="{root.getroottree().docinfo.xml_version}" encoding="UTF-8"?>')
    return ("\n".join(lines) + "\n").encode()


def _refuse_read_only(path: Path) -> None:
    """Refuse a file that is marked as read-only: it could be replaced all the same, and root may write anything."""
    with suppress(OSError):
        if not (path.stat().st_mode & stat.S_IWUSR and os.access(path, os.W_OK)):
            raise unwritable(PermissionError(errno.EACCES, "it is read-only"), path)
