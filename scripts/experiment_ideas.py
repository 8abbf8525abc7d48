"""Ideas for the linear path of the default recipe, each beside it on the five label splits of Corel5k.

Everything has the same hyper-parameters (γ 1e4, λ 10, sharpness 0.5), which nothing was tuned with, and no
probabilities are made: ranks count. A row changes one thing. The first is two directions, standardised, with the seen
labels' own classifiers left out, as these rank seen labels alone.

    python scripts/experiment_ideas.py [--data FOLDER] [--splits 0,1,2,3,4]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
from corel5k_split import SDL, Numbers, Split, table
from numpy.typing import NDArray

from zsmld import console

RIDGE, LABEL_RIDGE, SHARPNESS, LEAST = 1e4, 10.0, 0.5, 1e-6
Direction = Callable[[Numbers], Numbers]


def main() -> None:
    """Print the table."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--splits", default="0,1,2,3,4")
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_ideas: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    console.configure(quiet=True, debug=False)
    found: dict[str, list[list[float]]] = {}
    for number in arguments.splits.split(","):
        split = Split(arguments.data.resolve(), number)
        for name, scores in scores_of(split).items():
            found.setdefault(name, []).append(split.figures(scores))
    print(table(found))


def scores_of(split: Split) -> dict[str, Numbers]:
    """(I,L) scores of the test photographs, idea by idea."""
    x, xt = (split.pooled(name) for name in ("train", "test"))
    problem = Setting(*_whitened(x, xt), split.truth["train"][:, split.seen], split.vectors(), split.seen)
    return (
        {"two directions": problem.scores()}
        | of_directions(problem)
        | of_vectors(problem, split)
        | of_features(problem, x, xt)
        | of_scales(problem, split, x, xt)
        | of_ensembles(problem, split.groups)
    )


class Setting:
    """Features of both parts, the truth of the seen labels, and all labels' vectors."""

    def __init__(
        self,
        x: Numbers,
        xt: Numbers,
        truth: NDArray[Any],
        vectors: Numbers,
        seen: NDArray[np.bool_],
        centred: bool = True,
    ) -> None:
        self.x, self.xt, self.seen, self.raw = x, xt, seen, vectors
        self.truth = (truth - truth.mean(axis=0)) / (truth.std(axis=0) + LEAST)
        self.units = _unit(vectors - vectors[seen].mean(axis=0) if centred else vectors)

    def changed(self, **values: Any) -> Setting:
        """The same with other features, truth or vectors."""
        given = {"x": self.x, "xt": self.xt, "truth": self.truth, "vectors": self.raw, "seen": self.seen}
        return Setting(**(given | values))

    def solve(self, ridge: float = RIDGE) -> Numbers:
        """(C,S): ridge regression of the labels, scores of deviation 1."""
        gram = self.x.T @ self.x + ridge * np.eye(self.x.shape[1])
        weights: Numbers = scipy.linalg.solve(gram, self.x.T @ self.truth, assume_a="pos")
        scaled: Numbers = weights / ((self.x @ weights).std(axis=0) + LEAST)
        return scaled

    def convex(self, ridge: float = RIDGE, sharpness: float = SHARPNESS) -> Direction:
        """ConSE's direction."""
        weights, seen = self.solve(ridge), self.units[self.seen]
        return lambda x: _unit(scipy.special.softmax(sharpness * (x @ weights), axis=1) @ seen)

    def bilinear(self, ridge: float = RIDGE, label_ridge: float = LABEL_RIDGE) -> Direction:
        """ESZSL's direction."""
        seen = self.units[self.seen]
        gram = self.x.T @ self.x + ridge * np.eye(self.x.shape[1])
        left = scipy.linalg.solve(gram, self.x.T @ self.truth @ seen, assume_a="pos")
        matrix = scipy.linalg.solve(seen.T @ seen + label_ridge * np.eye(seen.shape[1]), left.T, assume_a="pos").T
        return lambda x: _unit(x @ matrix)

    def scores(self, *directions: Direction) -> Numbers:
        """Both directions', or those given, added; every label of mean 0 and deviation 1 on the training images."""
        parts = directions or (self.convex(), self.bilinear())
        mixed = [_unit(np.sum([part(x) for part in parts], axis=0)) for x in (self.x, self.xt)]
        known, scores = (direction @ self.units.T for direction in mixed)
        return _standard(known, scores)

    def scores_of(self, x: Numbers) -> Numbers:
        """The scores of both directions for other images than those of the test."""
        return self.changed(xt=x).scores()


def of_directions(problem: Setting) -> dict[str, Numbers]:
    """Other directions, other weights of the two, other hyper-parameters."""
    convex, bilinear = problem.convex(), problem.bilinear()
    found = {"ConSE's alone": problem.scores(convex), "ESZSL's alone": problem.scores(bilinear)}
    # Directions are of length 1: one that is given three times counts three times as much.
    found["ESZSL's 1/4, ConSE's 3/4"] = problem.scores(bilinear, *[convex] * 3)
    found["ESZSL's 3/4, ConSE's 1/4"] = problem.scores(*[bilinear] * 3, convex)
    mixed = _unit(convex(problem.xt) + bilinear(problem.xt))
    found["not standardised a label"] = mixed @ problem.units.T
    found["two ridges of ConSE's"] = problem.scores(convex, problem.convex(ridge=1e3), bilinear)
    found["two sharpnesses of ConSE's"] = problem.scores(convex, problem.convex(sharpness=2.0), bilinear)
    for beta in (4.0, 12.0):
        kin = np.exp(beta * (problem.units @ problem.units[problem.seen].T - 1))
        kin /= kin.sum(axis=1, keepdims=True)
        weights = problem.solve()
        kernel = _standard(problem.x @ weights @ kin.T, problem.xt @ weights @ kin.T)
        found[f"seen labels' classifiers by a kernel, sharpness {beta:g}, alone"] = kernel
        found[f"half of that added, sharpness {beta:g}"] = problem.scores() + 0.5 * kernel
    # What the default does for seen labels: each one's own classifier, as far as a label is akin to it.
    kin = np.exp(20 * (problem.units @ problem.units[problem.seen].T - 1))
    kin /= kin.sum(axis=1, keepdims=True).clip(1)
    own = problem.solve(RIDGE / 10)
    known = problem.scores_of(problem.x) + problem.x @ own @ kin.T
    found["with seen labels' own classifiers (the default)"] = _standard(
        known, problem.scores() + problem.xt @ own @ kin.T
    )
    return found


