"""How a photograph becomes the input of an image tower: decoded, squeezed to a square, normalised.

What is asked of it is speed, at pixels that a tower takes for the same. Two things are not done as the reference does
them, which is Pillow's full decoding and timm's transform with `crop_mode="squash"`:

* a JPEG that is much larger than the square is decoded at a half, a quarter or an eighth of its size, which JPEG's
  blocks allow for little work; the rest of the way is what the reference does;
* the squeezing is PyTorch's for 8-bit images, several times as fast as Pillow's, and equal to it but for a level of
  grey here and there.

`scripts/bench_photos.py` measures the rate and the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zsmld.errors import UsageError
from zsmld.images.opening import decode_image, read_image

# Changes with the pixels that a photograph gives: what was computed from others is not taken for the same.
PIXELS = "2"
# How many times the side of the square a photograph must have at least after decoding at reduced size: photographs that
# are sharp to the pixel differ by 0.45 levels of grey on average then, others by less (docs/benchmarks.md).
SPARE = 2.5
# Those that PyTorch has for 8-bit images; others are Pillow's.
_FAST = ("bilinear", "bicubic")
Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Preprocessing:
    """How a photograph becomes a tensor: the whole of it squeezed to a square, then normalised.

    Towers are published with a centre crop, which is right for one object in the middle. Labels of a whole
    photograph are about its borders too, so it is squeezed, as ML-Decoder's published preprocessing does. Size,
    interpolation, mean and standard deviation are the tower's own.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.interpolation.upper() not in Image.Resampling.__members__:
            raise UsageError(f"interpolation {self.interpolation!r} is unknown")
        if not isinstance(self.image_size, int) or self.image_size < 1:
            raise UsageError(f"image size {self.image_size!r} is not a number of pixels")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not np.isfinite(values).all() or (name == "std" and min(values) <= 0):
                raise UsageError(f"--{name} is {','.join(map(str, values))}, expected one number or three")

    def open(self, path: str | Path) -> Tensor:
        """The photograph at `path` → (3,H,W) float32.

        Raises:
            ImageError: see `open_image`.
        """
        return self.decode(read_image(path), path)

    def decode(self, data: bytes, path: str | Path, change: Change | None = None) -> Tensor:
        """`open` on bytes that were read already; `path` is for the message."""
        return self(decode_image(data, path, needed=ceil(SPARE * self.image_size)), change)

    def __call__(self, image: Image.Image, change: Change | None = None) -> Tensor:
        """PIL image, RGB → (3,H,W) float32.

        Args:
            image: of any size.
            change: what is done to the squeezed pixels (H,W,3), 8-bit, before they are normalised.
        """
        scale, shift = self._scaling
        pixels = self._squeezed(image)
        pixels = pixels if change is None else change(pixels)
        out = np.empty((3, self.image_size, self.image_size), dtype=np.float32)
        # numpy, not torch: this runs in several threads, each of which would start torch's thread pool again. The
        # squeezing above it is done by one thread.
        np.multiply(pixels.transpose(2, 0, 1), scale, out=out, casting="unsafe")
        return torch.from_numpy(np.subtract(out, shift, out=out))

    def _squeezed(self, image: Image.Image) -> NDArray[Any]:
        """(H,W,3) 8-bit."""
        side = (self.image_size, self.image_size)
        if self.interpolation not in _FAST:
            return np.asarray(image.resize(side, Image.Resampling[self.interpolation.upper()]))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)  # (1,3,h,w)
        small = F.interpolate(pixels, side, mode=self.interpolation, antialias=True)
        return small[0].permute(1, 2, 0).numpy()

    @cached_property
    def _scaling(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(3,1,1) what levels of grey are multiplied with, and what is taken off then."""
        mean, std = (np.array(values, dtype=np.float64).reshape(3, 1, 1) for values in (self.mean, self.std))
        return (1 / (255 * std)).astype(np.float32), (mean / std).astype(np.float32)
