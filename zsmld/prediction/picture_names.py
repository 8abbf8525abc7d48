"""File names of pictures that are made of a photograph and a label: safe everywhere, and each of one photograph."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zsmld import files
from zsmld.errors import InputError, unreadable

# The text chunk in which a PNG of ours says which photograph it is of: as a digest, for paths are private.
OWNER = "zsmld-photograph"
# Bytes; a name has two parts, a digest, `--`, `.png`, and file systems allow 255.
_MOST_BYTES = 96
_SHORT, _LONG = 8, 32


def owner_of(photograph: Path) -> str:
    """A digest of the photograph's absolute path."""
    return _digest(os.fsencode(os.path.abspath(photograph)))  # noqa: PTH100 (as written: links are not followed)


def safe(text: str) -> str:
    """`text` as part of a file name: letters, marks, digits and pictures of any script, space, - and _; short."""
    kept = "".join(c if _is_safe(c) else "_" for c in unicodedata.normalize("NFC", text)).strip()
    return kept.encode()[:_MOST_BYTES].decode(errors="ignore").strip() or "_"


def _is_safe(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in " -_"
    kind = unicodedata.category(character)
    return kind[0] in "LMN" or kind == "So"


def label_names(labels: Sequence[str]) -> list[str]:
    """The labels as parts of file names, all different, also where upper and lower case are the same."""
    names = [safe(label) for label in labels]
    times = Counter(_folded(name) for name in names)
    return [
        name if times[_folded(name)] == 1 else f"{name}-{_digest(label.encode(errors='surrogatepass'))[:_SHORT]}"
        for name, label in zip(names, labels, strict=True)
    ]


def stem_in(folder: Path, photograph: Path) -> str:
    """The first part of the names of a photograph's pictures in `folder`, which no other photograph has there.

    Raises:
        InputError: the folder cannot be read.
    """
    owner, plain = owner_of(photograph), safe(photograph.stem)
    for stem in (plain, f"{plain}-{owner[:_SHORT]}"):
        if all(_has_owner(path, owner) for path in _pictures(folder, stem)):
            return stem
    return f"{plain}-{owner[:_LONG]}"


def _pictures(folder: Path, stem: str) -> list[Path]:
    start = _folded(f"{stem}--")
    try:
        return [path for path in folder.iterdir() if _folded(path.name).startswith(start)]
    except OSError as error:
        raise unreadable(error, folder) from error


def _has_owner(path: Path, owner: str) -> bool:
    try:
        with files.open_input(path) as stream:
            return f"{OWNER}\0{owner}".encode() in stream.read(1024)
    except InputError:
        return False


def _folded(name: str) -> str:
    """What two names have in common that some file system takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_LONG]
