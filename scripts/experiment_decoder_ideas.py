"""Ideas for training the decoder, each beside the plain one on label splits of Corel5k.

Four epochs of AdamW at 1e-3 on all training photographs, width 256, the weights averaged; ranks of unseen and all
labels on the test photographs. Hyper-parameters were not tuned. The last rows train the decoder as a residual on the
logits of a linear path that was fitted without the photograph (four folds of whole series), and add it to the
path's.

    python scripts/experiment_decoder_ideas.py [--data FOLDER] [--splits 0,1,2,3,4] [--ideas TEXT]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from corel5k_split import Numbers, Split, table
from torch import Tensor
from torch.nn import functional as F

from zsmld import MLDecoder, console
from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.linear import PATH, Choice, Problem, fit_path
from zsmld.training.loss import asymmetric_loss
from zsmld.training.optimizer import warmed_up_average

WIDTH, BATCH, RATE = 256, 64, 1e-3
CHOICE = Choice({"image_ridge": 1e4, "sharpness": 0.5, "label_ridge": 10.0})  # not tuned
FOLDS = 4


def softmax_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of a softmax over the labels, its target the labels of the image in equal parts."""
    has_any = targets.sum(dim=1) > 0
    spread = targets[has_any] / targets[has_any].sum(dim=1, keepdim=True)
    return F.cross_entropy(logits[has_any], spread)


def ranking_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """A label of the image is to be a margin of 1 above one that it lacks (WARP's pairs, all of them)."""
    gaps = 1 - logits.unsqueeze(2) + logits.unsqueeze(1)  # (B,L,L): of a label, of another
    pairs = targets.unsqueeze(2) * (1 - targets).unsqueeze(1)
    return (gaps.relu() * pairs).sum() / len(logits)


def binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, a sum over labels."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


@dataclass(frozen=True)
class Idea:
    """What is done in another way.

    Attributes:
        epochs: passes.
        loss: of logits (B,L) and targets (B,L).
        noise: deviation of what is added to the label vectors each step, in that of their numbers (the paper's section
            3.4).
        random_query: a part of the labels gets a random vector, and is trained to be absent (the same section).
        interpolate: a label's vector is mixed with another's, its target with the other's, by up to this part.
        label_dropout: part of the labels left out of a step.
        residual: on the linear path's logits.
        options: of the decoder.
    """

    epochs: int = 4
    loss: Callable[[Tensor, Tensor], Tensor] = asymmetric_loss
    noise: float = 0.0
    random_query: float = 0.0
    interpolate: float = 0.0
    label_dropout: float = 0.0
    residual: bool = False
    options: dict[str, object] = field(default_factory=dict)


IDEAS = {
    "plain": Idea(),
    "paper: random queries, a tenth": Idea(random_query=0.1),
    "paper: noise on label vectors, 0.1": Idea(noise=0.1),
    "label vectors interpolated": Idea(interpolate=0.3),
    "a third of the labels dropped a step": Idea(label_dropout=0.33),
    "label vectors raw": Idea(options={"centred": False}),
    "width 64": Idea(options={"width": 64, "feed_forward": 64}),
    "softmax loss": Idea(loss=softmax_loss),
    "ranking loss": Idea(loss=ranking_loss),
    "linear path": Idea(epochs=0, residual=True),
    "linear path + residual, 2 epochs": Idea(epochs=2, residual=True),
    "linear path + residual, binary cross-entropy, 2 epochs": Idea(epochs=2, residual=True, loss=binary_loss),
}


class Scene:
    """Tensors of a split, and the linear path's logits."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.tokens = {name: torch.from_numpy(split.tokens[name]).float() for name in ("train", "test")}
        self.truth = torch.from_numpy(split.truth["train"][:, split.seen]).float()
        self.vectors = torch.from_numpy(split.vectors()).float()
        self.words = self.vectors[torch.from_numpy(split.seen)]
        records = [ImageRecord(f"{at}.jpg", (), "train", group) for at, group in enumerate(split.groups)]
        pooled = split.pooled("train").astype(np.float32)
        self.problem = Problem(
            pooled, self.truth.numpy() > 0, None, self.words.numpy(), Dataset.of(records, Path("none"), Path())
        )

    def linear(self) -> tuple[Tensor, Tensor]:
        """Logits of the training photographs, each by a path fitted without its series, and of the test's."""
        series = np.unique(self.split.groups)
        folds = np.random.default_rng(0).integers(FOLDS, size=len(series))
        fold = folds[np.searchsorted(series, self.split.groups)]
        every, own = np.arange(len(self.words)), torch.zeros_like(self.truth)
        for number in range(FOLDS):
            path, _ = fit_path(self.problem.part(np.flatnonzero(fold != number), every), PATH, CHOICE)
            rows = torch.from_numpy(fold == number)
            own[rows] = path(torch.from_numpy(self.problem.pooled)[rows], self.words)
        path, _ = fit_path(self.problem, PATH, CHOICE)
        return own, path(torch.from_numpy(self.split.pooled("test")).float(), self.vectors)

    def scores(self, idea: Idea) -> Numbers:
        """(I,L) logits of the test photographs."""
        own, total = self.linear() if idea.residual else (torch.zeros_like(self.truth), torch.zeros(()))
        if idea.epochs:
            score = trained(self, idea, own).for_inference(self.vectors)
            total = total + torch.cat([score(tokens) for tokens in torch.split(self.tokens["test"], BATCH)])
        return total.detach().double().numpy()


