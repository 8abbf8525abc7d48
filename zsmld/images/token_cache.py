"""Tokens of a frozen backbone on disk: computed once, shared by every data set that has the same photographs.

    <root>/digests.json                     which bytes each file holds (`known_files.py`)
    <root>/<fingerprint>/NNNNN.npy, .json   shards of up to 1,024 photographs (`token_store.py`)

Photographs are known by the digest of their bytes, so a renamed file or another split finds its tokens again, and a
changed file does not. A killed run loses at most the shard that it was filling, a minute's work; the next one goes on
behind it. Processes that fill the tokens of the same backbone take turns; readers need no lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import console, distributed, files
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.images.ahead import ahead
from zsmld.images.backbones import Backbone
from zsmld.images.known_files import KnownFiles, State
from zsmld.images.opening import ImageError, read_image
from zsmld.images.token_store import Place, Shards, TokenStore

__all__ = ["TokenCache", "TokenStore"]

SECONDS_BETWEEN_SHARDS = 60.0
_SECONDS_BETWEEN_TRIES = 0.5


class TokenCache:
    """The tokens that one backbone, as it is now, gives for photographs.

    Args:
        folder: the cache folder; this backbone's tokens lie in a folder of their own below it.
        backbone: on the device that it should compute on; it is put in eval mode.
    """

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.root, self.backbone = folder, backbone.eval()
        self.fingerprint = backbone.fingerprint
        self.folder = folder / self.fingerprint.removeprefix("sha256:")[:32]
        self.shards = Shards(self.folder, self.fingerprint, (backbone.tokens, backbone.channels))

    def fill(
        self, paths: Sequence[Path], *, batch_size: int = 32, on_error: Literal["raise", "skip"] = "raise"
    ) -> TokenStore:
        """Compute what is missing and return a reader whose rows are those of `paths`.

        Args:
            batch_size: images that the backbone gets at once. Tokens computed with another one differ by rounding.
            on_error: what becomes of photographs that cannot be read: an error, or rows that are listed in the
                reader's `errors`. The others are in the cache either way.

        Raises:
            ImageError: a photograph cannot be read, and `on_error` is "raise".
            InputError: a shard is damaged or of another backbone, or the backbone gives no finite tokens.
            EnvironmentFailure: the disk is full, or the folder is read-only.
        """
        with turn(self.folder):
            distributed.from_first(self.shards.remove_leftovers)
            filling = Filling(self.shards, self.backbone, KnownFiles.of(self.root), batch_size)
            try:
                take = filling.take if distributed.size() == 1 else filling.take_together
                digests, errors = take(paths)
            finally:
                # Also on Ctrl-C: what has been computed is kept.
                filling.write()
            distributed.wait()
            places = filling.places if distributed.size() == 1 else self.shards.read_index()
        if errors and on_error == "raise":
            first = next(iter(errors.values()))
            more = f" (and {len(errors) - 1} more like it)" if len(errors) > 1 else ""
            raise ImageError(f"{first.problem}{more}", path=first.path, remedy=first.remedy or "Remove or replace it.")
        return TokenStore.of(self.shards, [places[d] if d else None for d in digests], errors)


@dataclass(frozen=True)
class _Read:
    """What a decoding thread made of a file.

    Attributes:
        digest: of its bytes.
        state: of the file before it was read; None where it was not read, being known.
        image: None where its tokens are there already.
    """

    digest: str
    state: State | None = None
    image: Tensor | None = None


class FileMemory(Protocol):
    """What remembers which bytes files held: `KnownFiles`, or the manifest of an index."""

    def digest(self, path: Path) -> tuple[str | None, State | None]:
        """The digest of an unchanged file, else None; and the state of the file, None where there is none."""

    def learn(self, path: Path, state: State, digest: str) -> None:
        """Remember what a file held that was in `state` before it was read."""

    def save(self) -> None:
        """Write what was learnt."""


@dataclass
class Filling:
    """One run over a list of files: decoding threads in front, the backbone behind, shards at the end."""

    shards: Shards
    backbone: Backbone
    known: FileMemory
    batch_size: int
    learnt: list[tuple[Path, State, str]] = field(default_factory=list)
    batch: dict[str, tuple[Path, Tensor]] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    tokens: list[NDArray[np.float16]] = field(default_factory=list)
    last_written: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.places: dict[str, Place] = self.shards.read_index()
        self.pending: set[str] = set()

    def take(self, paths: Sequence[Path]) -> tuple[list[str | None], dict[int, ImageError]]:
        """Digest by row, None where there is an error instead."""
        digests: list[str | None] = []
        errors: dict[int, ImageError] = {}
        # Two batches at most are decoded ahead of the one that is computed.
        read = ahead(self._open, paths, count=2 * self.batch_size)
        with console.progress("computing tokens", len(paths)) as meter, closing(read):
            for row, (path, found) in enumerate(zip(paths, read, strict=True)):
                if isinstance(found, ImageError):
                    errors[row] = found
                    digests.append(None)
                else:
                    digests.append(found.digest)
                    self._add(path, found)
                meter.advance()
            self._encode()
        return digests, errors

    def take_together(self, paths: Sequence[Path]) -> tuple[list[str | None], dict[int, ImageError]]:
        """The same, each process its part of what is missing: told apart by digest, so that none is computed twice."""
        own = {int(row): self._digest(paths[row]) for row in distributed.share(len(paths))}
        found = {row: each for part in distributed.gathered(own) for row, each in part.items()}
        first = {each: row for row, each in sorted(found.items(), reverse=True) if isinstance(each, str)}
        missing = [row for each, row in sorted(first.items(), key=lambda item: item[1]) if each not in self.places]
        mine = [missing[at] for at in distributed.share(len(missing))]
        with files.without_writing(False):
            _, failed = self.take([paths[row] for row in mine])
            self.write()
        # What cannot be decoded is told of every copy of it.
        broken = {found[mine[at]]: error for at, error in failed.items()}
        broken = {digest: error for part in distributed.gathered(broken) for digest, error in part.items()}
        errors: dict[int, ImageError] = {}
        for row, each in sorted(found.items()):
            if isinstance(each, ImageError):
                errors[row] = each
            elif each in broken:
                errors[row] = ImageError(broken[each].problem, path=paths[row], remedy=broken[each].remedy)
        return [None if row in errors else str(found[row]) for row in range(len(paths))], errors

    def _digest(self, path: Path) -> str | ImageError:
        try:
            digest, state = self.known.digest(path)
            if digest is None:
                digest = files.digest_bytes(read_image(path))
                if state is not None:
                    self.known.learn(path, state, digest)
            return digest
        except ImageError as error:
            return error

    def _open(self, path: Path) -> _Read | ImageError:
        try:
            digest, state = self.known.digest(path)
            if digest is not None and self._is_there(digest):
                return _Read(digest)
            data = read_image(path)
            # Of these very bytes: the file may change between two readings, and its tokens would lie under the
            # wrong name for good.
            digest = files.digest_bytes(data)
            if self._is_there(digest):
                return _Read(digest, state)
            return _Read(digest, state, self.backbone.preprocess.decode(data, path))
        except ImageError as error:
            return error

    def _is_there(self, digest: str) -> bool:
        return digest in self.places or digest in self.pending

    def _add(self, path: Path, found: _Read) -> None:
        if found.state is not None:
            self.learnt.append((path, found.state, found.digest))
        # Asked again: two copies of one photograph may have been decoded side by side.
        if found.image is None or self._is_there(found.digest):
            return
        self.pending.add(found.digest)
        self.batch[found.digest] = path, found.image
        if len(self.batch) == self.batch_size:
            self._encode()

    def _encode(self) -> None:
        if not self.batch:
            return
        tokens = self.backbone.encode([image for _, image in self.batch.values()], self.batch_size).half()
        finite = torch.isfinite(tokens).flatten(1).all(dim=1)
        for (path, _), is_finite in zip(self.batch.values(), finite.tolist(), strict=True):
            if not is_finite:
                raise InputError(
                    "the backbone gives this image tokens that are no numbers of half precision", path=path,
                    remedy="Check --mean and --std, or take another backbone.",
                )  # fmt: skip
        self.digests += self.batch
        self.tokens.append(tokens.numpy())
        self.batch = {}
        is_full = len(self.digests) + self.batch_size > self.shards.capacity
        if is_full or time.monotonic() - self.last_written > SECONDS_BETWEEN_SHARDS:
            self.write()

    def write(self) -> None:
        """Write the tokens that wait as a shard, and what was learnt of the files."""
        digests, tokens = self.digests, self.tokens
        self.digests, self.tokens = [], []
        if digests:
            self.places |= self.shards.write(digests, (image for batch in tokens for image in batch))
        # Not before its tokens are there: whoever reads what is known of a file finds these too.
        waiting = self.learnt
        self.learnt = []
        for path, state, digest in waiting:
            if digest in self.places:
                self.known.learn(path, state, digest)
            else:
                self.learnt.append((path, state, digest))
        self.known.save()
        self.last_written = time.monotonic()


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`; wait for another process that has it."""
    with ExitStack() as stack:
        waiting = False
        while True:
            try:
                stack.enter_context(files.locked(folder))
                break
            except EnvironmentFailure as error:
                if not isinstance(error.__cause__, BlockingIOError):
                    raise
            if not waiting:
                console.info(f"waiting for another zsmld process that fills {folder}")
            waiting = True
            time.sleep(_SECONDS_BETWEEN_TRIES)
        yield
