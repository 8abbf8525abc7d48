"""Measure a training step of the decoder: as published, with one query mask a batch, and with sampled labels.

A step is forward, asymmetric loss, backward and optimiser, on random tokens of the paper's sizes. "Published" gives
every image queries and dropout masks of its own, and reads out in a loop over labels. Contenders take turns; ratios are
medians of the rounds'. With --memory a process of its own takes one step, and its peak resident memory is printed.

    python scripts/bench_training.py [--labels 100,300,925,2048] [--images 8] [--sample 128] [--rounds 5] [--device cpu]
    python scripts/bench_training.py --memory --labels 925,21000 --images 32
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import sys
from functools import partial

import numpy as np
import torch
from timing import in_turns, ratio
from torch import Tensor

from zsmld import MLDecoder
from zsmld.decoder.readout import SharedReadout
from zsmld.training.loss import asymmetric_loss
from zsmld.training.step import backward_in_chunks, sample_labels

C, E, D, F, H, T = 2048, 300, 768, 2048, 8, 49
# Labels that an image of NUS-WIDE has, by its tags: what all images of a batch have together are that many times B.
POSITIVES = 6
# Beyond it the published step does not fit, or takes minutes.
PUBLISHED_MOST = 2048 * 8


class PublishedReadout(torch.nn.Module):
    """The readout in a loop over labels."""

    def __init__(self, readout: SharedReadout) -> None:
        super().__init__()
        self.linear = readout.linear

    def forward(self, decoded: Tensor) -> Tensor:
        """(B,L,D) → (B,L)."""
        logits = torch.zeros(decoded.shape[0], decoded.shape[1], 1, device=decoded.device)
        for at in range(decoded.shape[1]):
            logits[:, at, :] = torch.matmul(decoded[:, at, :], self.linear.weight.T)
        return logits.flatten(1) + self.linear.bias


class Step:
    """One contender: a head, its optimiser, and the labels that it trains on.

    Args:
        published: compute as published.
        sample: negatives a step; 0 for all labels.
    """

    def __init__(self, *, published: bool, sample: int, device: str) -> None:
        torch.manual_seed(0)
        self.head = MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F, mask_per_image=published)
        if published:
            assert isinstance(self.head.readout, SharedReadout)
            self.head.readout = PublishedReadout(self.head.readout)  # type: ignore[assignment]
            self.head.layer.dropout = torch.nn.Dropout(self.head.layer.dropout.p)  # type: ignore[assignment]
        self.head.to(device).train()
        self.optimizer = torch.optim.AdamW(self.head.parameters())
        self.published, self.sample, self.steps = published, sample, 0

    def __call__(self, tokens: Tensor, words: Tensor, targets: Tensor) -> None:
        """Take a step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self.published:
            asymmetric_loss(self.head(tokens, words), targets).backward()  # type: ignore[no-untyped-call]
        else:
            weights = None
            if self.sample:
                labels, weights = sample_labels(targets, self.sample, self.steps)
                words, targets = words[labels], targets[:, labels]

            def cost(logits: Tensor, at: slice) -> Tensor:
                return asymmetric_loss(logits, targets[:, at], weights=None if weights is None else weights[at])

            backward_in_chunks(self.head, tokens, words, cost)
        self.optimizer.step()


def batch(labels: int, images: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (B,T,C), label embeddings (L,E) and truth (B,L) with `POSITIVES` labels an image, frequent ones first."""
    draw = np.random.default_rng(0)
    frequency = 1 / np.arange(1, labels + 1)
    targets = torch.zeros(images, labels)
    for row in targets:
        chosen = draw.choice(labels, min(POSITIVES, labels), replace=False, p=frequency / frequency.sum())
        row[torch.from_numpy(chosen)] = 1
    made = torch.randn(images, T, C), torch.randn(labels, E), targets
    tokens, words, truth = (each.to(device) for each in made)
    return tokens, words, truth


def main() -> None:
    """Print times, ratios and how they grow, or the memory of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="100,300,925,2048,5000,21000")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--sample", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    counts = [int(text) for text in arguments.labels.split(",")]
    if arguments.one:
        Step(published=False, sample=0, device="cpu")(*batch(counts[0], arguments.images, "cpu"))
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")
        return
    machine = torch.cuda.get_device_name() if arguments.device != "cpu" else f"{arguments.threads} threads"
    sizes = f"D {D}, F {F}, H {H}, T {T}, B {arguments.images}"
    print(f"{platform.machine()}, {machine}, torch {torch.__version__}, {sizes}\n")
    (memory if arguments.memory else times)(counts, arguments)


def memory(counts: list[int], arguments: argparse.Namespace) -> None:
    """A row for each number of labels: peak resident memory of a process that takes one step."""
    print("| N | B | peak memory, MiB |\n|---|---|---|")
    for labels in counts:
        command = [sys.executable, __file__, "--one", "--labels", str(labels), "--images", str(arguments.images)]
        peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(f"| {labels} | {arguments.images} | {peak} |", flush=True)


def times(counts: list[int], arguments: argparse.Namespace) -> None:
    """A row for each number of labels, and the exponent of the growth."""
    steps = {
        "published": Step(published=True, sample=0, device=arguments.device),
        "all": Step(published=False, sample=0, device=arguments.device),
        "sampled": Step(published=False, sample=arguments.sample, device=arguments.device),
    }
    print("| N | published, s | all labels, s | x published | sampled, s | x published |\n" + "|---" * 6 + "|")
    medians: dict[str, dict[int, float]] = {name: {} for name in steps}
    for labels in counts:
        given = batch(labels, arguments.images, arguments.device)
        taking = {
            name: step for name, step in steps.items()
            if name != "published" or labels * arguments.images <= PUBLISHED_MOST
        }  # fmt: skip
        running = {name: partial(step, *given) for name, step in taking.items()}
        seconds = in_turns(running, arguments.rounds, arguments.device)
        for name, rounds in seconds.items():
            medians[name][labels] = statistics.median(rounds)
        cells = [f"{medians[name][labels]:.3f}" if labels in medians[name] else "" for name in steps]
        ratios = {name: ratio_to_published(seconds, name) for name in ("all", "sampled")}
        print(
            f"| {labels} | {cells[0]} | {cells[1]} | {ratios['all']} | {cells[2]} | {ratios['sampled']} |", flush=True
        )
    for name, found in medians.items():
        large = [labels for labels in found if labels >= 300]
        if len(large) > 1:
            slope = exponent(large, [found[labels] for labels in large])
            print(f"\n{name}: time grows as N^{slope:.2f} from N {large[0]} on")


def ratio_to_published(seconds: dict[str, list[float]], name: str) -> str:
    """Empty where the published step was left out."""
    return ratio(seconds, "published", name) if "published" in seconds else ""


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log seconds over log sizes."""
    slope: float = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return slope


if __name__ == "__main__":
    main()
