"""Tokens of a frozen backbone on disk: computed once, shared by every data set that has the same photographs.

`<root>/<fingerprint>/NNNNN.npy` holds the tokens of up to 1,024 photographs, (n,T,C) float16, and `NNNNN.json` the
digests of their bytes in the same order. A shard counts once its JSON is there: it is written last. A killed run
loses at most the shard that it was filling, and the next one goes on behind it.

Photographs are known by the digest of their bytes, so a renamed file or another split finds its tokens again, and a
changed file does not. `<root>/digests.json` remembers path, size and time of change, so that unchanged files are not
read again to be recognised.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import console, files
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.images.backbones import Backbone
from zsmld.images.opening import ImageError, decode_image

FORMAT_VERSION = 1
SHARD_IMAGES = 1024
SECONDS_BETWEEN_SHARDS = 60.0
_THREADS = 4
_FOREIGN = "Remove its folder; the tokens are computed again."
_RecognisedAs = dict[str, tuple[int, int, str]]


def cache_folder() -> Path:
    """`$ZSMLD_CACHE`, else `zsmld` in the user's cache folder."""
    if chosen := os.environ.get("ZSMLD_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zsmld"


@dataclass(frozen=True)
class Place:
    """Where the tokens of one photograph lie: which shard, which row."""

    shard: int
    row: int


class TokenStore:
    """Tokens of a list of photographs, read from disk row by row.

    Rows are read, not mapped: mapped pages would count as memory of this process, and grow with the data set.
    """

    def __init__(self, folder: Path, places: Sequence[Place], shape: tuple[int, int]) -> None:
        self.folder = folder
        self.tokens, self.channels = shape
        self.shards = np.array([place.shard for place in places], dtype=np.int32)
        self.rows = np.array([place.row for place in places], dtype=np.int32)
        self._open: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """(B,T,C) of these photographs.

        Raises:
            InputError: a shard was removed or cut short since the store was made.
        """
        size = self.tokens * self.channels * 2
        out = np.empty((len(rows), self.tokens, self.channels), dtype=np.float16)
        for index, row in enumerate(rows):
            descriptor, start = self._descriptor(int(self.shards[row]))
            data = os.pread(descriptor, size, start + int(self.rows[row]) * size)
            if len(data) != size:
                raise InputError("is cut short", path=_npy(self.folder, int(self.shards[row])), remedy=_FOREIGN)
            out[index] = np.frombuffer(data, dtype=np.float16).reshape(out.shape[1:])
        return out.astype(np.float32)

    def _descriptor(self, shard: int) -> tuple[int, int]:
        if shard not in self._open:
            path = _npy(self.folder, shard)
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", path=path, remedy=_FOREIGN) from error
            with path.open("rb") as stream:
                np.lib.format.read_magic(stream)
                np.lib.format.read_array_header_1_0(stream)
                self._open[shard] = (descriptor, stream.tell())
        return self._open[shard]

    def __del__(self) -> None:
        for descriptor, _ in self._open.values():
            os.close(descriptor)


@dataclass
class _Shard:
    """Tokens that wait to be written."""

    digests: list[str] = field(default_factory=list)
    tokens: list[NDArray[np.float16]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        return len(self.digests) >= SHARD_IMAGES or time.monotonic() - self.started > SECONDS_BETWEEN_SHARDS


class TokenCache:
    """The tokens that one backbone, as it is now, gives for photographs.

    Args:
        root: the cache folder; this backbone's tokens lie in a folder of their own below it.
        backbone: in eval mode; on the device that it should compute on.
    """

    def __init__(self, root: Path, backbone: Backbone) -> None:
        self.root, self.backbone = root, backbone.eval()
        self.fingerprint = backbone.fingerprint()
        self.folder = root / self.fingerprint.removeprefix("sha256:")[:32]

    def fill(self, paths: Sequence[Path], *, batch_size: int = 32) -> TokenStore:
        """Compute what is missing and return a reader whose rows are those of `paths`.

        Raises:
            InputError: a photograph cannot be read (after the others are in the cache), or a shard is damaged or of
                another backbone.
            EnvironmentFailure: the disk is full, or another process fills the same cache.
        """
        with files.locked(self.folder):
            files.remove_leftovers(self.folder)
            _remove_unfinished(self.folder)
            digests = self._recognise(paths)
            places, shape = self._read_index()
            missing = {digest: path for path, digest in zip(paths, digests, strict=True) if digest not in places}
            if missing:
                errors = self._compute(missing, batch_size)
                if errors:
                    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
                    raise ImageError(f"{errors[0].problem}{more}", path=errors[0].path, remedy="Remove or mend it.")
                places, shape = self._read_index()
        assert shape is not None
        return TokenStore(self.folder, [places[digest] for digest in digests], shape)

    def _recognise(self, paths: Sequence[Path]) -> list[str]:
        """The digest of every photograph; files that have not changed are not read again."""
        index = self.root / "digests.json"
        known: _RecognisedAs = _as_known(files.read_json(index)) if index.exists() else {}
        found: _RecognisedAs = {}
        with ThreadPoolExecutor(_THREADS) as pool, console.progress("recognising photographs", len(paths)) as meter:
            for path, entry in zip(paths, pool.map(lambda path: _entry(path, known), paths), strict=True):
                found[str(path.absolute())] = entry
                meter.advance()
        if any(known.get(key) != entry for key, entry in found.items()):
            files.write_text(index, files.to_json(known | found))
        return [found[str(path.absolute())][2] for path in paths]

    def _read_index(self) -> tuple[dict[str, Place], tuple[int, int] | None]:
        places: dict[str, Place] = {}
        shape = None
        for path in sorted(self.folder.glob("*.json")):
            number, (digests, shape) = int(path.stem), self._read_shard(path)
            places |= {digest: Place(number, row) for row, digest in enumerate(digests)}
        return places, shape

    def _read_shard(self, path: Path) -> tuple[list[str], tuple[int, int]]:
        """Digests and (T,C) of a shard, if it is this backbone's and whole."""
        try:
            description: dict[str, Any] = files.read_json(path)
            tokens, channels = description["shape"]
            digests, stated = list(description["images"]), description["bytes"]
            version, fingerprint = description["format_version"], description["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"describes no tokens: {error!r}", path=path, remedy=_FOREIGN) from error
        if version != FORMAT_VERSION or fingerprint != self.fingerprint:
            raise InputError("is of another backbone or another version of zsmld", path=path, remedy=_FOREIGN)
        array = path.with_suffix(".npy")
        size = array.stat().st_size if array.exists() else 0
        if size != stated or size < len(digests) * tokens * channels * 2:
            raise InputError(f"has {size} bytes, expected {stated}", path=array, remedy=_FOREIGN)
        return digests, (tokens, channels)

    def _compute(self, missing: dict[str, Path], batch_size: int) -> list[ImageError]:
        errors: list[ImageError] = []
        shard = _Shard()
        with console.progress("computing tokens", len(missing)) as meter:
            for digests, images in _batches(missing, self.backbone, batch_size, errors):
                meter.advance(batch_size)
                if digests:
                    shard.digests += digests
                    shard.tokens.append(self._encode(images, batch_size))
                if shard.is_due():
                    self._write(shard)
                    shard = _Shard()
        self._write(shard)
        return errors

    @torch.inference_mode()
    def _encode(self, images: list[Tensor], batch_size: int) -> NDArray[np.float16]:
        # Always a full batch: the last bits of a matrix product depend on its shape, and the tokens of a photograph
        # must not depend on which others were missing along with it.
        filled = torch.stack(images + [torch.zeros_like(images[0])] * (batch_size - len(images)))
        device = next(self.backbone.parameters()).device
        tokens = self.backbone(filled.to(device)).float().cpu().numpy()[: len(images)].astype(np.float16)
        if not np.isfinite(tokens).all():
            raise EnvironmentFailure(
                "the backbone gives tokens that half precision cannot hold",
                remedy="Check --mean and --std, or choose another backbone.",
            )
        result: NDArray[np.float16] = tokens
        return result

    def _write(self, shard: _Shard) -> None:
        if not shard.digests:
            return
        number = max((int(path.stem) for path in self.folder.glob("[0-9]*.npy")), default=-1) + 1
        tokens = np.concatenate(shard.tokens)
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, tokens, version=(1, 0), allow_pickle=False)
        files.write_bytes(_npy(self.folder, number), buffer.getvalue())
        description = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "backbone": self.backbone.to_config(),
            "shape": list(tokens.shape[1:]),
            "bytes": buffer.tell(),
            "images": shard.digests,
        }
        files.write_json(_npy(self.folder, number).with_suffix(".json"), description)


def _npy(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.npy"


def _remove_unfinished(folder: Path) -> None:
    """Remove shards that a killed run left without the JSON that makes them count."""
    for array in folder.glob("[0-9]*.npy"):
        if not array.with_suffix(".json").exists():
            array.unlink(missing_ok=True)


def _entry(path: Path, known: _RecognisedAs) -> tuple[int, int, str]:
    """Size, time of change and digest of a photograph; the digest of a file that cannot be read is its path."""
    try:
        status = path.stat()
        before = known.get(str(path.absolute()))
        if before is not None and before[:2] == (status.st_size, status.st_mtime_ns):
            return before
        return status.st_size, status.st_mtime_ns, files.digest_file(path)
    except (OSError, ValueError, InputError):
        # Told with the others that fail, when it is opened.
        return 0, 0, f"unreadable:{path}"


def _as_known(values: Any) -> _RecognisedAs:
    if not isinstance(values, dict):
        return {}
    return {key: (int(size), int(changed), str(digest)) for key, (size, changed, digest) in values.items()}


def _batches(
    missing: dict[str, Path], backbone: Backbone, batch_size: int, errors: list[ImageError]
) -> Iterator[tuple[list[str], list[Tensor]]]:
    """Decoded batches in the order of `missing`; the next one is decoded while this one is computed."""
    items = list(missing.items())

    def decode(item: tuple[str, Path]) -> Tensor | ImageError:
        try:
            return backbone.preprocess(decode_image(files.read_bytes(item[1]), item[1]))
        except ImageError as error:
            return error
        except InputError as error:
            return ImageError(error.problem, path=item[1], remedy=error.remedy)

    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
        ahead = [pool.submit(decode, item) for item in chunks[0]]
        for index, chunk in enumerate(chunks):
            decoded = [future.result() for future in ahead]
            following = chunks[index + 1] if index + 1 < len(chunks) else []
            ahead = [pool.submit(decode, item) for item in following]
            errors += [result for result in decoded if isinstance(result, ImageError)]
            read = [
                (item[0], result) for item, result in zip(chunk, decoded, strict=True) if isinstance(result, Tensor)
            ]
            yield [digest for digest, _ in read], [image for _, image in read]
