"""Measure how fast photographs become the input of a tower, and how far the pixels are from the reference.

The reference is Pillow alone: full decoding, squeezing with antialiased bicubic interpolation, normalising in numpy, as
timm's transform with `crop_mode="squash"` gives it. Ours is `Preprocessing`. One thread; the two take turns over JPEGs
of several sizes, which are made here of random fields with the spectrum that photographs have (amplitude 1/f), or are
those of --photos. Differences are in levels of grey, of 255.

    python scripts/bench_photos.py [--side 224] [--rounds 15] [--photos FOLDER]
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image

from zsmld.images.preprocessing import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = ((192, 128), (500, 375), (640, 480), (1024, 768), (2048, 1536), (4000, 3000))


def main() -> None:
    """Print a row for each kind of JPEG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"Pillow {PIL.__version__}, torch {torch.__version__}"
    print(f"{platform.machine()}, one thread, {versions}, to {arguments.side} px\n")
    print("| JPEG | reference, images/s | ours, images/s | ratio | mean difference | largest |\n" + "|---" * 6 + "|")
    if arguments.photos is not None:
        files = sorted(arguments.photos.rglob("*.jp*g"))[:200]
        print(row(f"{len(files)} of {arguments.photos.name}", [file.read_bytes() for file in files], arguments))
        return
    for width, height in SIZES:
        for quality, subsampling, name in ((90, 2, "4:2:0"), (95, 0, "4:4:4")):
            photographs = [made(width, height, quality, subsampling, seed) for seed in range(2)]
            print(row(f"{width} × {height}, quality {quality}, {name}", photographs, arguments), flush=True)


def made(width: int, height: int, quality: int, subsampling: int, seed: int) -> bytes:
    """A JPEG of a random field: noise of every octave, each with twice the amplitude of the next finer one."""
    draw = np.random.default_rng(seed)
    field, octave = np.zeros((height, width, 3)), 4
    while octave < 2 * width:
        small = draw.normal(size=(max(octave * height // width, 1), octave, 3))
        for channel in range(3):
            grown = Image.fromarray(small[:, :, channel].astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            field[:, :, channel] += np.asarray(grown) / octave
        octave *= 2
    pixels = (field - field.mean()) / field.std() * 55 + 120
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return stream.getvalue()


def row(name: str, photographs: list[bytes], arguments: argparse.Namespace) -> str:
    """Rates, their ratio a round, and differences."""
    ours = Preprocessing(arguments.side, MEAN, STD)
    seconds: dict[str, list[float]] = {"reference": [], "ours": []}
    rounds = max(arguments.rounds // len(photographs), 2)
    for turn in range(rounds + 1):
        for data in photographs:
            for kind in seconds:
                began = time.perf_counter()
                if kind == "ours":
                    ours.decode(data, "photo")
                else:
                    reference(data, arguments.side)
                if turn:
                    seconds[kind].append(time.perf_counter() - began)
    ratios = sorted(theirs / own for theirs, own in zip(seconds["reference"], seconds["ours"], strict=True))
    levels = np.array(STD, dtype=np.float32).reshape(3, 1, 1) * 255
    pairs = [(ours.decode(data, "photo").numpy(), reference(data, arguments.side)) for data in photographs]
    differences = [np.abs(own - theirs) * levels for own, theirs in pairs]
    mean, largest = (float(function([function(each) for each in differences])) for function in (np.mean, np.max))
    rates = [1 / statistics.median(values) for values in seconds.values()]
    told = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} | {told} | {mean:.3f} | {largest:.0f} |"


def reference(data: bytes, side: int) -> NDArray[np.float32]:
    """(3,H,W) by Pillow and numpy."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    mean, std = (np.array(values, dtype=np.float32).reshape(3, 1, 1) for values in (MEAN, STD))
    normalised: NDArray[np.float32] = np.ascontiguousarray((pixels - mean) / std)
    return normalised


if __name__ == "__main__":
    main()
