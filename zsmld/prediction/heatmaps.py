"""Where a label looked, as a heatmap: from attention weights, over a photograph, into PNG files.

A heatmap lies on the grid of the image tokens, which covers the whole photograph squeezed to a square. Stretched to the
photograph's size it lies over what it is about.
"""

from __future__ import annotations

import functools
import io
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zsmld import files
from zsmld.prediction.picture_names import OWNER, label_names, owner_of, stem_in
from zsmld.prediction.pictures import small_picture
from zsmld.prediction.results import Heatmap, Prediction

LONGEST = 1024  # pixels of the long side of a PNG
# "Inferno" (Smith and van der Walt, CC0) at ten even steps: its lightness grows evenly, so that equal differences of
# level look equal, on paper without colour too, and it can be told apart by colour-blind people.
_STOPS = "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4"
# Opacity of the lowest and of the highest level: what was looked at is coloured, the rest darkened, and all visible.
_OPACITY = (0.45, 0.6)


def heatmap_of(weights: NDArray[np.floating[Any]]) -> Heatmap | None:
    """Attention weights (T,) of a square grid of tokens as levels of 0 to 255; None where T is no square above 1.

    From the lowest weight, 0, to the highest, 255, evenly. Roots of the weights bring out what is faint, but they flood
    real photographs: averaged over its heads, the attention of a trained decoder is broad already. Where all weights
    are equal nothing stands out: all 0.
    """
    side = isqrt(len(weights))
    if side < 2 or side * side != len(weights):
        return None
    exact = np.asarray(weights, dtype=np.float64)
    spread = float(np.ptp(exact))
    scaled = (exact - exact.min()) / spread if spread > 0 else np.zeros_like(exact)
    return Heatmap(side, side, np.rint(255 * scaled).astype(np.uint8).tobytes())


def upsampled(heatmap: Heatmap, width: int, height: int) -> NDArray[np.uint8]:
    """(height,width): the levels stretched over a photograph of that size, bicubic (Keys 1981, a = -1/2)."""
    grid = np.frombuffer(heatmap.levels, dtype=np.uint8).reshape(heatmap.height, heatmap.width)
    # As floats: between its two passes Pillow would cut bytes off at 0 and 255.
    exact = np.asarray(Image.fromarray(grid.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
    levels: NDArray[np.uint8] = np.rint(exact.clip(0, 255)).astype(np.uint8)
    return levels


@functools.cache
def palette() -> NDArray[np.uint8]:
    """(256,4): red, green, blue and opacity of each level."""
    stops = np.array([list(bytes.fromhex(stop)) for stop in _STOPS.split()], dtype=np.float64)
    places, levels = np.linspace(0, 1, len(stops)), np.linspace(0, 1, 256)
    colours = [np.interp(levels, places, channel) for channel in stops.T]
    opacity = np.interp(levels, (0, 1), _OPACITY) * 255
    rounded: NDArray[np.uint8] = np.rint(np.stack([*colours, opacity], axis=1)).astype(np.uint8)
    return rounded


def overlay(image: Image.Image, heatmap: Heatmap) -> Image.Image:
    """The photograph, RGB, with the heatmap over all of it: in grey, so that every colour is the heatmap's."""
    layer = Image.fromarray(palette()[upsampled(heatmap, *image.size)])
    return Image.alpha_composite(image.convert("L").convert("RGBA"), layer).convert("RGB")


def write_heatmaps(prediction: Prediction, folder: Path) -> list[Path]:
    """Write a PNG `PHOTOGRAPH--LABEL.png` for each label that has a heatmap; return their paths, in the labels' order.

    The names are safe on every file system, and none is that of another photograph's: two of the same name in different
    folders are told apart by a mark that each PNG carries, and the second is written as `PHOTOGRAPH-DIGEST--LABEL.png`.
    The same photograph and label again replaces its file.

    Args:
        prediction: of a photograph; one with an error has no heatmaps.
        folder: created where it is missing.

    Raises:
        ImageError: the photograph cannot be read any more.
        EnvironmentFailure: the folder cannot be written.
    """
    mapped = [(each.label, each.heatmap) for each in prediction.labels if each.heatmap is not None]
    if not mapped:
        return []
    picture = small_picture(prediction, LONGEST)
    owner = owner_of(prediction.path)
    about = PngInfo()
    about.add_text(OWNER, owner)
    stem = stem_in(files.make_folder(folder), prediction.path)
    written = []
    for name, (_, heatmap) in zip(label_names([label for label, _ in mapped]), mapped, strict=True):
        stream = io.BytesIO()
        overlay(picture, heatmap).save(stream, "PNG", pnginfo=about)
        path = folder / f"{stem}--{name}.png"
        files.write_bytes(path, stream.getvalue())
        written.append(path)
    return written
