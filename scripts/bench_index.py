"""Measure what an index of photographs costs, and what new words cost on it.

Photographs of 500 × 375 pixels are made once (of fields as `bench_photos.py` makes them, shifted, each of other bytes),
and indexed by `zsmld index` with a ResNet-50 of random weights (49 tokens of 2,048 numbers); then words that the model
has never seen are scored over the whole index by `zsmld predict --index`, which writes the best five of every
photograph to a file: with the head that `zsmld train` makes by default (two paths, D 256, F 256) and with the paper's
decoder (D 768, F 2048). Then the index is brought up to date with nothing changed, and with some photographs added,
changed and deleted.

Every line is a process of its own, from its start to its end; memory is its peak, that of the interpreter and its
libraries included. On a machine that others use too, seconds of its processors say more than those of the clock. What
the disk holds is not in memory when words are scored: the shards are taken out of the page cache before.

    OMP_NUM_THREADS=2 python scripts/bench_index.py [--photographs 10000] [--words 300] [--rounds 3] --folder DIR
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from bench_photos import made
from numpy.typing import NDArray
from PIL import Image

import zsmld
from zsmld import files
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.linear import LinearPath
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import save_model
from zsmld.decoder.two_path import TwoPathHead
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.photo_index import TOKENS

E, SEEN = 300, 100
WIDTH, HEIGHT = 500, 375
HEADS = {"default": "default head (two paths, D 256, F 256)", "paper": "the paper's decoder (D 768, F 2048)"}


def main() -> None:
    """Print a row for each process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, required=True, help="to work in; what is made there is left")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.folder)
    make_photographs(arguments.photographs)
    make_models(arguments.words)
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{arguments.photographs:,} photographs, {arguments.words} words\n"
    )
    print("| | seconds | of the indexing | CPU seconds | of the indexing | peak memory, MiB | load |")
    print("|---" * 7 + "|")
    measure(arguments)
    print(f"\nOn the disk: {size(Path('index')) / 2**20:,.0f} MiB.")


@dataclass(frozen=True)
class Spent:
    """What a process took: seconds, seconds of all processors, and peak resident memory in MiB."""

    clock: float
    cpu: float
    memory: float


def measure(arguments: argparse.Namespace) -> None:
    """Index, score, and index again."""
    shutil.rmtree("index", ignore_errors=True)
    indexing = [sys.executable, "-m", "zsmld", "index", "photos", "--index", "index", "--model", "default"]
    whole = spent(indexing)
    tell("index", [whole], whole)
    scoring = [sys.executable, "-m", "zsmld", "predict", "--index", "index", "--labels", "new.txt", "--format", "jsonl"]
    scoring += ["--output", "tags.jsonl", "--force", "--model"]
    for head, told in HEADS.items():
        # The paper's decoder takes many times as long, so that one round says enough.
        rounds = []
        for _ in range(arguments.rounds if head == "default" else 1):
            forget_pages()
            rounds.append(spent([*scoring, head]))
        tell(f"new words: {told}", rounds, whole)
    tell("index, nothing changed", [spent(indexing)], whole)
    added, changed = max(arguments.photographs // 100, 1), max(arguments.photographs // 200, 1)
    change(added, changed)
    tell(f"index, {added} added, {changed} changed, {changed} deleted", [spent(indexing)], whole)


def tell(name: str, rounds: list[Spent], whole: Spent) -> None:
    """A row of the table."""
    clock, cpu = ([getattr(each, kind) for each in rounds] for kind in ("clock", "cpu"))
    cells = [name, several(clock), f"{statistics.median(clock) / whole.clock:.1%}"]
    cells += [several(cpu), f"{statistics.median(cpu) / whole.cpu:.1%}", f"{max(e.memory for e in rounds):,.0f}"]
    print(f"| {' | '.join(cells)} | {os.getloadavg()[0]:.1f} |", flush=True)


def several(seconds: list[float]) -> str:
    """The median, and the range."""
    middle = f"{statistics.median(seconds):,.0f}"
    return middle if len(seconds) == 1 else f"{middle} ({min(seconds):,.0f} to {max(seconds):,.0f})"


def spent(command: list[str]) -> Spent:
    """Run a process (Linux)."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench_index: {' '.join(command)} failed:\n{told}")
    print(told.splitlines()[-1] if told else "", file=sys.stderr, flush=True)
    return Spent(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def forget_pages() -> None:
    """Take the shards out of the page cache: they are read from the disk again."""
    for path in Path("index", TOKENS).glob("*.npy"):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def size(folder: Path) -> int:
    """Bytes of the files in and below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def make_photographs(count: int) -> None:
    """All of them anew."""
    shutil.rmtree("photos", ignore_errors=True)
    for number in range(count):
        draw(number)


def draw(number: int, variant: int = 0) -> None:
    """One of a few fields, shifted and mirrored by numbers that no other photograph has."""
    kinds = fields()
    chosen = np.random.default_rng([number, variant])
    pixels = np.roll(kinds[number % len(kinds)], chosen.integers(0, (HEIGHT, WIDTH)), axis=(0, 1))
    pixels = pixels[:: 1 - 2 * int(chosen.integers(2)), :: 1 - 2 * int(chosen.integers(2))]
    path = Path("photos", f"{number // 1000:02d}", f"{number:05d}.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, quality=90)


@cache
def fields() -> list[NDArray[np.uint8]]:
    """Pixels (H,W,3) of a few photographs."""
    return [np.asarray(Image.open(io.BytesIO(made(WIDTH, HEIGHT, 95, 0, seed)))) for seed in range(16)]


def change(added: int, changed: int) -> None:
    """Draw some photographs more, some anew, and delete some."""
    there = sorted(Path("photos").rglob("*.jpg"))
    for number in range(len(there), len(there) + added):
        draw(number)
    for path in there[:changed]:
        draw(int(path.stem), variant=1)
    for path in there[-changed:]:
        path.unlink()


def make_models(words: int) -> None:
    """Two models with the same backbone, and vectors of words that they were trained on and of new ones."""
    rng = np.random.default_rng(0)
    seen, new = [f"seen{number}" for number in range(SEEN)], [f"new{number}" for number in range(words)]
    rows = (f"{word} " + " ".join(f"{x:.5f}" for x in rng.normal(size=E)) for word in (*seen, *new))
    files.write_text(Path("vectors.txt"), "\n".join(rows) + "\n")
    files.write_text(Path("new.txt"), "\n".join(new) + "\n")
    table = zsmld.embed_labels(seen, source="vectors.txt")
    torch.manual_seed(0)
    backbone = create_backbone(BackboneSpec("timm:resnet50", "random"))
    channels = backbone.channels
    default = MLDecoder(channels, label_features=E, width=256, feed_forward=256, centred=True)
    for name, head in (
        ("default", TwoPathHead(_linear(channels), default, gate=0.5)),
        ("paper", MLDecoder(channels, label_features=E)),
    ):
        model = ZeroShotModel(backbone, head)
        save_model(Path(name), model, seen=tuple(seen), labels=table, backbone_trained=False, about={})


def _linear(channels: int) -> LinearPath:
    """With numbers of no meaning in the place of a fit."""
    path = LinearPath(channels, E, SEEN, bilinear=True, convex=True, standardised=True)
    for name, buffer in path.named_buffers():
        if name == "moment_covariance":
            buffer.copy_(torch.eye(len(buffer)))
        elif name in ("deviation", "scale"):
            buffer.fill_(1.0)
        else:
            buffer.normal_(std=0.02)
    return path


if __name__ == "__main__":
    main()
