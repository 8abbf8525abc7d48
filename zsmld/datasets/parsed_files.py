"""What was read of large files, kept in the cache folder, so that the next start does not read them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from zsmld import console, files
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.tensors import Arrays, read_tensors, write_tensors


def parsed_once(paths: Sequence[Path], what: str, parse: Callable[[], Arrays]) -> Arrays:
    """What `parse` makes of the files: computed, or as it was kept, if no file has changed since.

    It lies in `tables/` of the cache folder, one file for each list of `paths`, which is replaced when they change.

    Args:
        paths: all files that it depends on.
        what: everything else that it depends on: the format and its version.
        parse: reads them.

    Raises:
        InputError: as `parse`; or a file is not there.
    """
    states = []
    for path in paths:
        with files.open_input(path):
            status = path.stat()
        # The time of change of the inode too: unpacking an archive sets the time of modification back.
        states.append([str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    name = hashlib.sha256(files.to_json([what, [state[0] for state in states]]).encode()).hexdigest()[:32]
    kept = files.cache_folder() / "tables" / f"{name}.safetensors"
    state = {"what": what, "files": files.to_json(states)}
    # What is damaged is read anew.
    with suppress(InputError):
        arrays, metadata = read_tensors(kept)
        if state.items() <= metadata.items():
            return arrays
    arrays = dict(parse())
    try:
        files.make_folder(kept.parent)
        write_tensors(kept, arrays, state)
    except EnvironmentFailure as error:
        console.warn(f"{error}; the next start reads the data set again")
    return arrays
