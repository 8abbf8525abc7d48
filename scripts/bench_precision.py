"""Measure what fewer digits save and cost: the exact decoder in float32 against bfloat16, float16 and 8-bit integers.

Time: random tokens, sizes of the paper and zsmld's defaults, contenders in turns, medians of the rounds' ratios. 8-bit
integers are PyTorch's dynamic quantisation of the linear layers (CPU only), which zsmld does not offer: see
docs/inference.md. --compile adds torch.compile of `layer.py`. Figures: with --run and --annotations the test images of
a data set are scored for the labels of --unseen and the seen ones, from tokens in float32.

    python scripts/bench_precision.py [--rounds 7] [--threads 2] [--device cpu] [--compile]
    python scripts/bench_precision.py --run RUN --annotations FILE --unseen FILE [--images FOLDER]
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_inference import as_if_trained
from timing import in_turns
from torch import Tensor, nn

from zsmld import MLDecoder, files
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import read_dataset
from zsmld.decoder.inference import InferenceHead
from zsmld.decoder.model_folder import load_model
from zsmld.decoder.scoring import photographic
from zsmld.evaluation import average_precision
from zsmld.images.token_cache import TokenCache
from zsmld.labels.sources import embed_like
from zsmld.labels.vocabulary import read_vocabulary

SIZES = {
    "paper": {"in_features": 2048, "label_features": 300, "width": 768, "heads": 8, "feed_forward": 2048},
    "default": {"in_features": 320, "label_features": 300, "width": 256, "heads": 8, "feed_forward": 256},
}
POINTS = ((81, 49, 8), (925, 49, 8), (5000, 49, 1))
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def main() -> None:
    """Print times, or figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--unseen", type=Path)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*ao.quantization.*")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    machine = torch.cuda.get_device_name() if arguments.device != "cpu" else f"{arguments.threads} threads"
    print(f"{platform.machine()}, {machine}, torch {torch.__version__}\n")
    (times if arguments.run is None else figures)(arguments)


def times(arguments: argparse.Namespace) -> None:
    """A row for each size and each contender."""
    print("| sizes | N | T | B | | ms | x exact | largest difference | of a deviation of |\n" + "|---" * 9 + "|")
    for name, sizes in SIZES.items():
        head = MLDecoder(**sizes).to(arguments.device)  # type: ignore[arg-type]
        as_if_trained(head)
        for queries, tokens, images in POINTS:
            words = torch.randn(queries, 300, device=arguments.device)
            x = torch.randn(images, tokens, sizes["in_features"], device=arguments.device)
            contenders = scorers(head, words, arguments.device)
            if arguments.compile:
                contenders["layer.py, compiled"] = partial(_plain, torch.compile(head), words)
            contenders["layer.py"] = partial(_plain, head, words)
            for line in rows(contenders, x, arguments):
                print(f"| {name} | {queries} | {tokens} | {images} | {line}", flush=True)


def _plain(head: Callable[[Tensor, Tensor], Tensor], words: Tensor, tokens: Tensor) -> Tensor:
    return head(tokens, words)


def scorers(head: MLDecoder, words: Tensor, device: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """Tokens → logits, with more and fewer digits."""
    found: dict[str, Callable[[Tensor], Tensor]] = {"exact": head.for_inference(words)}
    found |= {name: head.for_inference(words, dtype) for name, dtype in HALF.items()}
    if device == "cpu":
        found["int8"] = quantised(head, words)
    return found


def quantised(head: MLDecoder, words: Tensor) -> Callable[[Tensor], Tensor]:
    """The direct form with 8-bit linear layers."""
    score: InferenceHead = head.for_inference(words)
    quantise: Any = torch.ao.quantization.quantize_dynamic
    score.head = quantise(copy.deepcopy(head), {nn.Linear}, dtype=torch.qint8)
    score.layer = score.head.layer

    def logits(tokens: Tensor) -> Tensor:
        everything = slice(None)
        memories = (torch.relu(score.head.embed_tokens(part)) for part in torch.split(tokens, 1))
        return torch.cat([score.read_out(score.direct(each)(everything), everything) for each in memories])

    return logits


@torch.inference_mode()
def rows(contenders: dict[str, Callable[[Tensor], Tensor]], x: Tensor, arguments: argparse.Namespace) -> list[str]:
    """Time and difference of each contender."""
    logits = {name: contender(x) for name, contender in contenders.items()}
    running = {name: partial(contender, x) for name, contender in contenders.items()}
    seconds = in_turns(running, arguments.rounds, arguments.device, unused=0)
    lines = []
    for name, own in seconds.items():
        ratio = statistics.median(exact / each for exact, each in zip(seconds["exact"], own, strict=True))
        difference = float((logits[name] - logits["exact"]).abs().max())
        spread = float(logits["exact"].std())
        lines.append(f"{name} | {1e3 * statistics.median(own):.1f} | {ratio:.2f} | {difference:.0e} | {spread:.2f} |")
    return lines


@torch.inference_mode()
def figures(arguments: argparse.Namespace) -> None:
    """mAP of unseen labels, and of all, of a trained model."""
    trained = load_model(arguments.run)
    unseen = read_vocabulary(arguments.unseen).labels
    labels = (*trained.seen, *unseen)
    dataset = read_dataset(arguments.annotations, ReadOptions(arguments.images, None)).part("test")
    store = TokenCache(files.cache_folder(), photographic(trained)).fill(dataset.image_paths())
    words = torch.from_numpy(embed_like(labels, trained.label_space()).vectors)
    truth = dataset.targets(labels)
    print("| | mAP of the unseen labels | of all | seconds |\n|---|---|---|---|")
    head = trained.model.head
    if not isinstance(head, MLDecoder):
        sys.exit(f"bench_precision: {arguments.run} has a linear path. Train with --method decoder.")
    for name, score in scorers(head, words, "cpu").items():
        began = time.perf_counter()
        parts = np.array_split(np.arange(len(store)), len(store) // 32)
        logits = torch.cat([score(torch.from_numpy(store.read(part))) for part in parts]).numpy()
        precisions = average_precision(logits, truth)
        taken = time.perf_counter() - began
        of_unseen = np.nanmean(precisions[len(trained.seen) :])
        print(f"| {name} | {of_unseen:.4f} | {np.nanmean(precisions):.4f} | {taken:.1f} |")


if __name__ == "__main__":
    main()