def trained(scene: Scene, idea: Idea, own: Tensor) -> MLDecoder:
    """A decoder with averaged weights; `own` (I,S) is added to its logits."""
    torch.manual_seed(0)
    sizes = {"width": WIDTH, "feed_forward": WIDTH, "heads": 8, "centred": True, **idea.options}
    head = MLDecoder(scene.tokens["train"].shape[2], label_features=scene.words.shape[1], **sizes)  # type: ignore[arg-type]
    if sizes["centred"]:
        head.queries.fit_centre(scene.words)  # type: ignore[operator]
    if idea.residual:
        torch.nn.init.zeros_(head.readout.linear.weight)  # type: ignore[union-attr, arg-type]
    optimizer = torch.optim.AdamW([each for each in head.parameters() if each.requires_grad], RATE, weight_decay=1e-2)
    steps = len(own) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps * idea.epochs, pct_start=0.2)
    average = torch.optim.swa_utils.AveragedModel(head, avg_fn=warmed_up_average(0.99))
    draw = np.random.default_rng(0)
    head.train()
    for _ in range(idea.epochs):
        order = draw.permutation(len(own))
        for step in range(steps):
            rows = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
            cost(head, scene, idea, rows, own[rows], draw).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            average.update_parameters(head)
    head.load_state_dict(average.module.state_dict())
    return head.eval()


def cost(head: MLDecoder, scene: Scene, idea: Idea, rows: Tensor, own: Tensor, draw: np.random.Generator) -> Tensor:
    """The loss of a step."""
    words, targets = scene.words, scene.truth[rows]
    count = len(words)
    kept = torch.arange(count)
    if idea.label_dropout:
        kept = kept[torch.from_numpy(draw.random(count) >= idea.label_dropout)]
    words, targets, own = words[kept], targets[:, kept], own[:, kept]
    spread = scene.words.std(dim=0)
    if idea.noise:
        words = words + idea.noise * spread * torch.from_numpy(draw.normal(size=words.shape)).float()
    if idea.random_query:
        random = torch.from_numpy(draw.random(len(words)) < idea.random_query)
        drawn = scene.words.mean(dim=0) + spread * torch.from_numpy(draw.normal(size=words.shape)).float()
        words = torch.where(random.unsqueeze(1), drawn, words)
        targets = torch.where(random, 0.0, targets)
    if idea.interpolate:
        others = torch.from_numpy(draw.permutation(len(words)))
        part = torch.from_numpy(idea.interpolate * draw.random((len(words), 1))).float()
        words = (1 - part) * words + part * words[others]
        targets = (1 - part.T) * targets + part.T * targets[:, others]
    return idea.loss(head(scene.tokens["train"][rows], words) + own, targets)


def main() -> None:
    """Print the table."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--splits", default="0,1,2,3,4")
    parser.add_argument("--ideas", default="", help="only those whose name has this in it, beside the first")
    arguments = parser.parse_args()
    if not (arguments.data / "corel5k").is_dir():
        sys.exit(f"experiment_decoder_ideas: {arguments.data / 'corel5k'}: no such folder. Name the data with --data.")
    console.configure(quiet=True, debug=False)
    chosen = [name for at, name in enumerate(IDEAS) if at == 0 or arguments.ideas in name]
    found: dict[str, list[list[float]]] = {name: [] for name in chosen}
    for number in arguments.splits.split(","):
        scene = Scene(Split(arguments.data.resolve(), number))
        for name in chosen:
            began = time.monotonic()
            found[name].append(scene.split.figures(scene.scores(IDEAS[name])))
            told = " ".join(f"{figure:.3f}" for figure in found[name][-1])
            print(f"split {number}: {name}: {told}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
