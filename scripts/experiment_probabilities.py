"""Can scores be believed, and where is the line to be drawn? Corel5k, the five label splits of `experiment_corel5k.py`.

For each split the linear path (which the default recipe leaves everything to on so few photographs), its control with
shuffled word vectors, and on some splits the decoder alone, with `--calibrate` and without. Every model scores its test
photographs; before: the plain logistic function and a threshold of 0.5; after: `probabilities.json` of the run. Then,
on held-out seen labels of the training photographs alone: where a word never trained on has its threshold from (its
kin, or all held-out labels); and on the test photographs what the number of trials is worth. Prints Markdown tables:
mean ± deviation over the splits, differences paired by split. A run folder that is there is not trained again.

    python scripts/experiment_probabilities.py [--data FOLDER] [--work FOLDER] [--splits 0,1,2,3,4] [--decoder 0,1]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiment_corel5k import MIN_POSITIVES, Scene, mean_and_spread
from numpy.typing import NDArray

from zsmld import config
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import read_dataset
from zsmld.decoder.model_folder import load_model
from zsmld.decoder.probabilities import Probabilities
from zsmld.decoder.scoring import score_dataset
from zsmld.evaluation import ScoreTable
from zsmld.evaluation.calibration import reliability
from zsmld.evaluation.run import seen_and_unseen
from zsmld.labels.sources import embed_like
from zsmld.linear import PATH, choose
from zsmld.settings import TrainSettings
from zsmld.training import two_path
from zsmld.training.building import inputs_of, new_backbone
from zsmld.training.job import prepare
from zsmld.training.probabilities import measured

LINEAR = "linear path"
KINDS: dict[str, list[str]] = {
    LINEAR: ["--method", "linear"],
    "linear path, shuffled vectors (control)": ["--method", "linear", "--control", "shuffled-embeddings"],
    "decoder": ["--method", "decoder"],
    "decoder, --calibrate": ["--method", "decoder", "--calibrate"],
}
COLUMNS = ("calibration error", "Brier score", "micro F1", "macro F1")
_KINSHIP = 20.0  # as in zsmld.decoder.linear
Floats = NDArray[np.float64]
Rows = dict[str, list[list[float]]]


def main() -> None:
    """Train what is not there, score, and print the tables."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=here / "runs" / "probabilities")
    parser.add_argument("--splits", default="0,1,2,3,4")
    parser.add_argument("--decoder", default="0,1", help="splits that the decoder is trained on, too")
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_probabilities: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Rows] = {}
    rules: Rows = {}
    trials: Rows = {}
    for split in arguments.splits.split(","):
        scene = Scene(arguments.data.resolve(), work, "glove", split)
        for number, (name, flags) in enumerate(KINDS.items()):
            if name.startswith(LINEAR) or split in arguments.decoder.split(","):
                run = scene.trained(work / f"split{split}-{number}", name, flags)
                table, probabilities = scored(scene, run), Probabilities.load(run)
                print(f"split {split}: {name}: {probabilities.told()}", file=sys.stderr)
                for row, values in compared(table, probabilities):
                    figures.setdefault(name, {}).setdefault(row, []).append(values)
                if name == LINEAR:
                    tried, cosines = held_out(scene)
                    add(rules, transferred(tried, cosines))
                    add(trials, by_trials(tried, table))
    for name, rows in figures.items():
        print(f"**{name}** ({len(next(iter(rows.values())))} splits)\n")
        print(told(rows, COLUMNS))
    print(told(rules, ("micro F1", "macro F1")))
    print(told(trials, COLUMNS))


def scored(scene: Scene, run: Path) -> ScoreTable:
    """Logits of the test photographs for seen and unseen labels."""
    trained = load_model(run)
    dataset = read_dataset(scene.annotations, ReadOptions(scene.images, None)).part("test")
    labels = seen_and_unseen(trained, scene.unseen)
    vectors = torch.from_numpy(embed_like(labels, trained.label_space()).vectors)
    logits = score_dataset(trained, dataset, vectors, batch_size=64, device=torch.device("cpu"))
    return ScoreTable(labels, np.arange(len(labels)) < len(trained.seen), logits, dataset.targets(labels))


def compared(table: ScoreTable, found: Probabilities) -> Iterator[tuple[str, list[float]]]:
    """Rows of seen and of unseen labels: before, and after with each kind of threshold."""
    thresholds = found.thresholds(table.labels, table.seen)
    for kind, part, curve in (("seen", table.seen, found.seen), ("unseen", ~table.seen, found.unseen)):
        columns = np.flatnonzero(part)
        yield f"{kind}: plain, 0.5", measures(table, columns, Probabilities(), 0.5)
        yield f"{kind}: measured, 0.5", measures(table, columns, found, 0.5)
        if kind == "unseen":
            as_seen = Probabilities(found.seen, found.seen)
            yield "unseen: taken for seen ones", measures(table, columns, as_seen, found.seen.threshold)
        yield f"{kind}: measured, common threshold", measures(table, columns, found, curve.threshold)
        if kind == "seen":
            yield "seen: measured, own thresholds", measures(table, columns, found, thresholds[columns])


