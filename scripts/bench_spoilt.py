"""Many photographs, some of them spoilt: what `zsmld predict` makes of them, what it needs, and what a kill costs.

    python scripts/bench_spoilt.py --folder DIR --photographs 10000 --spoilt 500

Draws JPEGs in DIR, spoils some in a dozen ways, and runs the command line on a model with random weights (timm's
MobileNetV2 at 96 pixels, a decoder of the default size):

1. all of them: one error record for each spoilt one;
2. the sound ones alone: the same records to the last byte;
3. all of them again, killed (SIGKILL) several times and resumed: the same file to the last byte.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import save_model
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord

WORDS = tuple(f"word {number}" for number in range(81))


def draw(path: Path, number: int) -> None:
    """A small photograph like no other."""
    rng = np.random.default_rng(number)
    noise = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(
        (480, 360), Image.Resampling.BICUBIC
    )
    corners = rng.integers(0, 300, 2).tolist()
    ImageDraw.Draw(noise).ellipse(
        (*corners, corners[0] + 90, corners[1] + 60), fill=tuple(rng.integers(0, 255, 3).tolist())
    )
    noise.save(path, quality=85)


def spoilt(data: bytes, way: int, number: int) -> bytes:
    """A photograph's bytes, spoilt in one of a dozen ways, all of which no viewer could show."""
    size = data.index(b"\xff\xc0") + 5  # where the frame header has height and width
    return [
        b"",
        data[:2],
        data[: len(data) // 3],
        data[: len(data) - 400],
        b"\0" * len(data),
        np.random.default_rng(number).bytes(len(data)),
        b"<!DOCTYPE html><title>404 Not Found</title>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        data[:size] + b"\0\0\0\0" + data[size + 4 :],
        data[:size] + b"\xff\xff\xff\xff" + data[size + 4 :],
        b"\x89PNG\r\n\x1a\n" + data[8:],
        data[1:],
    ][way % 12]


def make_photographs(folder: Path, count: int, bad: int) -> set[str]:
    """Draw them where they are not there yet; the names of the spoilt ones."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = set(np.random.default_rng(0).choice(count, bad, replace=False).tolist())
    names = set()
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        if not path.exists():
            draw(path, number)
            if number in chosen:
                path.write_bytes(spoilt(path.read_bytes(), number, number))
        if number in chosen:
            names.add(path.name)
    return names


def make_model(folder: Path) -> None:
    """A model that nobody trained."""
    torch.manual_seed(0)
    backbone = create_backbone(BackboneSpec("timm:mobilenetv2_100", "random", image_size=96))
    head = MLDecoder(backbone.channels, label_features=300, width=256, heads=8, feed_forward=256, centred=True)
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 300)).astype(np.float32)
    source = SourceRecord("vectors.txt", "sha256:0", "word_vectors", 300, composition="mean")
    table = LabelEmbeddings(WORDS, vectors, ("whole",) * len(WORDS), Provenance((source,)))
    model = ZeroShotModel(backbone, head)
    save_model(folder, model, seen=WORDS[:60], labels=table, backbone_trained=False, about={})


def command(output: Path, *more: str) -> list[str]:
    """The command line."""
    return [
        sys.executable, "-m", "zsmld", "predict", "photographs", "--labels", "words.txt", "--model", "model",
        "--format", "jsonl", "--output", str(output), "--top-k", "0", "--device", "cpu", "--quiet", *more,
    ]  # fmt: skip


def run(folder: Path, output: Path, *more: str) -> tuple[int, float, float]:
    """Exit code, seconds, and MiB of memory at most."""
    started = time.monotonic()
    process = subprocess.Popen(command(output, *more), cwd=folder, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.monotonic() - started, usage.ru_maxrss / 1024


def killed(folder: Path, output: Path, times: int, total: int) -> int:
    """Kill a run several times, the last time when it has nearly done; how often that came about."""
    journal, hits = output.with_name(output.name + ".partial"), 0
    for number in range(times):
        more = ("--resume",) if journal.exists() else ()
        process = subprocess.Popen(command(output, *more), cwd=folder, stderr=subprocess.DEVNULL)
        wanted = total * (number + 1) // (times + 1)
        while process.poll() is None and lines(journal) < wanted:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        hits += process.wait() == -signal.SIGKILL
    return hits


def lines(path: Path) -> int:
    """Of a file that may not be there yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> None:
    """Run all of it, and fail where something is not as it is to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--photographs", type=int, default=10_000)
    parser.add_argument("--spoilt", type=int, default=500)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    bad = make_photographs(folder / "photographs", arguments.photographs, arguments.spoilt)
    make_model(folder / "model")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")

    everything, sound, resumed = (folder / f"{name}.jsonl" for name in ("all", "sound", "resumed"))
    for path in (everything, sound, resumed):
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".partial").unlink(missing_ok=True)
    code, seconds, memory = run(folder, everything)
    records = [json.loads(line) for line in everything.read_text().splitlines()]
    failed = {Path(each["path"]).name: each["error"] for each in records if "error" in each}
    rate = arguments.photographs / seconds
    print(f"all: exit code {code}, {seconds:.0f} s ({rate:.0f} photographs/s), {memory:.0f} MiB at most")
    print(f"error records: {len(failed)}, of spoilt photographs {len(bad)}, the same ones: {failed.keys() == bad}")
    for problem, count in Counter(error.partition(":")[0] for error in failed.values()).most_common():
        print(f"  {count:4d}  {problem}")

    aside = folder / "spoilt"
    aside.mkdir(exist_ok=True)
    for name in bad:
        (folder / "photographs" / name).rename(aside / name)
    code, _, memory = run(folder, sound)
    for name in bad:
        (aside / name).rename(folder / "photographs" / name)
    kept = [line for line in everything.read_bytes().splitlines() if b'"error": ' not in line]
    same = kept == sound.read_bytes().splitlines()
    print(f"sound ones alone: exit code {code}, {memory:.0f} MiB, records the same to the last byte: {same}")

    hits = killed(folder, resumed, 3, arguments.photographs)
    code, _, memory = run(folder, resumed, "--resume")
    again = everything.read_bytes() == resumed.read_bytes()
    print(f"killed {hits} times and resumed: exit code {code}, the same file to the last byte: {again}")
    assert failed.keys() == bad and same and again


if __name__ == "__main__":
    main()
