"""Measure `zsmld export`, and onnxruntime against PyTorch on what it wrote.

A model of MobileNetV2 with the given weights, tokens 7×7×320, and a head with a linear path (random numbers in the
place of fitted ones) and a decoder of the default size. Three contenders take turns on the same images and labels: the
plain modules in PyTorch, which are what was exported; what `zsmld predict` computes, which knows the vocabulary
beforehand; and onnxruntime. Ratios are of the seconds of one round each, median and range.

    OMP_WAIT_POLICY=passive python scripts/bench_export.py --weights mobilenetv2_100.safetensors [--labels 81]
        [--batches 1,16] [--rounds 15] [--threads 2]

Threads of PyTorch (by the variable) and of onnxruntime (by its option) do not spin while they wait for work: the ones
would take the cores from the others here.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from timing import in_turns, ratio
from torch import nn

import zsmld
from zsmld.decoder.linear import LinearPath
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import load_model, save_model
from zsmld.decoder.two_path import TwoPathHead
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.memory import keep_freed_memory

E, SIDE = 300, 224
PLAIN, PREDICT, ONNX = "PyTorch, plain modules", "PyTorch, as predict", "onnxruntime"


def main() -> None:
    """Print what the export cost and found, and a table of the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--labels", type=int, default=81)
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as the command line does
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model", arguments)
        began, worked = time.perf_counter(), time.process_time()
        exported = zsmld.export(model=folder / "model", output=folder / "model.onnx")
        seconds, work = time.perf_counter() - began, time.process_time() - worked
        print(
            f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}, onnxruntime "
            f"{onnxruntime.__version__}, MobileNetV2, {arguments.labels} labels\n"
        )
        weights = (folder / "model" / "model.safetensors").stat().st_size
        print(f"exported and checked in {seconds:.1f} s, {work:.1f} s of CPU time")
        print("\n".join(exported.told()[:-1]))
        print(f"file of {exported.size / 1e6:.1f} MB, weights of the model folder {weights / 1e6:.1f} MB\n")
        rates(folder, arguments)


def make_model(folder: Path, arguments: argparse.Namespace) -> None:
    """A model folder with the backbone's real weights."""
    backbone = create_backbone(
        BackboneSpec("timm:mobilenetv2_100", arguments.weights, {"pad_type": "same"}, mean=(0.5,), std=(0.5,))
    )
    vectors = np.random.default_rng(0).normal(scale=0.4, size=(arguments.labels, E)).astype(np.float32)
    record = SourceRecord("absent.txt", "sha256:0", "word_vectors", E, composition="mean")
    words = tuple(f"w{at}" for at in range(arguments.labels))
    table = LabelEmbeddings(words, vectors, ("whole",) * len(words), Provenance((record,)))
    decoder = zsmld.MLDecoder(backbone.channels, label_features=E, width=256, feed_forward=256, centred=True)
    head = TwoPathHead(linear_path(backbone.channels, vectors), decoder, gate=0.5)
    save_model(folder, ZeroShotModel(backbone, head), seen=words, labels=table, backbone_trained=False, about={})


def linear_path(channels: int, vectors: np.ndarray) -> LinearPath:
    """All that a linear path can have, with random numbers of a plausible scale."""
    path = LinearPath(channels, E, len(vectors), bilinear=True, convex=True, sharpness=1.0, best=10, standardised=True)
    for name, buffer in path.named_buffers():
        buffer.copy_(torch.randn(buffer.shape) / (channels**0.5 if buffer.ndim == 2 else 10))
        if name in ("deviation", "scale"):
            buffer.fill_(1.0)
    path.seen.copy_(nn.functional.normalize(torch.from_numpy(vectors) - path.centre))
    path.moment_covariance.copy_(path.moment_covariance @ path.moment_covariance.T)
    return path


def rates(folder: Path, arguments: argparse.Namespace) -> None:
    """Images a second of each contender, and how they stand to each other."""
    trained = load_model(folder / "model")
    assert trained.labels is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    words = torch.from_numpy(trained.labels.vectors)
    known = trained.model.for_inference(words)
    print(f"| batch | {PLAIN}, images/s | {PREDICT} | {ONNX} | x plain | x predict | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for batch in map(int, arguments.batches.split(",")):
        images = torch.randn(batch, 3, SIDE, SIDE)
        inputs = {"images": images.numpy(), "label_embeddings": trained.labels.vectors}

        @torch.inference_mode()
        def plain(images: torch.Tensor = images) -> torch.Tensor:
            logits: torch.Tensor = trained.model(images, words)
            return logits

        @torch.inference_mode()
        def predict(images: torch.Tensor = images) -> torch.Tensor:
            return known(images)

        def onnx(inputs: dict[str, np.ndarray] = inputs) -> np.ndarray:
            (logits,) = session.run(["logits"], inputs)
            found: np.ndarray = logits
            return found

        apart = np.abs(onnx() - plain().numpy()).max()
        seconds = in_turns({PLAIN: plain, PREDICT: predict, ONNX: onnx}, arguments.rounds)
        shown = " | ".join(f"{batch / statistics.median(seconds[name]):.1f}" for name in (PLAIN, PREDICT, ONNX))
        print(f"| {batch} | {shown} | {ratio(seconds, PLAIN, ONNX)} | {ratio(seconds, PREDICT, ONNX)} | {apart:.1e} |")


if __name__ == "__main__":
    main()
