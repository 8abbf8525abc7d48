"""Measure reading NUS-WIDE at its full size, as its publishers give it: 269,648 images, 1,000 tags, 81 concepts.

The files are generated: names, tags and truth are random, their forms and sizes are the publishers'. Every start is a
process of its own, with every photograph (an empty file) looked for; memory is the peak of that process.

    python scripts/bench_nus_wide.py --folder DIR [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

IMAGES, TRAINING, TAGS, CONCEPTS, SHARED, FOLDERS = 269_648, 161_789, 1_000, 81, 75, 704
TAGS_AN_IMAGE, CONCEPTS_AN_IMAGE = 5.8, 1.9


def word(at: int) -> str:
    """The word of column `at`."""
    return "".join("abcdefghij"[int(digit)] for digit in f"{at:04d}")


def generate(root: Path) -> None:
    """The files of the data set, and an empty one for each photograph."""
    if (root / "done").exists():
        return
    draw = np.random.default_rng(0)
    for folder in ("ImageList", "Groundtruth/AllLabels", "NUS_WID_Tags", "ConceptsList"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{word(at % FOLDERS)}\\{at // FOLDERS + 1:04d}_{2**31 + 7919 * at}.jpg" for at in range(IMAGES)]
    training = np.zeros(IMAGES, dtype=np.bool_)
    training[draw.permutation(IMAGES)[:TRAINING]] = True
    for name, rows in (("Image", range(IMAGES)), *zip(("TrainImage", "TestImage"), _halves(training), strict=True)):
        text = "".join(f"{names[row]}\r\n" for row in rows)
        (root / f"ImageList/{name}list.txt").write_bytes(text.encode())
    _write_words(root)
    _write_tags(root / "NUS_WID_Tags/AllTags1k.txt", draw)
    for at in range(CONCEPTS):
        values = draw.random(IMAGES) < CONCEPTS_AN_IMAGE / CONCEPTS
        path = root / f"Groundtruth/AllLabels/Labels_{word(TAGS - SHARED + at)}.txt"
        path.write_bytes(b"".join(b"1\n" if value else b"0\n" for value in values))
    for name in names:
        path = root / "Flickr" / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "done").touch()


def _halves(training: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[list[int], list[int]]:
    return np.flatnonzero(training).tolist(), np.flatnonzero(~training).tolist()


def _write_words(root: Path) -> None:
    tags = "".join(f"{word(at)}\n" for at in range(TAGS))
    concepts = "".join(f"{word(TAGS - SHARED + at)}\n" for at in range(CONCEPTS))
    (root / "NUS_WID_Tags/TagList1k.txt").write_text(tags)
    (root / "ConceptsList/Concepts81.txt").write_text(concepts)


def _write_tags(path: Path, draw: np.random.Generator) -> None:
    """A digit and a tab for each value, and CR LF behind."""
    with path.open("wb") as stream:
        for start in range(0, IMAGES, 4096):
            rows = min(4096, IMAGES - start)
            values = draw.random((rows, TAGS), dtype=np.float32) < TAGS_AN_IMAGE / TAGS
            text = np.full((rows, 2 * TAGS + 2), ord("\t"), dtype=np.uint8)
            text[:, 0 : 2 * TAGS : 2] = ord("0") + values
            text[:, -2:] = (ord("\r"), ord("\n"))
            stream.write(text.tobytes())


def start(root: Path) -> None:
    """What a start of `zsmld train` does before training: read, and look for the photographs."""
    from zsmld.datasets.layouts import ReadOptions
    from zsmld.datasets.reading import present, read_dataset

    began = time.perf_counter()
    dataset = present(read_dataset(root, ReadOptions()), allow_missing=False)
    seconds = time.perf_counter() - began
    if (len(dataset), len(dataset.vocabulary)) != (IMAGES, TAGS - SHARED + CONCEPTS):
        raise SystemExit(f"read {len(dataset)} images and {len(dataset.vocabulary)} labels")
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, dataset.digest())


def measured(root: Path) -> tuple[float, float, str]:
    """Seconds of reading, seconds of the whole process, and a line about it."""
    environment = os.environ | {"ZSMLD_CACHE": str(root.parent / "cache"), "OMP_NUM_THREADS": "2"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--folder", str(root.parent), "--one"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    whole = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, mebibytes, digest = done.stdout.split()
    return float(seconds), whole, f"{mebibytes} {digest}"


def main() -> None:
    """Generate, then start without and with the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root = arguments.folder / "nus_wide"
    if arguments.one:
        start(root)
        return
    generate(root)
    digests = set()
    for name, fresh, rounds in (("first start", True, 2), ("next start", False, arguments.rounds)):
        figures = []
        for _ in range(rounds):
            if fresh:
                for path in (arguments.folder / "cache").rglob("*.safetensors"):
                    path.unlink()
            seconds, whole, told = measured(root)
            mebibytes, digest = told.split()
            digests.add(digest)
            figures.append((seconds, whole, float(mebibytes)))
        columns = [statistics.median(column) for column in zip(*figures, strict=True)]
        print(f"{name}: read in {columns[0]:.2f} s, process {columns[1]:.2f} s, peak {columns[2]:.0f} MiB")
    if len(digests) != 1:
        raise SystemExit("the starts read different data")


if __name__ == "__main__":
    main()
