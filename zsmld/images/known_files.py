"""Which bytes a file held when it was last read, so that unchanged files are not read again to be recognised."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from zsmld import files
from zsmld.errors import EnvironmentFailure, InputError

FILE_NAME = "digests.json"
# Size in bytes, and time of change in ns.
State = tuple[int, int]
_Entry = tuple[int, int, str]


def state_of(path: str | Path) -> State | None:
    """What tells a file from what it was before; None where there is none that can be looked at.

    The time is that of the inode (ctime): unlike the time of modification it cannot be set, so that files unpacked
    from an archive, which all bear the same date, are told apart from those that they replace.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (a hundred thousand names are no Path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_ctime_ns


@dataclass
class KnownFiles:
    """`digests.json` in a cache folder: absolute path → its `state_of`, and the digest of the bytes."""

    folder: Path
    entries: dict[str, _Entry] = field(default_factory=dict)
    changed: dict[str, _Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> KnownFiles:
        """Those remembered in `folder`; a missing or damaged list only means that files are read again."""
        return cls(folder, _read(folder / FILE_NAME))

    def digest(self, path: Path) -> tuple[str | None, State | None]:
        """The digest of an unchanged file, else None, and the state of the file to `learn` with."""
        state = state_of(path)
        if state is None:
            # Told when it is opened.
            return None, None
        entry = self.entries.get(str(path.absolute()))
        return (entry[2] if entry and entry[:2] == state else None), state

    def learn(self, path: Path, state: State, digest: str) -> None:
        """Remember the digest of a file that was in `state` before it was read."""
        name = str(path.absolute())
        self.entries[name] = self.changed[name] = (*state, digest)

    def save(self) -> None:
        """Write what was learnt; skipped while another process does, which costs a second reading at most."""
        if not self.changed:
            return
        with suppress(EnvironmentFailure), files.locked(self.folder):
            files.remove_leftovers(self.folder)
            # Another process may have learnt other files meanwhile.
            merged = _read(self.folder / FILE_NAME) | self.changed
            # In ASCII: a name that is no UTF-8 holds surrogates, which only escapes can write.
            files.write_text(self.folder / FILE_NAME, json.dumps(merged))
            self.changed = {}


def _read(path: Path) -> dict[str, _Entry]:
    try:
        values = files.read_json(path)
        return {str(name): (int(size), int(time), str(digest)) for name, (size, time, digest) in values.items()}
    except (InputError, ValueError, TypeError, AttributeError, OverflowError):
        return {}
