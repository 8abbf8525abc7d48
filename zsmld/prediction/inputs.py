"""What is to be tagged: files, folders, patterns and lists of paths → photographs, each once, in a stable order."""

from __future__ import annotations

import codecs
import functools
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from zsmld import console
from zsmld.errors import InputError, UsageError, unreadable
from zsmld.images.opening import IMAGE_SUFFIXES
from zsmld.prediction.gallery import MARKER

# The input that stands for a list of paths on standard input.
LIST = "-"
_SUFFIXES = tuple(IMAGE_SUFFIXES)
_SPECIAL = frozenset("*?[")
_ANY_DEPTH = "**"
# So many folders are named in a warning.
_NAMED = 10


@dataclass(frozen=True)
class Photographs:
    """What was found.

    Attributes:
        paths: of the photographs; whether each can be read shows when it is opened.
        skipped: how many other files the folders hold: not called as an image is, or hidden.
    """

    paths: tuple[Path, ...]
    skipped: int = 0


def find_images(inputs: Sequence[str]) -> Photographs:
    """The photographs that `inputs` name, each once, in the order of the inputs.

    An input is one of these:

    * a file. It is opened whatever it is called, and listed under the name given.
    * a folder: the files in and below it that are called as an image is (`IMAGE_SUFFIXES`), sorted. Links to folders
      are followed, but each folder is visited once, so loops end, and a file that several links lead to is listed once;
      names without links come first. Hidden folders (`.thumbnails`) are not entered, hidden files (`._img.jpg`, which
      macOS leaves behind) are skipped. A gallery that `predict` made is passed over.
    * a pattern, where no file has that name. `*` and `?` stand for any characters of a name, `[ab]` for one of these,
      `**` for folders at any depth; the case of letters counts, hidden names only match a dot. Files that it matches
      are treated as those of a folder, folders are searched.
    * `-`: paths on standard input, one a line, or separated by NUL characters where there is one. They are not looked
      at: one that names nothing becomes an error record, as a damaged photograph does.

    Folders that cannot be read are left out with a warning.

    Raises:
        UsageError: nothing was given, or standard input is closed.
        InputError: a path does not exist, a folder holds no image or cannot be read, a pattern matches none, a list is
            empty.
    """
    if not inputs or "" in inputs:
        raise UsageError("no photograph given", remedy="Name files or folders.")
    search = _Search()
    asked = [search.begin(text) for text in dict.fromkeys(inputs)]
    search.visit(asked)
    for each in asked:
        if not each.found and not each.shares:
            raise InputError(f"{each.lacks} ({', '.join(sorted(IMAGE_SUFFIXES))})", path=each.text)
    if search.unreadable:
        told = ", ".join(list(search.unreadable)[:_NAMED]) + (", ..." if len(search.unreadable) > _NAMED else "")
        console.warn(f"folders that cannot be read are left out: {told}")
    names = dict.fromkeys(name for each in asked for name in each.found)
    return Photographs(tuple(map(Path, names)), len(search.skipped.difference(names)))


@dataclass
class _Asked:
    """One input.

    Attributes:
        text: as it was given.
        folder: the folder that it names itself; empty where it is something else.
        lacks: what is wrong where nothing is found.
        folders: to visit.
        found: names of photographs.
        shares: something of it is found for another input already.
    """

    text: str
    folder: str = ""
    lacks: str = "holds no image"
    folders: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    shares: bool = False


