"""Photographs as they are given from Python: files, PIL images, arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zsmld.decoder.scoring import Photograph
from zsmld.errors import UsageError
from zsmld.images.opening import as_rgb

Given = str | Path | Image.Image | NDArray[np.uint8]


def as_photographs(images: Sequence[Given]) -> tuple[list[Photograph], list[Path]]:
    """Files, or upright RGB images; and a name of each: `image 1` of the first where it has none.

    Raises:
        UsageError: one thing in the place of a list, or an array that is no image.
        ImageError: an image that cannot be converted.
    """
    if isinstance(images, (str, Path, Image.Image, np.ndarray)):
        raise UsageError("one photograph is given, a list of them was expected", remedy="Write [photograph].")
    photographs: list[Photograph] = []
    names: list[Path] = []
    for number, each in enumerate(images, start=1):
        name = f"image {number}"
        if isinstance(each, (str, Path)):
            photographs.append(Path(each))
            names.append(Path(each))
            continue
        image = _of_array(each, name) if isinstance(each, np.ndarray) else each
        photographs.append(as_rgb(image))
        names.append(Path(getattr(image, "filename", "") or name))
    return photographs, names


def _of_array(array: NDArray[np.uint8], name: str) -> Image.Image:
    is_image = array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)))
    if not is_image or 0 in array.shape:
        raise UsageError(f"{name} is an array {array.dtype} {array.shape}, expected uint8 (h,w,3) or (h,w)")
    return Image.fromarray(np.ascontiguousarray(array))
