"""One label split of Corel5k in memory, for experiments with parts of the package: tokens, truth, label vectors."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsmld import files
from zsmld.datasets.tables import read_annotations
from zsmld.evaluation.figures import ScoreTable, evaluate_sets
from zsmld.evaluation.protocols import Protocol
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.token_cache import TokenCache
from zsmld.labels.sources import embed_labels
from zsmld.labels.vocabulary import read_vocabulary

GLOVE, SDL = "glove_nus_wide_1006.300d.txt.gz", "sdl_nus_wide_1006.300d.npz"
FIGURES = (("ZSL mAP", "zsl", "map"), ("GZSL mAP", "gzsl", "map"), ("GZSL F1@3", "gzsl", "f1@3"))
Numbers = NDArray[np.float64]


class Split:
    """Training and test photographs of one split.

    Args:
        data: the folder of the photographs, vectors and weights.
        number: of the split.
        image_size: what photographs are scaled to, in pixels.

    Attributes:
        labels: (L,) seen ones first.
        seen: (L,) true of these.
        tokens, truth: of "train" and "test": (I,T,C) float16, and (I,L).
        groups: (I,) of the training photographs.
    """

    def __init__(self, data: Path, number: str, image_size: int | None = None) -> None:
        self.data, self.number, corel = data, number, data / "corel5k"
        folder = corel / "splits" / number
        seen, unseen = (read_vocabulary(folder / f"{part}.txt").labels for part in ("seen", "unseen"))
        self.labels = (*seen, *unseen)
        self.seen = np.arange(len(self.labels)) < len(seen)
        weights = data / "backbones" / "mobilenetv2_100.safetensors"
        spec = BackboneSpec("timm:mobilenetv2_100", str(weights), {"pad_type": "same"}, (0.5,), (0.5,), image_size)
        cache = TokenCache(files.cache_folder(), create_backbone(spec))
        dataset = read_annotations(folder / "annotations.jsonl", corel)
        self.tokens, self.truth = {}, {}
        for name in ("train", "test"):
            part = dataset.part(name)
            self.tokens[name] = cache.fill(part.image_paths()).read(np.arange(len(part))).astype(np.float16)
            self.truth[name] = part.targets(self.labels)
        self.groups = np.array([str(group) for group in dataset.part("train").groups])

    def pooled(self, name: str) -> Numbers:
        """(I,C): averaged over the tokens."""
        pooled: Numbers = self.tokens[name].mean(axis=1, dtype=np.float64)
        return pooled

    def vectors(self, source: str = GLOVE) -> Numbers:
        """(L,E)."""
        table = embed_labels(self.labels, source=str(self.data / "vectors" / source))
        return table.vectors.astype(np.float64)

    def figures(self, scores: Numbers) -> list[float]:
        """`FIGURES` of (I,L) scores of the test photographs."""
        table = ScoreTable(self.labels, self.seen, scores.astype(np.float32), self.truth["test"])
        parts = {"zsl": np.flatnonzero(~self.seen), "gzsl": np.arange(len(self.labels))}
        found = evaluate_sets(table, Protocol(min_positives=5), parts)
        return [float(found[part].figures[figure] or 0) for _, part, figure in FIGURES]


def table(found: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Means over the splits, and the paired difference to the first row ± its deviation."""
    lines = ["| idea | " + " | ".join(f"{title} | difference" for title, _, _ in FIGURES) + " |"]
    lines.append("|---" * (2 * len(FIGURES) + 1) + "|")
    first = np.array(next(iter(found.values())))
    for name, rows in found.items():
        cells = []
        for at in range(len(FIGURES)):
            figures = np.array(rows)[:, at]
            by = (figures - first[:, at]).tolist()
            spread = f" ± {statistics.stdev(by):.3f}" if len(by) > 1 else ""
            cells.append(f"{figures.mean():.3f} | {statistics.fmean(by):+.3f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
