"""Tokens that somebody has computed already, out of HDF5 files: they go to the decoder as they are, without a backbone.

A feature map of C channels at T places lies under `NAME-features` as (C,T), as BiAM publishes those of VGG-19
(512 × 196, the map of its layer conv5_4). Needs h5py (`pip install 'zsmld[data]'`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from zsmld import files
from zsmld.errors import EnvironmentFailure, InputError

NAME = "features"
FEATURES = "-features"


class FeatureFile:
    """An HDF5 file, opened when it is first read.

    Raises:
        EnvironmentFailure: h5py is not installed.
        InputError: it is absent, or no whole HDF5 file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError as error:
            raise EnvironmentFailure("h5py is not installed", remedy="pip install 'zsmld[data]'.") from error
        with files.open_input(path):
            pass
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"is no whole HDF5 file: {reason}", path=path, remedy="Fetch it again.") from error

    def expect(self, image: str, suffix: str) -> None:
        """Look for `IMAGE + suffix` without reading it.

        Raises:
            InputError: it is not there; names the image.
        """
        if image + suffix not in self._file:
            raise InputError(
                f"has no {image + suffix!r}: nothing for image {image!r}", path=self.path,
                remedy="Fetch the file again, or take the image out of the list.",
            )  # fmt: skip

    def read(self, image: str, suffix: str) -> NDArray[Any]:
        """The array `IMAGE + suffix`.

        Raises:
            InputError: it is not there, or cannot be read; names the image.
        """
        self.expect(image, suffix)
        try:
            return np.asarray(self._file[image + suffix][()])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"cannot be read at image {image!r}: {reason}", path=self.path) from error


@dataclass(frozen=True, eq=False)
class Features:
    """The tokens of a list of images.

    Attributes:
        paths: the HDF5 files.
        images: names of the images in these.
        places: (I,) which file each image is in.
        shape: (T,C) of an image's tokens.
    """

    paths: tuple[Path, ...]
    images: tuple[str, ...]
    places: NDArray[np.uint8]
    shape: tuple[int, int]
    _open: dict[int, FeatureFile] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, paths: Sequence[Path], images: Sequence[str], places: NDArray[np.uint8]) -> Features:
        """The images' features; their shape is that of the first one.

        Raises:
            InputError: the first one is absent, or no array of two dimensions.
        """
        first = FeatureFile(paths[int(places[0])]).read(images[0], FEATURES)
        if first.ndim != 2 or 0 in first.shape:
            problem = f"features of image {images[0]!r} are of shape {first.shape}, expected (C, T)"
            raise InputError(problem, path=paths[int(places[0])])
        return cls(tuple(paths), tuple(images), places, (first.shape[1], first.shape[0]))

    @property
    def tokens(self) -> int:
        """T, how many tokens an image has."""
        return self.shape[0]

    @property
    def channels(self) -> int:
        """C, the width of a token."""
        return self.shape[1]

    @property
    def identity(self) -> list[Any]:
        """What tells other features from these without reading them: names and sizes of the files, and the shape."""
        return [[path.name, path.stat().st_size] for path in self.paths] + [list(self.shape)]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Those of some of the images."""
        return replace(self, images=tuple(self.images[row] for row in rows), places=self.places[rows])

    def read(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """(B,T,C) of these images.

        Raises:
            InputError: an image has none, or they are of another shape than the first one's, or not finite.
        """
        out = np.empty((len(rows), *self.shape), dtype=np.float32)
        for at, row in enumerate(rows):
            image, place = self.images[int(row)], int(self.places[int(row)])
            if place not in self._open:
                self._open[place] = FeatureFile(self.paths[place])
            array = self._open[place].read(image, FEATURES)
            if array.shape != self.shape[::-1] or array.dtype.kind not in "fiu":
                problem = f"features of image {image!r} are {array.dtype} of shape {array.shape}"
                raise InputError(f"{problem}, expected numbers of shape {self.shape[::-1]}", path=self.paths[place])
            out[at] = array.T
            if not np.isfinite(out[at]).all():
                raise InputError(f"features of image {image!r} are not all finite", path=self.paths[place])
        return out


class GivenTokens(nn.Module):
    """What stands for the backbone in a model that was trained on ready-made tokens.

    Args:
        tokens: T, at training time; another number does no harm.
        channels: C.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.tokens, self.channels = tokens, channels

    def forward(self, tokens: Tensor) -> Tensor:
        """(B,T,C) → the same."""
        return tokens

    def to_config(self) -> dict[str, Any]:
        """JSON values that `from_config` builds it from."""
        return {"name": NAME, "tokens": self.tokens, "channels": self.channels}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GivenTokens:
        """Build it from what `to_config` gave.

        Raises:
            InputError: no such description.
        """
        sizes = [config.get("tokens"), config.get("channels")]
        if not all(type(size) is int and size > 0 for size in sizes):
            raise InputError(f"describes tokens of {sizes[0]!r} × {sizes[1]!r}, expected two numbers")
        return cls(*sizes)  # type: ignore[arg-type]
