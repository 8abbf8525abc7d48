"""Measure reading 1,000 wanted words out of a GloVe text file of 400,000 words × 300 numbers.

Against counting the lines of the same file in Python (decompressing it where it is gzipped), in pairs that take turns,
and once against gensim's loader. Every measurement is a process of its own; memory is its peak above that of a process
that only imports numpy and the reader.

    python scripts/bench_vectors.py --folder DIR [--rounds 5] [--gensim]
"""

from __future__ import annotations

import argparse
import gzip
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zsmld.labels.vector_files import open_vector_file

WORDS, WIDTH, WANTED = 400_000, 300, 1_000


def word(at: int) -> str:
    """The word of row `at`: as many letters as words have, no two alike."""
    letters = "etaoinshrd"
    return "".join(letters[int(digit)] for digit in str(at)) + "ing" * (at % 3)


def generate(folder: Path) -> tuple[Path, Path]:
    """The plain and the gzipped file, made where they are missing."""
    plain, packed = folder / "glove.txt", folder / "glove.txt.gz"
    folder.mkdir(parents=True, exist_ok=True)
    if packed.exists():
        return plain, packed
    draw = np.random.default_rng(0)
    form = "%s" + " %.5f" * WIDTH + "\n"
    with plain.open("w") as stream, gzip.open(folder / "part", "wb", compresslevel=6) as zipped:
        for start in range(0, WORDS, 1_000):
            vectors = draw.normal(0, 0.4, (1_000, WIDTH)).tolist()
            rows = "".join(form % (word(start + at), *row) for at, row in enumerate(vectors))
            stream.write(rows)
            zipped.write(rows.encode())
    (folder / "part").rename(packed)
    return plain, packed


def count_lines(path: Path) -> int:
    """What any reader has to do at least: decompress, and find the lines."""
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            return sum(1 for _ in stream)
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


def read_wanted(path: Path) -> int:
    """Our reader."""
    found = open_vector_file(path).read([word(at) for at in range(0, WORDS, WORDS // WANTED)])
    assert len(found.vectors) == WANTED
    return found.size


def load_with_gensim(path: Path) -> int:
    """gensim's loader of the same file."""
    from gensim.models import KeyedVectors

    return len(KeyedVectors.load_word2vec_format(str(path), binary=False, no_header=True))


TASKS: dict[str, Callable[[Path], int]] = {
    "nothing": lambda path: WORDS,  # noqa: ARG005
    "count": count_lines,
    "read": read_wanted,
    "gensim": load_with_gensim,
}


def run_alone(task: str, path: Path) -> tuple[float, float]:
    """Seconds and peak MiB of a task in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--task", task, "--folder", path], capture_output=True, check=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def measured(task: str, path: Path) -> None:
    """Run `task` here and print its seconds and the process's peak memory in MiB."""
    started = time.perf_counter()
    assert TASKS[task](path) == WORDS
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def compare(path: Path, rounds: int, idle: float) -> float:
    """Print a row of the table; the median seconds of our reader."""
    pairs = [(run_alone("count", path), run_alone("read", path)) for _ in range(rounds)]
    counts, reads = [count for (count, _), _ in pairs], [read for _, (read, _) in pairs]
    ratios = [read / count for read, count in zip(reads, counts, strict=True)]
    memory = max(peak for _, (_, peak) in pairs) - idle
    print(
        f"| {path.name} | {statistics.median(counts):.2f} | {statistics.median(reads):.2f} "
        f"| {statistics.median(ratios):.2f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} | {memory:.0f} |",
        flush=True,
    )
    return statistics.median(reads)


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the generated files are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gensim", action="store_true", help="measure gensim's loader too: minutes, 1 GB")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        measured(arguments.task, arguments.folder)
        return
    plain, packed = generate(arguments.folder)
    _, idle = run_alone("nothing", plain)
    print("| file | count lines, s | read 1,000 words, s | ratio, median | all rounds | memory, MiB |")
    print("|---|---|---|---|---|---|")
    ours = compare(packed, arguments.rounds, idle), compare(plain, arguments.rounds, idle)
    if arguments.gensim:
        seconds, peak = run_alone("gensim", plain)
        print(f"\ngensim, plain file: {seconds:.0f} s, {peak - idle:.0f} MiB; ratio {seconds / ours[1]:.0f}")


if __name__ == "__main__":
    main()
