"""Zero-shot tagging of Corel5k photographs over five label splits, through the command line.

For each split: a frozen MobileNetV2, the default recipe, its control with shuffled word vectors, the decoder alone and
the published recipe (at width 256, 40 epochs); and beside them, in one `zsmld compare`, the simple methods on the same
tokens. Prints Markdown tables: means and spreads over the splits, and differences to the default, paired by split;
every comparison, with bootstrap intervals over images, stays in the work folder.

    python scripts/experiment_corel5k.py [--data FOLDER] [--work FOLDER] [--splits 0,1,2,3,4] [--vectors glove]

Other vectors (`--vectors sdl` or `googlenews`) make another data set of the same photographs: the labels that they
lack are left out of both lists, and the default recipe alone is trained.
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

from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import read_vocabulary

MIN_POSITIVES = 5
DEFAULT: tuple[str, list[str]] = ("default recipe", [])
CONTROL = ("default recipe, shuffled vectors (control)", ["--control", "shuffled-embeddings"])
DECODER = ("decoder alone", ["--method", "decoder"])
PUBLISHED = (
    "recipe ml-decoder, D 256, F 256, frozen backbone, 40 epochs",
    ["--recipe", "ml-decoder", "--freeze-backbone", "--width", "256", "--feed-forward", "256"],
)
VECTORS = {
    "glove": "glove_nus_wide_1006.300d.txt.gz",
    "sdl": "sdl_nus_wide_1006.300d.npz",
    "googlenews": "googlenews_8000.300d.bin",
}
COLUMNS = (
    ("ZSL mAP", "zsl", "map"), ("ZSL chance", "zsl", "chance_map"), ("GZSL mAP", "gzsl", "map"),
    ("seen mAP in GZSL", "gzsl", "seen_map"), ("unseen mAP in GZSL", "gzsl", "unseen_map"),
    ("harmonic mean", "gzsl", "harmonic_map"), ("ZSL F1@3", "zsl", "f1@3"), ("ZSL F1@5", "zsl", "f1@5"),
    ("GZSL F1@3", "gzsl", "f1@3"), ("GZSL F1@5", "gzsl", "f1@5"),
)  # fmt: skip
COMPARED = ("ZSL mAP", "GZSL mAP", "harmonic mean", "GZSL F1@3", "GZSL F1@5")


def main() -> None:
    """Run all splits and print the tables."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=here / "runs" / "corel5k")
    parser.add_argument("--splits", default="0,1,2,3,4")
    parser.add_argument("--vectors", default="glove", choices=VECTORS)
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_corel5k: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    results: dict[str, list[dict[str, Any]]] = {}
    for split in arguments.splits.split(","):
        scene = Scene(arguments.data.resolve(), arguments.work.resolve() / arguments.vectors, arguments.vectors, split)
        for row in scene.compared():
            results.setdefault(row["name"], []).append(row)
    print(means(results))
    print(differences(results))


class Scene:
    """One split of the labels, with vectors of one kind."""

    def __init__(self, data: Path, work: Path, vectors: str, split: str) -> None:
        self.data, self.work, self.vectors, self.split = data, work, vectors, split
        self.images = corel = data / "corel5k"
        self.table = work / "vocabulary.safetensors"
        if not self.table.exists():
            source = data / "vectors" / VECTORS[vectors]
            zsmld("embed-labels", corel / "words.txt", "--source", source, "--missing", "skip", "--output", self.table)
        folder = corel / "splits" / split
        self.annotations = folder / "annotations.jsonl"
        self.photographs: list[str | Path] = ["--annotations", self.annotations, "--images", corel]
        self.seen, self.unseen = (self._with_vectors(folder / name) for name in ("seen.txt", "unseen.txt"))

    def _with_vectors(self, path: Path) -> Path:
        """The labels of a file that have a vector, as a file of the work folder."""
        known = set(LabelEmbeddings.load(self.table).labels)
        kept = self.work / f"split{self.split}-{path.name}"
        kept.write_text("\n".join(label for label in read_vocabulary(path).labels if label in known))
        return kept

    def compared(self) -> list[dict[str, Any]]:
        """Train what is not there yet, and compare: rows of `compare.json`, by the names of the methods."""
        kinds = (DEFAULT, CONTROL, DECODER, PUBLISHED) if self.vectors == "glove" else (DEFAULT,)
        names: dict[str, str] = {}
        for index, (name, flags) in enumerate(kinds):
            names[str(self.trained(self.work / f"split{self.split}-{index}", name, flags))] = name
        rules: list[str | Path] = [
            *self.photographs, "--unseen", self.unseen, "--min-positives", str(MIN_POSITIVES), "--json",
        ]  # fmt: skip
        output = self.work / f"compare{self.split}"
        compared = zsmld("compare", *names, *rules, "--baselines", "all", "--output", output)
        rows: list[dict[str, Any]] = json.loads(compared)["rows"]
        if CONTROL not in kinds:
            return [row | {"name": names.get(row["name"], row["name"])} for row in rows]
        # The vectors of the control's run are shuffled: simple methods that take them are controls, too.
        simple = ["--baselines", "conse", "--baselines", "eszsl", "--baselines", "mixture", "--baselines", "fast0tag"]
        control = self.work / f"split{self.split}-1"
        controls: list[dict[str, Any]] = json.loads(zsmld("compare", control, *rules, *simple))["rows"][1:]
        for row in controls:
            row["name"] += ", shuffled vectors (control)"
            for part in ("zsl", "gzsl", "seen"):
                del row[part]["differences"]  # these are to another first row
        return [row | {"name": names.get(row["name"], row["name"])} for row in [*rows, *controls]]

    def trained(
        self, run: Path, name: str, flags: list[str], photographs: list[str | Path] | None = None,
        seen: Path | None = None,
    ) -> Path:  # fmt: skip
        """A run folder, trained unless it is there; on all photographs and seen labels of the split, or on others."""
        started = time.monotonic()
        if not (run / "config.json").exists():
            tower: list[str | Path] = [
                "--backbone", "timm:mobilenetv2_100", "--backbone-arg", "pad_type=same", "--mean", "0.5",
                "--std", "0.5", "--backbone-weights", self.data / "backbones" / "mobilenetv2_100.safetensors",
            ]  # fmt: skip
            labels: list[str | Path] = ["--seen", seen or self.seen, "--embeddings", self.table]
            zsmld("train", *(photographs or self.photographs), *labels, *tower, "--run", run, "--force", *flags)
            print(f"split {self.split}: {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return run


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
        cells = [mean_and_spread([row[part][key] for row in rows]) for _, part, key in COLUMNS]
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
            cells.append(f"{mean_and_spread([each['by'] for each in found], signed=True)} ({certain}/{len(found)})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_and_spread(values: list[float], *, signed: bool = False) -> str:
    """`mean ± deviation`, of one value the value."""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{'+' if signed else ''}.3f}{spread}"


if __name__ == "__main__":
    main()
