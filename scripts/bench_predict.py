"""Measure what `zsmld predict` spends its time on: over a folder, and up to the first result.

Over a folder: the share of the time that the backbone and the decoder are at work, everything else (reading, decoding,
ranking, writing) being the rest; and the same without decoding ahead. Up to the first result: a process of its own that
tags one photograph, and says when each stage was done; medians of the rounds. ResNet-50 with random weights, the
decoder with its default sizes, photographs as `bench_photos.py` makes them.

    python scripts/bench_predict.py [--photos 96] [--size 1024x768] [--labels 300] [--rounds 3] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from bench_photos import made

import zsmld
from zsmld.decoder import scoring
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.inference import InferenceHead
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import save_model
from zsmld.images.ahead import ahead
from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone

E = 300
# Run in a process of its own, which has nothing imported: when, in seconds since its start, each stage was done.
STAGES = """
import json, sys, time
began = time.perf_counter()
at = lambda name: stages.append((name, time.perf_counter() - began))
stages = []
import torch
torch.set_num_threads(int(sys.argv[4]))
at("import torch")
import timm
at("import timm")
from zsmld.prediction.models import load_tagger
from zsmld.prediction.tagging import ZeroShotTagger
from zsmld.labels.vocabulary import read_vocabulary
at("import the rest")
vocabulary = read_vocabulary(__import__("pathlib").Path(sys.argv[2]))
tagger = ZeroShotTagger.from_pretrained(sys.argv[1], device="cpu")
at("load the model")
words = tagger.words(vocabulary)
at("vectors of the labels")
backbone = tagger.trained.model.backbone
image = backbone.preprocess.open(sys.argv[3])
at("decode the photograph")
tokens = backbone.encode_filled([image], 16)
at("backbone")
score = tagger.trained.model.score_for(torch.from_numpy(words.vectors))
at("prepare the vocabulary")
score(tokens)
at("decoder")
print(json.dumps(stages))
"""


def main() -> None:
    """Print the shares, and the stages up to the first result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--size", default="1024x768")
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = workspace(folder, arguments)
        print(
            f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}, ResNet-50, "
            f"{arguments.photos} photographs of {arguments.size}, {arguments.labels} labels\n"
        )
        over_a_folder(folder, labels, arguments)
        first_result(folder, arguments)


def workspace(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Photographs, vectors and a model; returns the labels."""
    labels = [f"w{at}" for at in range(arguments.labels)]
    vectors = torch.randn(len(labels), E).tolist()
    lines = (f"{word} " + " ".join(f"{x:.4f}" for x in vector) for word, vector in zip(labels, vectors, strict=True))
    (folder / "vectors.txt").write_text("\n".join(lines) + "\n")
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    table = zsmld.embed_labels(labels, source=str(folder / "vectors.txt"))
    backbone = create_backbone(BackboneSpec("timm:resnet50", "random"))
    head = MLDecoder(backbone.channels, label_features=E, width=256, feed_forward=256)
    save_model(
        folder / "model", ZeroShotModel(backbone, head), seen=tuple(labels), labels=table, backbone_trained=False,
        about={},
    )  # fmt: skip
    width, height = (int(text) for text in arguments.size.split("x"))
    (folder / "photos").mkdir()
    kinds = [made(width, height, 90, 2, seed) for seed in range(8)]
    for at in range(arguments.photos):
        (folder / "photos" / f"{at}.jpg").write_bytes(kinds[at % len(kinds)])
    return labels


def over_a_folder(folder: Path, labels: list[str], arguments: argparse.Namespace) -> None:
    """The share of backbone and decoder, with decoding ahead and without, in turns."""
    tagger = zsmld.ZeroShotTagger.from_pretrained(folder / "model", device="cpu")
    paths = sorted((folder / "photos").iterdir())
    spent = {"backbone": 0.0, "decoder": 0.0}
    timed(Backbone, "encode_filled", spent, "backbone")
    timed(InferenceHead, "__call__", spent, "decoder")
    found: dict[str, list[tuple[float, float, float]]] = {"ahead": [], "not ahead": []}
    for _ in range(arguments.rounds):
        for kind, function in (("ahead", ahead), ("not ahead", in_turn)):
            spent.update(backbone=0.0, decoder=0.0)
            began = time.perf_counter()
            with mock.patch.object(scoring, "ahead", function):
                tagger.predict(paths, labels, top_k=5, batch_size=16)
            found[kind].append((time.perf_counter() - began, spent["backbone"], spent["decoder"]))
    print("| decoding | images/s | backbone | decoder | the rest |\n|---|---|---|---|---|")
    for kind, rounds in found.items():
        whole, tower, decoder = (statistics.median(values) for values in zip(*rounds, strict=True))
        shares = " | ".join(f"{part / whole:.1%}" for part in (tower, decoder, whole - tower - decoder))
        print(f"| {kind} | {len(paths) / whole:.1f} | {shares} |")


def in_turn(function: Callable[[Any], Any], items: Any, *, count: int) -> Iterator[Any]:
    """In the place of `ahead`: nothing is done before it is asked for."""
    del count
    for item in items:
        yield function(item)


def timed(owner: type, name: str, spent: dict[str, float], key: str) -> None:
    """Add the seconds of each call of a method up."""
    method = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        result = method(*given, **named)
        spent[key] += time.perf_counter() - began
        return result

    setattr(owner, name, wrapped)


def first_result(folder: Path, arguments: argparse.Namespace) -> None:
    """Seconds of each stage, and of the whole command."""
    photograph = str(folder / "photos" / "0.jpg")
    given = [str(folder / "model"), str(folder / "labels.txt"), photograph, str(arguments.threads)]
    command = [sys.executable, "-m", "zsmld", "predict", photograph, "--model", given[0], "--labels", given[1]]
    rounds: list[dict[str, float]] = []
    whole = []
    for _ in range(arguments.rounds):
        began = time.perf_counter()
        subprocess.run([*command, "--device", "cpu"], check=True, capture_output=True)
        whole.append(time.perf_counter() - began)
        finished = subprocess.run([sys.executable, "-c", STAGES, *given], check=True, capture_output=True, text=True)
        ends = json.loads(finished.stdout)
        starts = [0.0, *(end for _, end in ends[:-1])]
        rounds.append({name: end - start for (name, end), start in zip(ends, starts, strict=True)})
    print("\n| stage | seconds |\n|---|---|")
    for name in rounds[0]:
        print(f"| {name} | {statistics.median(each[name] for each in rounds):.2f} |")
    print(f"| `zsmld predict` of one photograph, from start to end | {statistics.median(whole):.2f} |")


if __name__ == "__main__":
    main()
