"""Measure average precision and F1@K over many labels and images, against scikit-learn's in a loop over labels.

Scores are random, half of them rounded so that there are ties. Both take turns; memory is what a process of its own
uses at most, above the scores and the truth.

    python scripts/bench_metrics.py [--images 100000] [--labels 1006] [--rounds 3]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from zsmld.evaluation.metrics import average_precision, top_k


def made(images: int, labels: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores with ties in every second label, and a truth of two per cent."""
    draw = np.random.default_rng(0)
    scores = draw.standard_normal((images, labels), dtype=np.float32)
    # In pieces, so that making them takes no more memory than they do.
    for start in range(0, images, 1024):
        scores[start : start + 1024, ::2] = np.round(scores[start : start + 1024, ::2], 1)
    truth = np.empty((images, labels), dtype=np.bool_)
    for start in range(0, images, 1024):
        truth[start : start + 1024] = draw.random((min(1024, images - start), labels)) < 0.02
    return scores, truth


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print times, their ratio, the largest difference, and the memory of either metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=1_006)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=("ap", "f1"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    scores, truth = made(arguments.images, arguments.labels)
    if arguments.memory:
        before = peak()
        average_precision(scores, truth) if arguments.memory == "ap" else top_k(scores, truth, 3)
        print(peak() - before)
        return
    seconds: dict[str, list[float]] = {"scikit-learn": [], "zsmld": [], "F1@3": []}
    for _ in range(arguments.rounds):
        began = time.perf_counter()
        judged = np.array([average_precision_score(truth[:, at], scores[:, at]) for at in range(scores.shape[1])])
        seconds["scikit-learn"].append(time.perf_counter() - began)
        began = time.perf_counter()
        ours = average_precision(scores, truth)
        seconds["zsmld"].append(time.perf_counter() - began)
        began = time.perf_counter()
        top_k(scores, truth, 3)
        seconds["F1@3"].append(time.perf_counter() - began)
    versions = f"numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    print(f"{arguments.images} images, {arguments.labels} labels; {versions}")
    for name, measured in seconds.items():
        print(f"{name}: {statistics.median(measured):.2f} s ({min(measured):.2f} to {max(measured):.2f})")
    ratios = [theirs / own for theirs, own in zip(seconds["scikit-learn"], seconds["zsmld"], strict=True)]
    print(f"ratio {statistics.median(ratios):.1f}, largest difference {np.abs(ours - judged).max():.1e}")
    for name in ("ap", "f1"):
        command = [sys.executable, __file__, "--memory", name, "--images", str(arguments.images)]
        command += ["--labels", str(arguments.labels)]
        more = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"memory of {name} above scores and truth: {more:.0f} MiB")


if __name__ == "__main__":
    main()