def measures(
    table: ScoreTable, columns: NDArray[np.intp], shown: Probabilities, threshold: float | Floats
) -> list[float]:
    """`COLUMNS` of some labels."""
    probabilities = shown.of(table.scores[:, columns], table.seen[columns])
    truth = table.truth[:, columns]
    brier = float(np.square(probabilities - truth).mean())
    return [reliability(table, columns, shown).error, brier, *f1(probabilities >= threshold, truth)]


def f1(given: NDArray[np.bool_], truth: NDArray[np.bool_]) -> list[float]:
    """Micro, of all pairs; macro, of labels with enough positives."""
    true, both = (given & truth).sum(axis=0), given.sum(axis=0) + truth.sum(axis=0)
    enough = truth.sum(axis=0) >= MIN_POSITIVES
    return [float(2 * true.sum() / both.sum()), float((2 * true / np.maximum(both, 1))[enough].mean())]


def held_out(scene: Scene) -> tuple[list[ScoreTable], Floats]:
    """What training holds out in turn: scores of all trials; and (S,E) vectors of the seen labels."""
    tower = {
        "backbone": "timm:mobilenetv2_100", "backbone_arg": ("pad_type=same",), "mean": (0.5,), "std": (0.5,),
        "backbone_weights": str(scene.data / "backbones" / "mobilenetv2_100.safetensors"),
    }  # fmt: skip
    data = {"annotations": scene.annotations, "images": scene.images, "seen": scene.seen, "embeddings": scene.table}
    job = prepare(config.build(TrainSettings, tower | data | {"run": scene.work / "never-written"}), None)
    backbone = new_backbone(job)
    problem = two_path.problem_of(job, backbone, inputs_of(job, backbone))
    return two_path._trials(job, problem, PATH, choose(PATH, problem)), problem.vectors.astype(np.float64)


def transferred(tables: Sequence[ScoreTable], vectors: Floats) -> dict[str, list[float]]:
    """F1 of the held-out labels of each trial, with thresholds that the other trials give; means over the trials."""
    found: dict[str, list[list[float]]] = {}
    for number, table in enumerate(tables):
        others = [other for at, other in enumerate(tables) if at != number]
        shown = measured(others, others, fitted=True)
        columns = np.flatnonzero(~table.seen)
        truth = table.truth[:, columns]
        probabilities = shown.of(table.scores[:, columns], table.seen[columns])
        units = vectors - vectors[table.seen].mean(axis=0)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        kin = np.exp(_KINSHIP * (units[columns] @ units[table.seen].T - 1))
        kin /= np.maximum(kin.sum(axis=1, keepdims=True), 1)
        of_seen = shown.thresholds(np.array(table.labels)[table.seen].tolist(), np.ones(table.seen.sum(), np.bool_))
        common = shown.unseen.threshold
        for name, threshold in {
            "held-out labels, 0.5": 0.5,
            "held-out labels, the seen labels' common threshold": shown.seen.threshold,
            "held-out labels, the common one of other held-out labels": common,
            "held-out labels, of their kin, the rest common": kin @ of_seen + (1 - kin.sum(axis=1)) * common,
        }.items():
            found.setdefault(name, []).append(f1(probabilities >= threshold, truth))
    return {name: np.mean(values, axis=0).tolist() for name, values in found.items()}


def by_trials(tables: Sequence[ScoreTable], test: ScoreTable) -> dict[str, list[float]]:
    """Unseen test labels, with what so many trials measured; and seen ones, where a curve is fitted on them, too."""
    unseen, seen = np.flatnonzero(~test.seen), np.flatnonzero(test.seen)
    found = {}
    for count in (1, 2, 4, 8):
        shown = measured(tables[:count], tables[:count], fitted=True)
        found[f"unseen: {count} trials"] = measures(test, unseen, shown, shown.unseen.threshold)
    for name, fitted in (("seen: the path's own fit", True), ("seen: a curve on top of it", False)):
        shown = measured(tables, tables, fitted=fitted)
        found[name] = measures(test, seen, shown, shown.seen.threshold)
    return found


def add(rows: Rows, found: dict[str, list[float]]) -> None:
    """One split's values to those of the others."""
    for name, values in found.items():
        rows.setdefault(name, []).append(values)


def told(rows: Rows, columns: Sequence[str]) -> str:
    """Mean ± deviation, and the paired difference to the first row of the same kind of labels."""
    lines = ["| | " + " | ".join(columns) + " | " + " | ".join(f"{name}, difference" for name in columns) + " |"]
    lines.append("|---" * (2 * len(columns) + 1) + "|")
    first: dict[str, Any] = {}
    for name, values in rows.items():
        own = np.array(values)
        base = first.setdefault(name.split(":")[0].split(",")[0], own)
        cells = [mean_and_spread(column.tolist()) for column in own.T]
        less = ["" if base is own else mean_and_spread(column.tolist(), signed=True) for column in (own - base).T]
        lines.append(f"| {name} | " + " | ".join([*cells, *less]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
