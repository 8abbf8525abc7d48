"""How the benchmarks time: contenders take turns, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def in_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu", *, unused: int = 1
) -> dict[str, list[float]]:
    """Seconds of each contender by round; the first `unused` rounds do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(unused + rounds):
        for name, contender in contenders.items():
            finish(device)
            began = time.perf_counter()
            contender()
            finish(device)
            if turn >= unused:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def finish(device: str) -> None:
    """Wait for what a GPU still has to do."""
    if device != "cpu":
        torch.cuda.synchronize()


def ratio(seconds: Mapping[str, list[float]], theirs: str, ours: str) -> str:
    """How many times longer theirs takes: median and range of the rounds."""
    ratios = sorted(other / own for other, own in zip(seconds[theirs], seconds[ours], strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
