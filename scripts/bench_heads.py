"""Five heads side by side, from 20 to 21,000 classes: parameters, arithmetic, time and memory, and how each grows.

Sizes of the paper (C 2048, D 768, F 2048, H 8, T 49). FLOPs are two a multiplication, of one image in inference as
PyTorch's counter sees them; times are of a batch in inference (`for_inference`) and of a training step, contenders in
turns; memory is what one training step adds to a process of its own. What would take more than a minute a step by its
arithmetic, or more memory than there is, is left out and says so.

    python scripts/bench_heads.py [--classes 20,80,320,1000,5000,21000] [--images 4] [--rounds 5] [--plots FOLDER]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from heads import HEADS, QUERY2LABEL, ZERO_SHOT, build
from svg_plot import Panel, draw
from timing import in_turns
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zsmld.training.loss import asymmetric_loss
from zsmld.training.step import backward_in_chunks

C, E, T = 2048, 300, 49
SIZES = {"width": 768, "heads": 8, "feed_forward": 2048}
# Seconds of a step that are waited for, at what two cores do a second; and bytes that a step may take.
LONGEST, RATE, MOST = 60.0, 1e11, 16 * 2**30
COLUMNS = ("parameters", "GFLOP an image", "inference, ms an image", "training, ms an image", "memory, MiB")


def main() -> None:
    """Print a table for each number of classes and draw the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", default="20,80,320,1000,5000,21000")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plots", type=Path, help="folder for heads.svg")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # PyTorch's shortcut for inference keeps all attention weights, which its other way does not, and is not counted.
    torch.backends.mha.set_fastpath_enabled(False)
    counts = [int(text) for text in arguments.classes.split(",")]
    if arguments.one is not None:
        print(memory_of_a_step(HEADS[arguments.one], counts[0], arguments.images))
        return
    machine = torch.cuda.get_device_name() if arguments.device != "cpu" else f"{arguments.threads} threads"
    print(f"{platform.machine()}, {machine}, torch {torch.__version__}, B {arguments.images}, T {T}, C {C}, {SIZES}\n")
    found: dict[str, dict[str, list[tuple[float, float]]]] = {column: {} for column in COLUMNS}
    print("| classes | head | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 2) + "|")
    for classes in counts:
        for name, figures in side_by_side(classes, arguments).items():
            cells = [_told(column, figures.get(column)) for column in COLUMNS]
            print(f"| {classes} | {name} | " + " | ".join(cells) + " |", flush=True)
            for column, value in figures.items():
                found[column].setdefault(name, []).append((classes, value))
    if arguments.plots is not None:
        panels = [Panel(column, "classes", column, found[column]) for column in COLUMNS if found[column]]
        (arguments.plots / "heads.svg").write_text(draw(panels), "utf-8")


def side_by_side(classes: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Figures of every head at one number of classes."""
    torch.manual_seed(0)
    figures: dict[str, dict[str, float]] = {}
    contenders: dict[str, Any] = {}
    tokens = torch.randn(arguments.images, T, C, device=arguments.device)
    words = torch.randn(classes, E, device=arguments.device)
    for name in HEADS:
        head = build(name, C, classes, E, SIZES).to(arguments.device).eval().requires_grad_(False)
        given = words if name == ZERO_SHOT else None
        trained = sum(parameter.numel() for parameter in head.parameters())
        figures[name] = {"parameters": trained, "GFLOP an image": flops(head, tokens[:1], given) / 1e9}
        seconds = figures[name]["GFLOP an image"] * 1e9 * arguments.images / RATE
        if seconds < LONGEST:
            contenders[f"inference {name}"] = partial(head.for_inference(given), tokens)  # type: ignore[operator]
        if 3 * seconds < LONGEST and needed(name, classes, arguments.images) < MOST:
            contenders[f"training {name}"] = partial(step, build(name, C, classes, E, SIZES), tokens, given, classes)
            if arguments.device == "cpu":
                figures[name]["memory, MiB"] = peak_of(name, classes, arguments) / 2**20
    for contender, rounds in in_turns(contenders, arguments.rounds, arguments.device).items():
        kind, _, name = contender.partition(" ")
        figures[name][f"{kind}, ms an image"] = 1e3 * statistics.median(rounds) / arguments.images
    return figures


def flops(head: nn.Module, tokens: Tensor, words: Tensor | None) -> float:
    """Of one image, the queries included."""
    with FlopCounterMode(display=False) as counter:
        head(tokens, words)
    return float(counter.get_total_flops())


def needed(name: str, classes: int, images: int) -> float:
    """Bytes that a training step keeps, by the largest of it: attention among the classes with its dropout."""
    activations = 4.0 * images * classes * (2 * SIZES["feed_forward"] + 8 * SIZES["width"])
    if name == QUERY2LABEL:
        return activations + 3 * 4.0 * images * SIZES["heads"] * classes**2
    return activations if name not in (ZERO_SHOT,) else 0.0


def step(head: nn.Module, tokens: Tensor, words: Tensor | None, classes: int) -> None:
    """Forward, asymmetric loss, backward; the zero-shot head with its labels in chunks."""
    head.to(tokens.device).train()
    targets = torch.zeros(len(tokens), classes, device=tokens.device)
    targets[:, :3] = 1
    head.zero_grad(set_to_none=True)
    backward_in_chunks(head, tokens, words, lambda logits, at: asymmetric_loss(logits, targets[:, at]))  # type: ignore[arg-type]


def memory_of_a_step(name: str, classes: int, images: int) -> int:
    """Bytes that a head and one step of training add to this process, at the highest."""
    tokens, words = torch.randn(images, T, C), torch.randn(classes, E) if name == ZERO_SHOT else None
    # What libraries load the first time.
    step(build(name, C, 20, E, dict.fromkeys(SIZES, 8)), tokens, None if words is None else words[:20], 20)
    before = _peak()
    step(build(name, C, classes, E, SIZES), tokens, words, classes)
    return _peak() - before


def _peak() -> int:
    """Bytes. Not getrusage: what that tells begins with the memory of the process that started this one."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def peak_of(name: str, classes: int, arguments: argparse.Namespace) -> int:
    """`memory_of_a_step` in a process of its own."""
    command = [sys.executable, __file__, "--one", str(HEADS.index(name)), "--classes", str(classes)]
    finished = subprocess.run([*command, "--images", str(arguments.images)], capture_output=True, text=True, check=True)
    return int(finished.stdout)


def _told(column: str, value: float | None) -> str:
    if value is None:
        return "left out"
    if column == "parameters":
        return f"{value / 1e6:.2f} M"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
