"""Peak memory of `zsmld train` on cached tokens against the number of training images.

Draws as many photographs as asked for once, caches their tokens, then trains one epoch on the first n of them, each in
a process of its own, and prints the peak of its resident memory.

    python scripts/bench_train_memory.py [--images 1000,4000,16000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("red", "green", "blue")
SIDE = 64


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,4000,16000")
    counts = [int(text) for text in parser.parse_args().images.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        make_workspace(Path(folder), max(counts))
        train(Path(folder), max(counts), "fill")  # computes the tokens; the runs below find them
        print("| training images | tokens on disk, MiB | peak memory of train, MiB |\n|---|---|---|")
        for count in counts:
            peak = train(Path(folder), count, str(count))
            per_image = cached_bytes(Path(folder)) / max(counts)
            print(f"| {count} | {count * per_image / 2**20:.0f} | {peak / 1024:.0f} |", flush=True)


def make_workspace(folder: Path, count: int) -> None:
    """Noise pictures, each of another digest, with random labels and a vector a label."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / f"images/{number}.png")
    vectors = "\n".join(f"{label} " + " ".join(f"{x:.3f}" for x in rng.normal(size=8)) for label in LABELS)
    (folder / "vectors.txt").write_text(vectors + "\n")
    (folder / "seen.txt").write_text("\n".join(LABELS))
    run(folder, "embed-labels", "seen.txt", "--source", "vectors.txt")


def train(folder: Path, count: int, name: str) -> int:
    """One epoch on the first `count` images; peak resident memory of the process in KiB."""
    lines = [
        json.dumps({"image": f"images/{n}.png", "labels": [LABELS[n % 3]], "split": "train"}) for n in range(count)
    ]
    (folder / "annotations.jsonl").write_text("\n".join(lines) + "\n")
    # 8 × 8 tokens of 64 numbers, 8 KiB an image.
    return run(
        folder, "train", "--annotations", "annotations.jsonl", "--seen", "seen.txt", "--run", f"runs/{name}",
        "--backbone", "timm:test_efficientnet", "--backbone-arg", "output_stride=8", "--backbone-weights", "random",
        "--image-size", str(SIDE), "--width", "16", "--heads", "2", "--feed-forward", "16", "--epochs", "1", "--quiet",
        "--method", "decoder",
    )  # fmt: skip


def run(folder: Path, *arguments: str) -> int:
    """Run the command line in `folder`; its peak resident memory in KiB (Linux)."""
    environment = os.environ | {"ZSMLD_CACHE": str(folder / "cache")}
    process = subprocess.Popen([sys.executable, "-m", "zsmld", *arguments], cwd=folder, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench_train_memory: zsmld {arguments[0]} failed")
    return usage.ru_maxrss


def cached_bytes(folder: Path) -> int:
    """Size of all token shards."""
    return sum(path.stat().st_size for path in (folder / "cache").rglob("*.npy"))


if __name__ == "__main__":
    main()
