"""Peak memory of `zsmld embed-labels` against the number of labels, for a small CLIP text tower and for word vectors.

python scripts/bench_embed_labels.py [--labels 1000,20000]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH = 300


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="1000,20000")
    counts = [int(text) for text in parser.parse_args().labels.split(",")]
    print("| source | labels | seconds | peak memory, MiB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = make_words(max(counts))
        # In a process of its own: what a process forks from counts as its own peak.
        clip = folder / "clip"
        making = multiprocessing.get_context("spawn").Process(target=make_clip, args=(clip,))
        making.start()
        making.join()
        sources = {
            "CLIP text, 7 templates": (f"open_clip:local-dir:{clip}", "--templates", "imagenet-7"),
            "word vectors": (str(make_vectors(folder, words)),),
        }
        for told, (source, *options) in sources.items():
            for count in counts:
                (folder / "labels.txt").write_text("\n".join(words[:count]) + "\n")
                seconds, peak = embed(folder, source, *options)
                print(f"| {told} | {count} | {seconds:.0f} | {peak / 1024:.0f} |", flush=True)


def make_words(count: int) -> list[str]:
    """Made-up words of letters, no two alike."""
    letters = np.random.default_rng(0).integers(0, 26, (count, 6)) + ord("a")
    return [f"{bytes(row.astype(np.uint8)).decode()}{chr(97 + n % 26)}{n}" for n, row in enumerate(letters)]


def make_clip(clip: Path) -> None:
    """A CLIP model with a small text tower and random weights, as open_clip keeps one in a folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 512,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
    }
    torch.manual_seed(0)
    state = open_clip.CLIP(**config).state_dict()
    clip.mkdir()
    save_file({name: value.contiguous() for name, value in state.items()}, clip / "open_clip_model.safetensors")
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def make_vectors(folder: Path, words: list[str]) -> Path:
    """GloVe text with a row a word, and as many again."""
    rng = np.random.default_rng(0)
    path = folder / "vectors.txt"
    with path.open("w") as stream:
        for word in [*words, *(f"other{n}" for n in range(len(words)))]:
            stream.write(f"{word} {' '.join(f'{x:.5f}' for x in rng.normal(size=WIDTH))}\n")
    return path


def embed(folder: Path, source: str, *options: str) -> tuple[float, int]:
    """Run `zsmld embed-labels`: seconds, and its peak resident memory in KiB (Linux)."""
    command = [sys.executable, "-m", "zsmld", "embed-labels", "labels.txt", "--source", source, *options]
    started = time.monotonic()
    process = subprocess.Popen([*command, "--output", "out.safetensors", "--force", "--quiet"], cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit("bench_embed_labels: zsmld embed-labels failed")
    return time.monotonic() - started, usage.ru_maxrss


if __name__ == "__main__":
    main()
