"""What is done to photographs for training, when the backbone is trained along.

`flip` mirrors half of them. `ml-decoder` is that of the published code: Cutout (a square hole, half as wide as the
image, around any of its points) and RandAugment (Cubuk et al., NeurIPS 2020), here timm's with two of its changes at
magnitude 9. The published code mirrors only as far as RandAugment does: not at all.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
CHOICES = ("none", "flip", "ml-decoder")
_RANDAUGMENT = "rand-m9-n2"
_HOLE = 0.5
# timm draws from the generators of the process; one at a time sets them, and puts them back.
_drawing = threading.Lock()


def augmented(pixels: Pixels, name: str, seed: tuple[int, ...]) -> Pixels:
    """(H,W,3) → (H,W,3), a function of the pixels and the seed alone.

    Args:
        pixels: 8-bit.
        name: of `CHOICES`.
        seed: of all that is drawn.
    """
    draw = np.random.default_rng(seed)
    if name == "flip" and draw.random() < 0.5:
        return np.ascontiguousarray(pixels[:, ::-1])
    if name == "ml-decoder":
        return _randaugmented(_with_hole(pixels, draw), draw)
    return pixels


def _with_hole(pixels: Pixels, draw: np.random.Generator) -> Pixels:
    """Cutout (DeVries & Taylor, 2017), filled with any colour."""
    sides = np.array(pixels.shape[:2])
    centre = draw.integers(sides)
    first = (centre - sides * _HOLE / 2).astype(int).clip(0)
    last = (centre + sides * _HOLE / 2).astype(int).clip(max=sides)
    pixels = pixels.copy()
    pixels[first[0] : last[0], first[1] : last[1]] = draw.integers(256, size=3)
    return pixels


def _randaugmented(pixels: Pixels, draw: np.random.Generator) -> Pixels:
    seed = int(draw.integers(2**32))
    with _drawing:
        states = random.getstate(), np.random.get_state()
        try:
            random.seed(seed)
            np.random.seed(seed)
            changed = _transform()(Image.fromarray(pixels))
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
    return np.asarray(changed)


@cache
def _transform() -> Callable[[Image.Image], Image.Image]:
    from timm.data.auto_augment import rand_augment_transform

    transform: Any = rand_augment_transform(_RANDAUGMENT, {"img_mean": (124, 116, 104)})
    return transform  # type: ignore[no-any-return]
