"""Zero-shot tagging of Corel5k photographs over five label splits, through the command line.

For each split: GloVe vectors, a frozen MobileNetV2, the decoder with the default settings, its control with shuffled
word vectors, the published optimiser settings on raw vectors, labels sampled; and beside them, in one `zsmld compare`,
the simple methods on the same tokens. Prints Markdown tables: means and spreads over the splits, and differences to
the decoder, paired by split; every comparison, with bootstrap intervals over images, stays in the work folder.

    python scripts/experiment_corel5k.py [--data FOLDER] [--work FOLDER] [--splits 0,1,2,3,4]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MIN_POSITIVES = 5
DECODER: tuple[str, list[str]] = ("decoder, defaults", [])
CONTROL = ("decoder, shuffled vectors (control)", ["--control", "shuffled-embeddings"])
PUBLISHED = (
    "decoder, published numbers (Adam 1e-4, raw vectors, EMA 0.9997, batch 56)",
    ["--optimizer", "adam", "--learning-rate", "1e-4", "--label-vectors", "raw", "--ema-decay", "0.9997",
     "--batch-size", "56", "--clip-norm", "0", "--query-dropout", "image"],
)  # fmt: skip
SAMPLED = ("decoder, 16 labels sampled a step", ["--label-sample", "16"])
COLUMNS = (
    ("ZSL mAP", "zsl", "map"), ("ZSL chance", "zsl", "chance_map"), ("GZSL mAP", "gzsl", "map"),
    ("seen mAP in GZSL", "gzsl", "seen_map"), ("unseen mAP in GZSL", "gzsl", "unseen_map"),
    ("harmonic mean", "gzsl", "harmonic_map"), ("ZSL F1@3", "zsl", "f1@3"), ("ZSL F1@5", "zsl", "f1@5"),
    ("GZSL F1@3", "gzsl", "f1@3"), ("GZSL F1@5", "gzsl", "f1@5"),
)  # fmt: skip
COMPARED = ("ZSL mAP", "GZSL mAP", "harmonic mean", "GZSL F1@3")


def main() -> None:
    """Run all splits and print the tables."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=here / "runs" / "corel5k")
    parser.add_argument("--splits", default="0,1,2,3,4")
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_corel5k: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    results: dict[str, list[dict[str, Any]]] = {}
    for split in arguments.splits.split(","):
        for row in run_split(split, arguments.data.resolve(), arguments.work.resolve()):
            results.setdefault(row["name"], []).append(row)
    print(means(results))
    print(differences(results))


def run_split(split: str, data: Path, work: Path) -> list[dict[str, Any]]:
    """Train what is not there yet on one split, and compare: rows of `compare.json`, by the names of the methods."""
    corel, labels = data / "corel5k", data / "corel5k" / "splits" / split
    vectors = data / "vectors" / "glove_nus_wide_1006.300d.txt.gz"
    table = work / "vocabulary.safetensors"
    if not table.exists():
        zsmld("embed-labels", corel / "words.txt", "--source", vectors, "--missing", "skip", "--output", table)
    photographs: list[str | Path] = ["--annotations", labels / "annotations.jsonl", "--images", corel]
    tower: list[str | Path] = [
        "--backbone", "timm:mobilenetv2_100", "--backbone-arg", "pad_type=same", "--mean", "0.5", "--std", "0.5",
        "--backbone-weights", data / "backbones" / "mobilenetv2_100.safetensors",
    ]  # fmt: skip
    names: dict[str, str] = {}
    for index, (name, flags) in enumerate((DECODER, CONTROL, PUBLISHED, SAMPLED)):
        run, started = work / f"split{split}-{index}", time.monotonic()
        names[str(run)] = name
        if not (run / "config.json").exists():
            seen: list[str | Path] = ["--seen", labels / "seen.txt", "--embeddings", table]
            zsmld("train", *photographs, *seen, *tower, "--run", run, "--force", *flags)
            print(f"split {split}: {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    rules: list[str | Path] = [
        *photographs, "--unseen", labels / "unseen.txt", "--min-positives", str(MIN_POSITIVES), "--json",
    ]  # fmt: skip
    compared = zsmld("compare", *names, *rules, "--baselines", "all", "--output", work / f"compare{split}")
    rows: list[dict[str, Any]] = json.loads(compared)["rows"]
    # The vectors of the control's run are shuffled: simple methods that take them are controls, too.
    simple = ["--baselines", "conse", "--baselines", "eszsl", "--baselines", "mixture", "--baselines", "fast0tag"]
    controls: list[dict[str, Any]] = json.loads(zsmld("compare", work / f"split{split}-1", *rules, *simple))["rows"][1:]
    for row in controls:
        row["name"] += ", shuffled vectors (control)"
        for part in ("zsl", "gzsl", "seen"):
            del row[part]["differences"]  # these are to another first row
    return [row | {"name": names.get(row["name"], row["name"])} for row in [*rows, *controls]]


def zsmld(*arguments: str | Path) -> str:
    """Run the command line as a user does and return what it printed; its progress goes to our stderr."""
    command = [sys.executable, "-m", "zsmld", *map(str, arguments)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        sys.exit(f"experiment_corel5k: exit code {finished.returncode} of {' '.join(command)}")
    return finished.stdout


def means(results: dict[str, list[dict[str, Any]]]) -> str:
    """Mean ± standard deviation over the splits, a line a method."""
    lines = ["| method | " + " | ".join(title for title, _, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, rows in results.items():
        cells = [_mean_and_spread([row[part][key] for row in rows]) for _, part, key in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    first = next(iter(results.values()))
    counted, left_out = ([row["zsl"][key] for row in first] for key in ("labels", "labels_left_out"))
    widths = [row["zsl"]["intervals"]["map"] for row in first]
    told = ", ".join(f"{low:.3f} to {high:.3f}" for low, high in widths)
    lines.append(
        f"\nUnseen labels with at least {MIN_POSITIVES} test positives, a split: {counted}; left out: {left_out}. "
        f"95 % intervals over images of the first row's ZSL mAP: {told}.\n"
    )
    return "\n".join(lines)


def differences(results: dict[str, list[dict[str, Any]]]) -> str:
    """Difference to the first method: mean ± deviation over splits, and on how many the interval leaves 0 out."""
    columns = [column for column in COLUMNS if column[0] in COMPARED]
    lines = ["| minus " + next(iter(results)) + " | " + " | ".join(title for title, _, _ in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, rows in list(results.items())[1:]:
        if "differences" not in rows[0]["zsl"]:
            continue
        cells = []
        for _, part, key in columns:
            found = [row[part]["differences"][key] for row in rows]
            certain = sum(each["interval"][0] > 0 or each["interval"][1] < 0 for each in found)
            cells.append(f"{_mean_and_spread([each['by'] for each in found], signed=True)} ({certain}/{len(found)})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean_and_spread(values: list[float], *, signed: bool = False) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{'+' if signed else ''}.3f}{spread}"


if __name__ == "__main__":
    main()
