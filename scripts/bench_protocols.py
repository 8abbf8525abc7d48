"""A NUS-WIDE-sized evaluation under every protocol: time, memory, and each figure against a slow computation.

Generated scores of 107,859 images and 1,006 labels (925 seen, 81 unseen: the real label lists where `--lists` names
their folder) go through every named protocol. Then, on a few hundred of the images, every mAP and F1 is compared with
loops that follow the published code. Prints what each protocol makes of the same scores.

    python scripts/bench_protocols.py [--images 107859] [--lists ../shared/data/nus_wide] [--resamples 1000]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from zsmld.evaluation.figures import ScoreTable, evaluate_sets
from zsmld.evaluation.measure import measure
from zsmld.evaluation.protocols import PROTOCOLS, STRICT, Protocol

SEEN, UNSEEN, CHECKED = 925, 81, 300
Numbers = NDArray[np.float64]


def main() -> None:
    """Measure, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=107_859)
    parser.add_argument("--lists", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/nus_wide")
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}", end="\n\n")
    table = generated(arguments.images, labels(arguments.lists))
    print(
        "| protocol | seconds | ZSL mAP | ZSL F1@3 | ZSL F1@5 | GZSL mAP | GZSL F1@3 | GZSL F1@5 | largest difference |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    total = 0.0
    for protocol in PROTOCOLS.values():
        started = time.perf_counter()
        results = evaluate_sets(table, protocol, table.sets(gzsl=True))
        seconds = time.perf_counter() - started
        total += seconds
        cells = [f"{100 * float(results[part].figures[key] or 0):.2f}"
                 for part in ("zsl", "gzsl") for key in ("map", *(f"f1@{k}" for k in protocol.ks))]  # fmt: skip
        worst = largest_difference(table, protocol)
        print(f"| {protocol.name} | {seconds:.1f} | {' | '.join(cells)} | {worst:.0e} |", flush=True)
    print(f"\nAll: {total:.0f} s; open-images has F1@10 and F1@20 in the place of F1@3 and F1@5.")
    print(f"Largest memory of the process so far: {peak():.2f} GiB (scores and truth are {size(table):.2f} GiB).")
    for resamples in (0, arguments.resamples):
        started = time.perf_counter()
        measure(table, STRICT, gzsl=True, resamples=resamples)
        told = f"and intervals from {resamples} resamples" if resamples else "without intervals"
        print(f"The whole report, strict, {told}: {time.perf_counter() - started:.0f} s, {peak():.2f} GiB.", flush=True)


def labels(lists: Path) -> tuple[str, ...]:
    """925 seen and 81 unseen names."""
    if not (lists / "Concepts81.txt").exists():
        return tuple(f"label {at}" for at in range(SEEN + UNSEEN))
    unseen, tags = ((lists / name).read_text("utf-8").split() for name in ("Concepts81.txt", "TagList1k.txt"))
    return (*(tag for tag in tags if tag not in set(unseen)), *unseen)


def generated(images: int, names: Sequence[str]) -> ScoreTable:
    """Scores that are better than chance, rounded so that there are ties; one empty label of each part."""
    draw = np.random.default_rng(0)
    seen = np.arange(len(names)) < SEEN
    frequency = np.where(seen, draw.beta(1, 120, len(names)), draw.beta(0.6, 30, len(names)))
    frequency[[0, -1]] = 0
    truth = np.empty((images, len(names)), dtype=np.bool_)
    scores = np.empty(truth.shape, dtype=np.float32)
    for start in range(0, images, 4096):
        block = slice(start, start + 4096)
        truth[block] = draw.random(truth[block].shape) < frequency
        noise = draw.normal(size=truth[block].shape) + 1.5 * truth[block] + 0.3 * np.log(frequency + 1e-4)
        scores[block] = np.round(noise, 2)
    return ScoreTable(tuple(names), seen, scores, truth)


def largest_difference(table: ScoreTable, protocol: Protocol) -> float:
    """Between figures of some images and those of `slowly`."""
    some = ScoreTable(table.labels, table.seen, table.scores[:CHECKED], table.truth[:CHECKED])
    results, worst = evaluate_sets(some, protocol, some.sets(gzsl=True)), 0.0
    for part, columns in some.sets(gzsl=True).items():
        expected = slowly(some.scores[:, columns], some.truth[:, columns], some.seen[columns], protocol)
        figures = results[part].figures
        for key, value in expected.items():
            worst = max(worst, abs(float(figures[key] or 0) - value))
    return worst


def slowly(
    scores: NDArray[np.float32], truth: NDArray[np.bool_], seen: NDArray[np.bool_], protocol: Protocol
) -> dict[str, float]:
    """mAP and F1 as the published code computes them, image by image and label by label."""
    if protocol.order == "unseen first":
        order = np.argsort(seen, kind="stable")
        scores, truth = scores[:, order], truth[:, order]
    if protocol.images == "with a positive":
        kept = truth.sum(axis=1) > 0
        scores, truth = scores[kept], truth[kept]
    numbers: Numbers = scores.astype(np.float64)
    if protocol.normalisation == "unit length":
        numbers = (numbers / np.sqrt((numbers**2).sum(axis=1, keepdims=True))).astype(np.float32).astype(np.float64)
    precisions = []
    for own, true in zip(numbers.T, truth.T, strict=True):
        if not true.any():
            precisions += [0.0] if protocol.empty_labels == "zero" else []
        elif protocol.image_ties == "grouped":
            precisions.append(float(average_precision_score(true, own)))
        else:
            ranked = true[_ranking(own, protocol.image_ties)]
            precisions.append(float((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean()))
    found = {"map": float(np.mean(precisions))}
    for k in protocol.ks:
        hits = sum(_hits(own, true, k, protocol.label_ties) for own, true in zip(numbers, truth, strict=True))
        found[f"f1@{k}"] = 2 * hits / (min(k, truth.shape[1]) * len(truth) + int(truth.sum()))
    return found


def _ranking(scores: Numbers, ties: str) -> list[int]:
    sign = -1 if ties == "later first" else 1
    return sorted(range(len(scores)), key=lambda at: (-scores[at], sign * at))


def _hits(scores: Numbers, truth: NDArray[np.bool_], k: int, ties: str) -> float:
    """True labels of an image among its K best; of those that tie at the last place, their mean share."""
    if ties != "grouped":
        return float(sum(truth[at] for at in _ranking(scores, ties)[:k]))
    last = sorted(scores, reverse=True)[k - 1]
    above, tied = scores > last, scores == last
    return float(truth[above].sum() + truth[tied].sum() * (k - above.sum()) / tied.sum())


def size(table: ScoreTable) -> float:
    """GiB of scores and truth."""
    return float(table.scores.nbytes + table.truth.nbytes) / 2**30


def peak() -> float:
    """GiB that the process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
