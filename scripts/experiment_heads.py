"""Five heads on the words of Corel5k's own test set: mAP with the same tokens and the same budget.

The words are those of the standard test images that a training image has, too: 260. Tokens are a frozen MobileNetV2's,
the loss ASL, the optimiser and its schedule those of `zsmld train`, for as many epochs. The learning rate of each head
is the one of `RATES` that is best on validation images (a tenth of the training images, whole series of them) with
the first seed; the test images are scored once a seed at the end. Series of near-identical photographs run through
training and test images of the standard split, so that figures are high; all heads have the same share in that.

Words without a GloVe vector in the file (44) get a random one, for the zero-shot head: all are trained on here.

    python scripts/experiment_heads.py [--data FOLDER] [--epochs 4] [--seeds 2] [--heads 0,1,2,3,4]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from heads import HEADS, ZERO_SHOT, build
from torch import Tensor

from zsmld import console, files
from zsmld.config import build as build_settings
from zsmld.datasets.holding_out import split_validation
from zsmld.datasets.records import Dataset
from zsmld.datasets.tables import read_annotations
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.queries import LabelQueries
from zsmld.evaluation import average_precision
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.token_cache import TokenCache
from zsmld.labels.sources import embed_labels
from zsmld.settings import TrainSettings
from zsmld.training.feeding import CachedTokens, PackedTargets, Part
from zsmld.training.loop import Trainer
from zsmld.training.objective import objective_of

RATES = (1e-3, 3e-3)
VECTORS = "glove_nus_wide_1006.300d.txt.gz"


class Experiment:
    """Tokens, truth and vectors of the 260 words."""

    def __init__(self, data: Path, epochs: int) -> None:
        self.epochs = epochs
        dataset = read_annotations(data / "corel5k" / "annotations.jsonl", data / "corel5k")
        words = [set(self._words(dataset.part(split))) for split in ("train", "test")]
        self.words = sorted(words[0] & words[1])
        backbone = create_backbone(
            BackboneSpec(
                "timm:mobilenetv2_100", str(data / "backbones" / "mobilenetv2_100.safetensors"), {"pad_type": "same"},
                (0.5,), (0.5,),
            )
        )  # fmt: skip
        self.inputs = CachedTokens(TokenCache(files.cache_folder(), backbone).fill(dataset.image_paths()))
        self.channels = backbone.channels
        self.truth = dataset.targets(self.words)
        training = np.flatnonzero(dataset.is_of("train"))
        rows, held_out = split_validation(dataset.take(training), 0.1, 0, self.truth[training])
        self.training, self.validation = training[rows], training[held_out]
        self.test = np.flatnonzero(dataset.is_of("test"))
        self.vectors = self._vectors(data / "vectors" / VECTORS)

    @staticmethod
    def _words(dataset: Dataset) -> list[str]:
        return [dataset.vocabulary[at] for at in set(dataset.positives.indices.tolist())]

    def _vectors(self, path: Path) -> Tensor:
        table = embed_labels(self.words, source=str(path), missing="skip")
        found = dict(zip(table.labels, table.vectors, strict=True))
        self.without = [word for word in self.words if word not in found]
        # As long as the others.
        draw, length = np.random.default_rng(0), np.linalg.norm(table.vectors, axis=1).mean()
        for word in self.without:
            drawn = draw.normal(size=table.width)
            found[word] = (length / np.linalg.norm(drawn) * drawn).astype(np.float32)
        return torch.from_numpy(np.stack([found[word] for word in self.words]))

    def train(self, name: str, rate: float, seed: int) -> tuple[float, float]:
        """mAP on validation and on test images of a head."""
        settings = build_settings(
            TrainSettings, {"epochs": self.epochs, "learning_rate": rate, "seed": seed, "device": "cpu"}
        )
        torch.manual_seed(seed)
        sizes = {"width": settings.width, "heads": settings.heads, "feed_forward": settings.feed_forward}
        head: Any = build(name, self.channels, len(self.words), self.vectors.shape[1], sizes)
        words = self.vectors if name == ZERO_SHOT else None
        if isinstance(head, MLDecoder) and isinstance(head.queries, LabelQueries):
            head.queries.fit_centre(self.vectors)
        targets = PackedTargets(self.truth)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                module=head, label_embeddings=words, objective=objective_of(settings),
                training=Part(self.inputs, targets, self.training),
                validation=Part(self.inputs, targets, self.validation),
                settings=settings, folder=Path(folder), device=torch.device("cpu"),
            )  # fmt: skip
            head.load_state_dict(trainer.fit())
        score = head.eval().for_inference(words)
        logits = torch.cat([score(self.inputs.read(rows)) for rows in np.array_split(self.test, 16)]).numpy()
        return trainer.progress.best_figure, float(np.nanmean(average_precision(logits, self.truth[self.test])))


def main() -> None:
    """Print a row a head."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--heads", default=",".join(str(at) for at in range(len(HEADS))), help="which, by number")
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_heads: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    console.configure(quiet=True, debug=False)
    experiment = Experiment(arguments.data.resolve(), arguments.epochs)
    print(
        f"{len(experiment.words)} words ({len(experiment.without)} with a random vector), "
        f"{len(experiment.training)} images to train on, {len(experiment.validation)} to choose the epoch, "
        f"{len(experiment.test)} to test\n"
    )
    print("| head | learning rate | test mAP | spread of seeds | minutes a training |\n|---|---|---|---|---|")
    for name in (HEADS[int(at)] for at in arguments.heads.split(",")):
        began = time.monotonic()
        first = {rate: experiment.train(name, rate, 0) for rate in RATES}
        rate = max(RATES, key=lambda each: first[each][0])
        figures = [first[rate][1], *(experiment.train(name, rate, seed)[1] for seed in range(1, arguments.seeds))]
        minutes = (time.monotonic() - began) / 60 / (len(RATES) + arguments.seeds - 1)
        spread = statistics.stdev(figures) if len(figures) > 1 else 0.0
        print(f"| {name} | {rate:g} | {statistics.fmean(figures):.3f} | {spread:.3f} | {minutes:.1f} |", flush=True)


if __name__ == "__main__":
    main()
