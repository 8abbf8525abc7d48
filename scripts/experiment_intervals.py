"""What 95 % intervals cover: bootstrap over images, with copies of an image ranked beside each other and without.

Samples of images are drawn from a known source; each gives a mean average precision and its interval. An interval is
right where it holds the figure that samples of that size give on average. The plain bootstrap lets an image that was
drawn three times rank beside two copies of itself; zsmld's counts it once for itself (`zsmld.evaluation.bootstrap`).

    python scripts/experiment_intervals.py [--samples 100] [--resamples 300]
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from zsmld.evaluation import average_precision
from zsmld.evaluation.bootstrap import interval, resample

LABELS, SAMPLES_FOR_TRUTH = 20, 2000
# Images, part of them that has a label, and how far scores of true ones are lifted, in deviations.
SOURCES = ((600, 0.02, 1.0), (600, 0.05, 1.0), (600, 0.1, 0.5), (2000, 0.01, 1.5))


def main() -> None:
    """Print a row a source and kind of bootstrap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=300)
    arguments = parser.parse_args()
    print("| images | part that has a label | mAP | its deviation | bootstrap | resamples lie above by | covered |")
    print("|---|---|---|---|---|---|---|")
    for images, part, lift in SOURCES:
        draw = np.random.default_rng(0)
        figures = [_map(*_sample(draw, images, part, lift)) for _ in range(SAMPLES_FOR_TRUTH)]
        truth, deviation = float(np.mean(figures)), float(np.std(figures))
        found: dict[str, list[tuple[float, bool]]] = {"zsmld": [], "plain": []}
        for _ in range(arguments.samples):
            scores, true = _sample(draw, images, part, lift)
            own = resample(scores, true, per_image=np.ones((images, 1)), resamples=arguments.resamples).precisions
            for name, values in {
                "zsmld": np.nanmean(own, axis=1),
                "plain": _plainly(draw, scores, true, arguments.resamples),
            }.items():
                low, high = interval(values) or (0.0, 0.0)
                found[name].append((float(values.mean()) - _map(scores, true), low <= truth <= high))
        for name, each in found.items():
            above, covered = np.mean([amount for amount, _ in each]), np.mean([holds for _, holds in each])
            row = f"{images} | {part} | {truth:.3f} | {deviation:.3f} | {name} | {above:+.4f} | {100 * covered:.0f} %"
            print(f"| {row} |", flush=True)


def _sample(
    draw: np.random.Generator, images: int, part: float, lift: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    truth = draw.random((images, LABELS)) < part
    return (draw.normal(size=truth.shape) + lift * truth).astype(np.float32), truth


def _map(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    return float(np.nanmean(average_precision(scores, truth)))


def _plainly(
    draw: np.random.Generator, scores: NDArray[np.float32], truth: NDArray[np.bool_], resamples: int
) -> NDArray[np.float64]:
    rows = draw.integers(len(scores), size=(resamples, len(scores)))
    return np.array([_map(scores[some], truth[some]) for some in rows])


if __name__ == "__main__":
    main()
