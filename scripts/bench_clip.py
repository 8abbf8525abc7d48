"""Measure tagging without training against a plain open_clip script.

The plain script is what open_clip's own documentation leads to: a photograph after the other is opened with Pillow and
goes through the model's own transform (centre crop); batches of 32 are encoded; cosines with all labels; the best five.
Labels are embedded with open_clip's `build_zero_shot_classifier`, over the same templates as ours. Both load the same
ViT-B-32 with random weights from a folder: what is computed does not depend on what the weights are.

* photographs: both sides loaded, the labels embedded; the two take turns; the plain script is in float32, which
  open_clip loads a model in, ours in each of `--precisions`;
* words: what embedding them takes, in turns, on `--words` labels;
* whole runs: the plain script and `zsmld predict`, a process each, from its start to its end: imports, loading, words,
  photographs; for each number of labels of `--runs`.

    python scripts/bench_clip.py [--sizes 500x375,4000x3000] [--labels 300,21000] [--precisions float32,bfloat16]
                                 [--photos 64] [--rounds 5] [--words 300] [--runs 300] [--threads 2]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from bench_photos import made
from PIL import Image
from safetensors.torch import save_file
from timing import in_turns, ratio
from torch import Tensor

import zsmld
from zsmld.labels.clip_models import load_clip
from zsmld.labels.clip_text import prompt_features
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.prompt_templates import read_templates
from zsmld.labels.vocabulary import canonical
from zsmld.prediction.training_free import training_free

MODEL, BATCH, BEST = "ViT-B-32", 32, 5
THEIRS, OURS = "open_clip", "zsmld"
BEFORE = ("red", "old", "big", "wet", "new", "dry", "hot", "raw", "odd", "shy", "sad", "bad", "fat", "pale", "dark")


def main() -> None:
    """Print three tables; or be the plain script, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="500x375,4000x3000")
    parser.add_argument("--labels", default="300,21000")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--runs", default="300")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain", nargs=2, metavar=("FOLDER", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.plain is not None:
        plain_run(Path(arguments.plain[0]), arguments.plain[1])
        return
    print(f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}, {MODEL}, random weights\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model")
        for size in arguments.sizes.split(","):
            make_photos(folder / size, size, arguments.photos)
        compare_photos(folder, arguments)
        compare_words(folder, arguments)
        compare_runs(folder, arguments)


def make_model(folder: Path) -> None:
    """A model with random weights, as open_clip keeps one in a folder."""
    torch.manual_seed(0)
    folder.mkdir()
    config = {"model_cfg": open_clip.get_model_config(MODEL), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    tensors = open_clip.create_model(MODEL).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "open_clip_model.safetensors")


def make_photos(folder: Path, size: str, count: int) -> None:
    """JPEGs of one size, four kinds of them."""
    width, height = (int(text) for text in size.split("x"))
    kinds = [made(width, height, 90, 2, seed) for seed in range(4)]
    folder.mkdir()
    for at in range(count):
        (folder / f"{at:05}.jpg").write_bytes(kinds[at % len(kinds)])


def words(count: int) -> list[str]:
    """The thousand names of ImageNet, and with a word or two before them where these are not enough."""
    before = ["", *(f"{word} " for word in BEFORE)]
    before += [f"{one}{other}" for one, other in itertools.product(before[1:], before[1:])]
    names = {canonical(name): name for name in open_clip.IMAGENET_CLASSNAMES}.values()
    return [f"{word}{name}" for word, name in itertools.islice(itertools.product(before, names), count)]


class Worked:
    """A function, and the CPU seconds that each of its runs took: they mean something on a busy machine, too."""

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self.function, self.seconds = partial(function, *given), list[float]()

    def __call__(self) -> None:
        """Run it once more."""
        began = time.process_time()
        self.function()
        self.seconds.append(time.process_time() - began)


class Plain:
    """The plain script."""

    def __init__(self, folder: Path) -> None:
        self.model, _, self.transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def embed(self, labels: Sequence[str], templates: Sequence[str]) -> Tensor:
        """(E,L)."""
        found: Tensor = open_clip.build_zero_shot_classifier(self.model, self.tokenizer, labels, templates)
        return found

    @torch.inference_mode()
    def tag(self, paths: Sequence[Path], labels: Sequence[str], text: Tensor) -> list[list[tuple[str, float]]]:
        """The best labels of each photograph, with their cosines; `text` is (E,L)."""
        found = []
        for start in range(0, len(paths), BATCH):
            images = torch.stack([self.transform(Image.open(path)) for path in paths[start : start + BATCH]])
            best = (self.model.encode_image(images, normalize=True) @ text).topk(BEST)
            for scores, places in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                found.append([(labels[place], score) for place, score in zip(places, scores, strict=True)])
        return found


class Ours:
    """The same with zsmld; words are a table of label embeddings."""

    def __init__(self, folder: Path, precision: str) -> None:
        trained = training_free(f"open_clip:local-dir:{folder}", device="cpu")
        self.table = trained.label_space()
        self.tagger = zsmld.ZeroShotTagger(trained, device="cpu", precision=precision)

    def tag(self, paths: Sequence[Path], table: LabelEmbeddings) -> list[Any]:
        """The best labels of each photograph, with their probabilities."""
        return list(self.tagger.predict(paths, table, top_k=BEST, batch_size=BATCH, short_list="off"))


def compare_photos(folder: Path, arguments: argparse.Namespace) -> None:
    """Photographs a second, start-up and words excluded."""
    theirs = Plain(folder / "model")
    print(f"| photographs | labels | {OURS} in | {THEIRS}, a second | {OURS} | times faster | by CPU seconds |")
    print("|---|---|---|---|---|---|---|")
    for precision, size in itertools.product(arguments.precisions.split(","), arguments.sizes.split(",")):
        ours, paths = Ours(folder / "model", precision), sorted((folder / size).iterdir())
        for count in (int(text) for text in arguments.labels.split(",")):
            labels, text = words(count), torch.nn.functional.normalize(torch.randn(ours.table.width, count), dim=0)
            table = LabelEmbeddings(tuple(labels), text.T.contiguous().numpy(), ("",) * count, ours.table.provenance)
            both = {THEIRS: Worked(theirs.tag, paths, labels, text), OURS: Worked(ours.tag, paths, table)}
            told = row(both, len(paths), arguments.rounds)
            print(f"| {size} | {count:,} | {precision} | {told} |", flush=True)


def compare_words(folder: Path, arguments: argparse.Namespace) -> None:
    """Words a second, the tokenizer included, and how far apart the vectors are."""
    theirs, clip = Plain(folder / "model"), load_clip(f"open_clip:local-dir:{folder / 'model'}")
    drawn = np.random.default_rng(0).permutation(max(int(text) for text in arguments.labels.split(",")))
    every = words(len(drawn))
    labels = [every[at] for at in drawn[: arguments.words]]
    print(f"\n| templates | {THEIRS}, words a second | {OURS} | times faster | by CPU seconds | largest difference |")
    print("|---|---|---|---|---|---|")
    for name in ("photo", "clip"):
        texts = read_templates(name)
        both = {THEIRS: Worked(theirs.embed, labels, texts), OURS: Worked(prompt_features, labels, clip, texts)}
        told = row(both, len(labels), arguments.rounds)
        apart = np.abs(theirs.embed(labels, texts).T.numpy() - prompt_features(labels, clip, texts)).max()
        print(f"| {name}, {len(texts)} | {told} | {apart:.0e} |", flush=True)


def row(both: Mapping[str, Worked], items: int, rounds: int) -> str:
    """Items a second of both sides, how many times faster ours is, and how many times less it computes."""
    seconds = in_turns(both, rounds)
    worked = {side: worker.seconds[-rounds:] for side, worker in both.items()}
    rates = [f"{items / statistics.median(seconds[side]):.1f}" for side in (THEIRS, OURS)]
    return f"{' | '.join(rates)} | {ratio(seconds, THEIRS, OURS)} | {ratio(worked, THEIRS, OURS)}"


def compare_runs(folder: Path, arguments: argparse.Namespace) -> None:
    """Seconds of whole processes: the plain script, and `zsmld predict`."""
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    print(f"\n| {arguments.photos} photographs | labels | {THEIRS}, s | zsmld predict, s | times faster |")
    print("|---|---|---|---|---|")
    for size, count in itertools.product(arguments.sizes.split(","), filter(None, arguments.runs.split(","))):
        (folder / "words.txt").write_text("\n".join(words(int(count))))
        plain = [sys.executable, __file__, "--plain", str(folder), size, "--threads", str(arguments.threads)]
        ours = [sys.executable, "-m", "zsmld", "predict", str(folder / size), "--labels", str(folder / "words.txt")]
        ours += ["--model", f"open_clip:local-dir:{folder / 'model'}", "--batch-size", str(BATCH), "--device", "cpu"]
        run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds = in_turns({THEIRS: partial(run, plain), OURS: partial(run, ours)}, 1, unused=0)
        both = " | ".join(f"{seconds[side][0]:.0f}" for side in (THEIRS, OURS))
        print(f"| {size} | {int(count):,} | {both} | {ratio(seconds, THEIRS, OURS)} |", flush=True)


def plain_run(folder: Path, size: str) -> None:
    """The plain script, from its start to its end."""
    plain, labels = Plain(folder / "model"), (folder / "words.txt").read_text().splitlines()
    for tags in plain.tag(sorted((folder / size).iterdir()), labels, plain.embed(labels, read_templates())):
        print(tags)


if __name__ == "__main__":
    main()