def of_vectors(problem: Setting, split: Split) -> dict[str, Numbers]:
    """Label vectors changed, or others."""
    found = {"vectors not centred": problem.changed(centred=False).scores()}
    centred = problem.raw - problem.raw[problem.seen].mean(axis=0)
    _, values, components = np.linalg.svd(centred[problem.seen], full_matrices=False)
    for count in (1, 2, 4):
        rest = centred - centred @ components[:count].T @ components[:count]
        found[f"first {count} principal components off the vectors"] = problem.changed(vectors=rest).scores()
    for power in (0.25, 0.5):
        variances = values**2 / len(values)
        scales = (variances + 0.1 * variances.mean()) ** -power
        whitened = centred @ components.T * scales @ components
        found[f"vectors whitened to the power {power:g}"] = problem.changed(vectors=whitened).scores()
    for count in (20, 50):
        few = centred @ components[:count].T @ components[:count]
        found[f"{count} principal components of the vectors"] = problem.changed(vectors=few).scores()
    other = split.vectors(SDL)
    found["SDL vectors"] = problem.changed(vectors=other).scores()
    both = np.concatenate([problem.units, _unit(other - other[problem.seen].mean(axis=0))], axis=1)
    found["GloVe and SDL vectors side by side"] = problem.changed(vectors=both).scores()
    return found


def of_features(problem: Setting, x: Numbers, xt: Numbers) -> dict[str, Numbers]:
    """Features changed."""
    found = {}
    for name, change in (("length 1", _unit), ("signed square roots", lambda x: np.sign(x) * np.sqrt(abs(x)))):
        own, other = _whitened(change(x), change(xt))
        found[f"features of {name}"] = problem.changed(x=own, xt=other).scores()
    values, components = np.linalg.eigh(problem.x.T @ problem.x / len(problem.x))
    matrix = components * (values.clip(0) + 0.1) ** -0.25
    scale = 1 / np.sqrt(np.square(problem.x @ matrix).mean())
    whitened = problem.changed(x=problem.x @ matrix * scale, xt=problem.xt @ matrix * scale)
    return found | {"features half whitened": whitened.scores()}


def of_scales(problem: Setting, split: Split, x: Numbers, xt: Numbers) -> dict[str, Numbers]:
    """Tokens of photographs at another size, beside those at 224 pixels."""
    found = {}
    for size in (160, 320):
        other = Split(split.data, split.number, size)
        both = [np.concatenate([own, other.pooled(name)], axis=1) for name, own in (("train", x), ("test", xt))]
        own, tested = _whitened(*both)
        found[f"tokens at {size} and 224 pixels"] = problem.changed(x=own, xt=tested).scores()
    return found


def of_ensembles(problem: Setting, groups: NDArray[Any]) -> dict[str, Numbers]:
    """Averages over hyper-parameters, over parts of the labels, over parts of the images."""
    several = [problem.convex(ridge, sharp) for ridge in (3e3, 1e4, 3e4) for sharp in (0.25, 0.5, 1.0)]
    draw = np.random.default_rng(0)
    of_labels, of_images = (np.zeros((len(problem.xt), len(problem.units))) for _ in range(2))
    every, series = np.flatnonzero(problem.seen), np.unique(groups)
    for _ in range(8):
        kept = draw.permutation(len(every))[: int(0.7 * len(every))]
        some = np.zeros_like(problem.seen)
        some[every[kept]] = True
        part = problem.changed(truth=problem.truth[:, np.sort(kept)], seen=some)
        of_labels += part.scores()
        rows = np.isin(groups, draw.permutation(series)[: int(0.7 * len(series))])
        of_images += problem.changed(x=problem.x[rows], truth=problem.truth[rows]).scores()
    return {
        "nine ConSE directions instead of one": problem.scores(*several, *[problem.bilinear()] * len(several)),
        "mean of 8, of 70 % of the labels each": of_labels,
        "mean of 8, of 70 % of the images each": of_images,
    }


def _unit(rows: Numbers) -> Numbers:
    lengths: Numbers = np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)
    return rows / lengths


def _whitened(x: Numbers, xt: Numbers) -> tuple[Numbers, Numbers]:
    """Every channel of mean 0 and deviation 1 on the training images."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + LEAST
    return (x - mean) / deviation, (xt - mean) / deviation


def _standard(known: Numbers, scores: Numbers) -> Numbers:
    standard: Numbers = (scores - known.mean(axis=0)) / (known.std(axis=0) + LEAST)
    return standard


if __name__ == "__main__":
    main()
