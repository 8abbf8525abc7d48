"""Measure the short list of a trained model on a huge vocabulary: recall of the best 10, and time.

The vocabulary is made of the words of a source of word vectors, and of pairs of these ("polar
bear"). The list is fitted on some photographs, and measured on others that had no part in it: exact
and short-listed take turns, an image at a time and from its tokens.

    python scripts/bench_short_list.py --model RUN --source FILE --fit FOLDER --held-back FOLDER
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsmld import ZeroShotTagger
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.scoring import photographic
from zsmld.decoder.short_list import TOP, ShortList
from zsmld.decoder.short_list_fit import calibrate
from zsmld.labels.source_spec import parse_source
from zsmld.labels.word_files import open_word_source
from zsmld.prediction.inputs import find_images
from zsmld.prediction.short_lists import PHOTOGRAPHS


def main() -> None:
    """Print the list's share of the vocabulary, its recall, and the ratio of times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument(
        "--fit", required=True, nargs="+", help="photographs: those that the model was trained on will do"
    )
    parser.add_argument("--held-back", required=True, nargs="+", help="other photographs")
    parser.add_argument("--labels", type=int, default=21_000)
    parser.add_argument("--images", type=int, default=100, help="how many of the held-back photographs")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tagger = ZeroShotTagger.from_pretrained(arguments.model, device="cpu")
    labels = vocabulary(arguments.source, arguments.labels)
    words = torch.from_numpy(tagger.embed(labels, source=arguments.source, missing="skip").vectors)
    head = tagger.trained.model.head
    if not isinstance(head, MLDecoder):
        sys.exit(f"bench_short_list: {arguments.model} has a linear path. Train with --method decoder.")
    score = head.for_inference(words)
    fitting = tokens(tagger, drawn(arguments.fit, PHOTOGRAPHS))
    began = time.perf_counter()
    found = calibrate(score, fitting)
    print(
        f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}, D {head.sizes['width']}, ",
        end="",
    )
    print(f"F {head.sizes['feed_forward']}, T {fitting.shape[1]}, N {len(words)}")
    print(f"made in {time.perf_counter() - began:.0f} s: {found.told()}")
    held_back = tokens(tagger, drawn(arguments.held_back, arguments.images))
    measure(ShortList(score, found.weight, found.share), held_back)


def measure(listed: ShortList, images: Tensor) -> None:
    """Exact and short-listed in turns over the images."""
    kept, exact_times, listed_times, difference = [], [], [], 0.0
    for image in torch.split(images, 1):
        began = time.perf_counter()
        logits = listed.head(image)[0]
        best = logits.topk(TOP).indices
        exact_times.append(time.perf_counter() - began)
        began = time.perf_counter()
        labels, scores = listed(image)
        listed_times.append(time.perf_counter() - began)
        kept.append(len(set(best.tolist()) & set(labels[0].tolist())) / TOP)
        difference = max(difference, float((logits[labels[0]] - scores[0]).abs().max()))
    ratios = sorted(exact / short for exact, short in zip(exact_times, listed_times, strict=True))
    worst = f"worst image {min(kept):.1f}"
    print(f"{len(images)} held-back photographs: recall of the best {TOP} {np.mean(kept):.4f}, {worst}")
    print(f"{listed.listed} labels decoded in full; largest difference of a score {difference:.0e}")
    exact, short = (1e3 * statistics.median(times) for times in (exact_times, listed_times))
    tenth = len(ratios) // 10
    spread = f"{ratios[tenth]:.1f} to {ratios[-1 - tenth]:.1f} for eight in ten"
    print(f"exact {exact:.1f} ms, short-listed {short:.1f} ms, ratio {statistics.median(ratios):.1f} ({spread})")


def vocabulary(source: str, count: int) -> list[str]:
    """Words of the source, in its order, and then random pairs of them."""
    listed = open_word_source(parse_source(source)).words()
    words = list(dict.fromkeys(word.lower() for word in listed if word.isalpha()))
    draw = np.random.default_rng(0)
    pairs: dict[str, None] = {}
    while len(words) + len(pairs) < count:
        first, second = draw.choice(len(words), 2, replace=False)
        pairs[f"{words[first]} {words[second]}"] = None
    return [*words, *pairs][:count]


def drawn(inputs: list[str], count: int) -> list[Path]:
    """Some of the photographs."""
    paths = find_images(inputs).paths
    return [paths[row] for row in np.random.default_rng(0).permutation(len(paths))[:count]]


def tokens(tagger: ZeroShotTagger, paths: list[Path]) -> Tensor:
    """(I,T,C)."""
    backbone = photographic(tagger.trained)
    images = [backbone.preprocess.open(path) for path in paths]
    return torch.cat([backbone.encode(images[at : at + 16], 16) for at in range(0, len(images), 16)])


if __name__ == "__main__":
    main()
