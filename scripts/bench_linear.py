"""Time and memory of the linear path on generated tokens and as many labels as NUS-WIDE has.

One process a size: hyper-parameters chosen, the path fitted and calibrated. Peak resident memory is the process's, less
what it had when the tokens were there.

    python scripts/bench_linear.py [--images 20000] [--channels 960] [--labels 925]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

WIDTH = 300


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="20000")
    parser.add_argument("--channels", type=int, default=960)
    parser.add_argument("--labels", type=int, default=925)
    parser.add_argument("--one", type=int, help="measure this number of images, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(measured(arguments.one, arguments.channels, arguments.labels), flush=True)
        return
    print(
        "| images | channels | labels | to choose | to fit | pooled tokens | memory beside them |\n|---"
        + "|---" * 6
        + "|"
    )
    for images in arguments.images.split(","):
        sizes = ["--one", images, "--channels", str(arguments.channels), "--labels", str(arguments.labels)]
        subprocess.run([sys.executable, __file__, *sizes], check=True)


def measured(images: int, channels: int, labels: int) -> str:
    """A row."""
    from zsmld.datasets.records import Dataset, ImageRecord
    from zsmld.linear import PATH, Problem, choose, fit_path

    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(labels, WIDTH)).astype(np.float32)
    truth = draw.random((images, labels), dtype=np.float32) < 6 / labels
    pooled = draw.normal(size=(images, channels)).astype(np.float32)
    directions = draw.normal(size=(labels, channels)).astype(np.float32)
    for start in range(0, images, 4096):
        rows = slice(start, start + 4096)
        pooled[rows] += truth[rows].astype(np.float32) @ directions
    records = (ImageRecord(f"{at}.jpg", (), "train", None) for at in range(images))
    problem = Problem(pooled, truth, None, vectors, Dataset.of(records, Path("none"), Path()))
    before, began = peak(), time.monotonic()
    choice = choose(PATH, problem)
    chosen = time.monotonic()
    fit_path(problem, PATH, choice)
    fitted = time.monotonic()
    return (
        f"| {images:,} | {channels} | {labels} | {chosen - began:.0f} s | {fitted - chosen:.0f} s "
        f"| {pooled.nbytes / 2**20:.0f} MiB | {peak() - before:.0f} MiB |"
    )


def peak() -> float:
    """Of the resident memory of this process, in MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
