"""Zero-shot tagging of Corel5k photographs over five label splits, through the command line.

For each split: GloVe vectors, a frozen MobileNetV2, the decoder with the default settings, its control with shuffled
word vectors, the published optimiser settings on raw vectors, and closed-form ESZSL as the yardstick. Prints a
Markdown table of means and spreads; every single report stays in the work folder.

    scripts/experiment_corel5k [--data FOLDER] [--work FOLDER] [--splits 0,1,2,3,4]
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

from eszsl import eszsl_scores

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
    ("ZSL F1@3", "zsl", "f1@3"), ("ZSL F1@5", "zsl", "f1@5"),
    ("GZSL F1@3", "gzsl", "f1@3"), ("GZSL F1@5", "gzsl", "f1@5"),
)  # fmt: skip


def main() -> None:
    """Run all splits and print the table."""
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
        for name, report in run_split(split, arguments.data.resolve(), arguments.work.resolve()).items():
            results.setdefault(name, []).append(report)
    print(markdown(results))


def run_split(split: str, data: Path, work: Path) -> dict[str, dict[str, Any]]:
    """All methods on one split: name → report."""
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
    measured: list[str | Path] = [
        *photographs,
        "--unseen",
        labels / "unseen.txt",
        "--gzsl",
        "--min-positives",
        str(MIN_POSITIVES),
    ]
    reports: dict[str, dict[str, Any]] = {}
    for index, (name, flags) in enumerate((DECODER, CONTROL, PUBLISHED, SAMPLED)):
        run = work / f"split{split}-{index}"
        started = time.monotonic()
        if not (run / "config.json").exists():
            seen: list[str | Path] = ["--seen", labels / "seen.txt", "--embeddings", table]
            zsmld("train", *photographs, *seen, *tower, "--run", run, "--force", *flags)
        reports[name] = json.loads(zsmld("eval", *measured, "--model", run, "--json"))
        told(split, name, reports[name], time.monotonic() - started)
    for precision in ("bfloat16", "float16"):
        started, name = time.monotonic(), f"{DECODER[0]}, evaluated in {precision}"
        run = work / f"split{split}-0"
        reports[name] = json.loads(zsmld("eval", *measured, "--model", run, "--precision", precision, "--json"))
        told(split, name, reports[name], time.monotonic() - started)
    started = time.monotonic()
    for name, shuffle in (("ESZSL, closed form", False), ("ESZSL, shuffled vectors (control)", True)):
        reports[name] = eszsl_scores(work / f"split{split}-0", labels, corel, MIN_POSITIVES, shuffle=shuffle)
        told(split, name, reports[name], time.monotonic() - started)
    return reports


def zsmld(*arguments: str | Path) -> str:
    """Run the command line as a user does and return what it printed; its progress goes to our stderr."""
    command = [sys.executable, "-m", "zsmld", *map(str, arguments)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        sys.exit(f"experiment_corel5k: exit code {finished.returncode} of {' '.join(command)}")
    return finished.stdout


def told(split: str, name: str, report: dict[str, Any], seconds: float) -> None:
    """One line on stderr for one method on one split."""
    figures = ", ".join(f"{title} {report[part][key]:.3f}" for title, part, key in COLUMNS)
    print(f"split {split}: {name}: {figures} ({seconds:.0f} s)", file=sys.stderr, flush=True)


def markdown(results: dict[str, list[dict[str, Any]]]) -> str:
    """Mean ± standard deviation over the splits, a line a method."""
    lines = ["| method | " + " | ".join(title for title, _, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, reports in results.items():
        cells = [_mean_and_spread([report[part][key] for report in reports]) for _, part, key in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    counted = [report["zsl"]["labels"] for report in next(iter(results.values()))]
    left_out = [report["zsl"]["labels_left_out"] for report in next(iter(results.values()))]
    lines.append(
        f"\nUnseen labels with at least {MIN_POSITIVES} test positives, a split: {counted}; left out: {left_out}."
    )
    return "\n".join(lines)


def _mean_and_spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
