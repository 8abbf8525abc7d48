"""Photographs of predictions as small pictures to look at."""

from __future__ import annotations

from PIL import Image

from zsmld.images.opening import decode_image, in_srgb, read_image
from zsmld.prediction.results import Prediction


def small_picture(prediction: Prediction, side: int) -> Image.Image:
    """The photograph, upright and RGB, with at most `side` pixels a side; a smaller one as it is.

    Raises:
        ImageError: the file cannot be read any more.
    """
    if prediction.picture is not None:
        image = prediction.picture.convert("RGB")  # a copy, always
    else:
        # JPEGs are decoded at a fraction of their size, never below what is shown.
        image = decode_image(read_image(prediction.path), prediction.path, needed=side)
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return in_srgb(image)
