"""Measure how backbones compute photographs on a processor: ours against one call of a whole batch.

One call of the whole batch, under `torch.inference_mode`, is what a plain script does, and what zsmld did before. Ours
is `Backbone.encode_filled`: eight images at a time, convolutions with the channels last, and weights
that are converted for bfloat16 once. Both take turns; weights are random.

    python scripts/bench_towers.py [--towers open_clip:ViT-B-32,timm:resnet50] [--batch 16] [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable

import torch
from timing import in_turns, ratio
from torch import Tensor

from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone

TOWERS = "open_clip:ViT-B-32,timm:resnet50,timm:mobilenetv2_100,timm:tresnet_m,timm:convnext_tiny"
WHOLE, OURS = "whole batch", "zsmld"


def main() -> None:
    """Print two tables: batches, and a single photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towers", default=TOWERS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}\n")
    print(
        "| tower | precision | images | whole batch, images a second | ours | times faster |\n|---|---|---|---|---|---|"
    )
    for name in arguments.towers.split(","):
        backbone = create_backbone(BackboneSpec(name, "random")).eval()
        for dtype in (torch.float32, torch.bfloat16):
            for count in (arguments.batch, 1):
                compare(backbone, dtype, count, arguments)


def compare(backbone: Backbone, dtype: torch.dtype, count: int, arguments: argparse.Namespace) -> None:
    """Print one row: `count` photographs in batches of `arguments.batch`."""
    converted = backbone.converted(dtype)
    images = list(torch.randn(count, 3, backbone.image_size, backbone.image_size))
    both: dict[str, Callable[[], object]] = {
        WHOLE: lambda: whole(backbone, images, arguments.batch, dtype),
        OURS: lambda: converted.encode_filled(images, arguments.batch, dtype),
    }
    seconds = in_turns(both, arguments.rounds)
    rates = " | ".join(f"{count / statistics.median(seconds[side]):.1f}" for side in (WHOLE, OURS))
    kind = str(dtype).removeprefix("torch.")
    print(f"| {backbone.config['name']} | {kind} | {count} | {rates} | {ratio(seconds, WHOLE, OURS)} |", flush=True)


@torch.inference_mode()
def whole(backbone: Backbone, images: list[Tensor], batch: int, dtype: torch.dtype) -> Tensor:
    """Tokens of a batch that is filled up and computed in one call."""
    filled = torch.stack([*images, *[torch.zeros_like(images[0])] * (batch - len(images))])
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        tokens: Tensor = backbone(filled)
    return tokens


if __name__ == "__main__":
    main()