class _Search:
    """All inputs on the way to their photographs. Names are spelt as `str(Path(name))` spells them."""

    def __init__(self) -> None:
        self.visited: dict[tuple[int, int], _Asked] = {}  # by device and inode: the input that a folder was visited for
        # Links, and what patterns match: called as an image is, but may be listed under another name.
        self.loose: list[tuple[_Asked, bool, str]] = []
        self.skipped: set[str] = set()
        self.unreadable: dict[str, None] = {}

    def begin(self, text: str) -> _Asked:
        """What an input names itself; its folders are still to be visited."""
        if text == LIST:
            return _Asked(text, found=_listed())
        path = Path(text)
        name = str(path)
        if os.path.lexists(name):
            return _Asked(text, name, folders=[name]) if _is_folder(name) else _Asked(text, found=[name])
        if not _SPECIAL & set(text):
            raise InputError("no such file or folder", path=text, remedy="Check the path.")
        asked = _Asked(text, lacks="is no file or folder, and as a pattern matches no image")
        parts = path.parts[1:] if path.anchor else path.parts
        matches = set(self._matching(path.anchor or os.curdir, parts))
        for is_link, match in sorted(((Path(match).is_symlink(), match) for match in matches), key=_links_last):
            if _is_folder(match):
                asked.folders.append(match)
            else:
                self._take(asked, match, is_link=is_link, is_loose=True)
        return asked

    def _matching(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """Names in and below `folder` that the parts of a pattern match."""
        if not parts:
            yield folder
            return
        if not _is_folder(folder):
            return
        part, *rest = parts
        path = _inside(folder, part)
        if part == _ANY_DEPTH and rest[:1] == [_ANY_DEPTH]:
            yield from self._matching(folder, rest)
        elif part == _ANY_DEPTH:
            for _, below, _ in self._folders([(_Asked(folder), folder)], {}):
                yield from self._matching(below, rest)
        elif not _SPECIAL & set(part):
            if os.path.lexists(path):
                yield from self._matching(path, rest)
        else:
            for entry in self._entries(folder):
                if fnmatchcase(entry.name, part) and (part.startswith(".") or not entry.name.startswith(".")):
                    yield from self._matching(_inside(folder, entry.name), rest)

    def visit(self, asked: Sequence[_Asked]) -> None:
        """Find the photographs in the folders of all inputs, and put those of each in order."""
        tops = [(each, folder) for each in asked for folder in each.folders]
        for owner, folder, entries in self._folders(tops, self.visited):
            for entry in entries:
                is_link = entry.is_symlink()
                self._take(owner, _inside(folder, entry.name), is_link=is_link, is_loose=is_link)
        self._settle()
        for each in asked:
            if each.text != LIST:
                each.found.sort(key=_by_parts)

    def _folders(
        self, tops: Iterable[tuple[_Asked, str]], visited: dict[tuple[int, int], _Asked]
    ) -> Iterator[tuple[_Asked, str, list[os.DirEntry[str]]]]:
        """Each folder in and below `tops` once, those behind links last: for which input, its name, its files."""
        waiting, linked = deque(tops), deque[tuple[_Asked, str]]()
        while waiting or linked:
            owner, folder = (waiting or linked).popleft()
            key = _identity(folder)
            if key is not None and key in visited:
                owner.shares |= visited[key] is not owner
                continue
            if key is not None:
                visited[key] = owner
            others = []
            # In order: which of several links a folder is found under is no chance of the disk.
            inside = sorted(self._entries(folder, named=folder == owner.folder), key=lambda entry: entry.name)
            if folder != owner.folder and any(entry.name == MARKER for entry in inside):
                continue
            for entry in inside:
                if not _leads_to_folder(entry):
                    others.append(entry)
                elif not entry.name.startswith("."):
                    below = (owner, _inside(folder, entry.name))
                    # Before the folders of the next input.
                    linked.append(below) if entry.is_symlink() else waiting.appendleft(below)
            yield owner, folder, others

    def _entries(self, folder: str, *, named: bool = False) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                yield from entries
        except OSError as error:
            if named:
                raise unreadable(error, folder) from error
            self.unreadable[folder] = None

    def _take(self, asked: _Asked, name: str, *, is_link: bool, is_loose: bool) -> None:
        if not _is_image(name):
            self.skipped.add(name)
        elif is_loose:
            self.loose.append((asked, is_link, name))
        else:
            asked.found.append(name)

    def _settle(self) -> None:
        """List the loose files that are not listed under their own name, or another one, already."""
        taken: set[tuple[tuple[int, int] | None, str]] = set()
        place_of = functools.cache(_identity)
        for asked, is_link, name in sorted(self.loose, key=lambda each: _links_last(each[1:])):
            folder, last = os.path.split(os.path.realpath(name) if is_link else name)
            place = place_of(folder or os.curdir)
            # A link that leads nowhere is listed, and becomes an error record.
            there = not is_link or os.path.exists(name)  # noqa: PTH110 (pathlib's raises where the way there is barred)
            if (there and place in self.visited and _is_image(last)) or (place, last) in taken:
                asked.shares = True
            else:
                taken.add((place, last))
                asked.found.append(name)


def _listed() -> list[str]:
    """The paths on standard input."""
    if sys.stdin is None:
        raise UsageError("standard input is closed, a list of paths was expected")
    data = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
    lines = data.split(b"\0") if b"\0" in data else (line.removesuffix(b"\r") for line in data.split(b"\n"))
    # Names are bytes; those that are no UTF-8 come through as surrogates.
    listed = [str(Path(os.fsdecode(line))) for line in lines if line.strip()]
    if not listed:
        raise InputError("standard input lists no path", remedy="Give one a line.")
    return listed


def _inside(folder: str, name: str) -> str:
    if folder == os.curdir:
        return name
    return f"{folder}{name}" if folder.endswith(os.sep) else f"{folder}{os.sep}{name}"


def _is_image(name: str) -> bool:
    """Whether a file is called as an image is, and not hidden."""
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".", name.rfind(os.sep) + 1)


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 (pathlib's raises where the way there is barred)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a loop of links, say


def _identity(folder: str) -> tuple[int, int] | None:
    """Device and inode; None where it cannot be looked at."""
    try:
        status = Path(folder).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _links_last(named: tuple[bool, str]) -> tuple[bool, str]:
    """A key that sorts names with whether they are links."""
    is_link, name = named
    return is_link, _by_parts(name)


def _by_parts(name: str) -> str:
    """A key that sorts names as their parts: what is in `a/` comes before what is in `a b/`."""
    return name.replace(os.sep, "\0")
