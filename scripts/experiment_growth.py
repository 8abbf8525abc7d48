"""Unseen labels against how much there is to learn from: fewer training photographs, fewer seen labels of Corel5k.

The same five label splits, vectors and tower as `experiment_corel5k.py`; the default recipe and, in one `zsmld compare`
on its tokens, the simple methods. Photographs are dropped by whole series, labels in a random order (one order a
split); test photographs and unseen labels stay. Prints a Markdown table and draws the two curves. A run folder that is
there is not trained again.

    python scripts/experiment_growth.py [--data FOLDER] [--work FOLDER] [--splits 0,1,2,3,4] [--plot FILE.svg]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from experiment_corel5k import MIN_POSITIVES, Scene, mean_and_spread, zsmld
from svg_plot import Panel, draw

from zsmld import files
from zsmld.labels.vocabulary import read_vocabulary

ALL = 10_000  # more than there are
POINTS = ((500, ALL), (1000, ALL), (2000, ALL), (ALL, ALL), (ALL, 20), (ALL, 40), (ALL, 70))  # photographs, seen labels
METHODS = ("conse", "eszsl", "mixture", "fast0tag", "chance")
OURS = "default recipe"


def main() -> None:
    """Train and compare every point, print the table, draw the curves."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=here / "runs" / "growth")
    parser.add_argument("--splits", default="0,1,2,3,4")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_growth: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    scenes = [Scene(arguments.data.resolve(), work, "glove", split) for split in arguments.splits.split(",")]
    found = {point: [measured(scene, *point) for scene in scenes] for point in POINTS}
    print(table(found))
    if arguments.plot:
        files.write_text(arguments.plot, plot(found))


def measured(scene: Scene, images: int, labels: int) -> dict[str, Any]:
    """Train on so many photographs and labels, unless that is done: ZSL mAP by method, and how many there were."""
    folder = scene.work / f"split{scene.split}-images{images}-labels{labels}"
    folder.mkdir(exist_ok=True)
    annotations, seen = folder / "annotations.jsonl", folder / "seen.txt"
    records = _fewer_records(scene.annotations, images, int(scene.split))
    kept = _fewer_labels(scene.seen, labels, int(scene.split))
    annotations.write_text("".join(json.dumps(record) + "\n" for record in records))
    seen.write_text("\n".join(kept))
    photographs: list[str | Path] = ["--annotations", annotations, "--images", scene.images]
    run = scene.trained(folder / "run", f"{images} photographs, {labels} labels", [], photographs, seen)
    baselines = [word for method in METHODS for word in ("--baselines", method)]
    rules = [*photographs, "--unseen", scene.unseen, "--min-positives", str(MIN_POSITIVES), "--json", *baselines]
    rows = json.loads(zsmld("compare", run, *rules, "--output", folder / "compare"))["rows"]
    figures = {OURS if at == 0 else row["name"]: row["zsl"]["map"] for at, row in enumerate(rows)}
    return {
        "images": sum(record["split"] == "train" for record in records), "labels": len(kept), "figures": figures,
        "gate": json.loads((run / "config.json").read_text())["head"].get("gate", 0.0),
    }  # fmt: skip


def _fewer_records(path: Path, images: int, seed: int) -> list[dict[str, Any]]:
    """Whole series of training photographs, drawn until `images` are reached, and all the test photographs."""
    records: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    series = sorted({record["group"] for record in records if record["split"] == "train"})
    kept: set[Any] = set()
    count = 0
    for group in np.random.default_rng(seed).permutation(series):
        if count < images:
            kept.add(group)
            count += sum(record["group"] == group and record["split"] == "train" for record in records)
    return [record for record in records if record["split"] == "test" or record["group"] in kept]


def _fewer_labels(path: Path, count: int, seed: int) -> list[str]:
    labels = read_vocabulary(path).labels
    chosen = np.random.default_rng(seed).permutation(len(labels))[:count]
    return [labels[at] for at in sorted(chosen)]


def table(found: dict[tuple[int, int], list[dict[str, Any]]]) -> str:
    """ZSL mAP, mean ± deviation over the splits, a line a point."""
    names = list(next(iter(found.values()))[0]["figures"])
    lines = ["| training photographs | seen labels | " + " | ".join(names) + " | gates |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for splits in found.values():
        cells = [mean_and_spread([each["figures"][name] for each in splits]) for name in names]
        gates = " ".join(f"{each['gate']:g}" for each in splits)
        images, labels = (round(statistics.fmean(each[key] for each in splits)) for key in ("images", "labels"))
        lines.append(f"| {images} | {labels} | " + " | ".join(cells) + f" | {gates} |")
    return "\n".join(lines)


def plot(found: dict[tuple[int, int], list[dict[str, Any]]]) -> str:
    """Unseen mAP against training photographs, and against seen labels."""
    by_images = {point: splits for point, splits in found.items() if point[1] == ALL}
    by_labels = {point: splits for point, splits in found.items() if point[0] == ALL}
    return draw(
        [
            Panel("all seen labels", "training photographs", "ZSL mAP", _lines(by_images.values(), "images"), True),
            Panel("all photographs", "seen labels", "ZSL mAP", _lines(by_labels.values(), "labels"), True),
        ]
    )


def _lines(points: Sequence[list[dict[str, Any]]] | Any, key: str) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for splits in points:
        across = statistics.fmean(each[key] for each in splits)
        for name in splits[0]["figures"]:
            mean = statistics.fmean(each["figures"][name] for each in splits)
            lines.setdefault(name, []).append((across, mean))
    return {name: sorted(line) for name, line in lines.items()}


if __name__ == "__main__":
    main()
