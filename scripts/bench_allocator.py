"""Images a second of a backbone with and without `zsmld.memory.keep_freed_memory`, interleaved.

python scripts/bench_allocator.py [--backbone mobilenetv2_100] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BATCH, BATCHES = 32, 4


def main() -> None:
    """Measure each setting in processes of its own, in turns, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=("default", "keep"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(arguments.backbone, keep=arguments.measure == "keep"))
        return
    rates: dict[str, list[float]] = {"default": [], "keep": []}
    for _ in range(arguments.rounds):
        for setting, measured in rates.items():
            command = [sys.executable, __file__, "--backbone", arguments.backbone, "--measure", setting]
            measured.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    ratios = [kept / default for kept, default in zip(rates["keep"], rates["default"], strict=True)]
    print("| allocator | images a second, median | all rounds |\n|---|---|---|")
    for setting, measured in rates.items():
        each = ", ".join(f"{rate:.1f}" for rate in measured)
        print(f"| {setting} | {statistics.median(measured):.1f} | {each} |")
    print(f"\nratio, median of the rounds: {statistics.median(ratios):.2f}")


def measure(name: str, *, keep: bool) -> float:
    """Images a second of one process on one thread."""
    import torch

    from zsmld.images.backbones import BackboneSpec, create_backbone
    from zsmld.memory import keep_freed_memory

    if keep:
        keep_freed_memory()
    torch.set_num_threads(1)
    backbone = create_backbone(BackboneSpec(f"timm:{name}", "random"))
    images = torch.randn(BATCH, 3, backbone.image_size, backbone.image_size)
    with torch.inference_mode():
        backbone(images)
        started = time.perf_counter()
        for _ in range(BATCHES):
            backbone(images)
    return BATCH * BATCHES / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
