"""CLIP without any training: the cosine of image and text, of the whole image and of its patches.

Global: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. Of patches
(`ClipBackbone` says which): a label scores as its most similar patch does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import console
from zsmld.datasets.records import Dataset
from zsmld.images.ahead import batches_ahead
from zsmld.images.clip_tower import ClipBackbone
from zsmld.labels.clip_models import load_clip
from zsmld.labels.clip_text import embed_prompts
from zsmld.labels.prompt_templates import read_templates

GLOBAL, PATCHES = "CLIP, whole image", "CLIP, best patch"


def clip_scores(
    spec: str, labels: Sequence[str], dataset: Dataset, *, device: torch.device, batch_size: int = 32
) -> dict[str, NDArray[np.float32]]:
    """Cosines (I,L) of every image and every label.

    Args:
        spec: `open_clip:MODEL@WEIGHTS` and its other forms.
        labels: L labels; their prompts are those of `embed-labels` by default.
        dataset: I images.
        device: where to compute.
        batch_size: images at a time.

    Returns:
        `GLOBAL`, and where the tower has a projection that patches can go through `PATCHES`.

    Raises:
        UsageError, InputError, EnvironmentFailure: as `load_clip`; an image that cannot be read.
    """
    clip = load_clip(spec)
    words, _, _ = embed_prompts(labels, clip, read_templates(), device=device.type)
    text = torch.from_numpy(words).to(device)
    backbone = ClipBackbone.of(clip).to(device)
    del clip  # its text tower is done with
    found: dict[str, list[Tensor]] = {}
    with torch.inference_mode(), console.progress("CLIP", len(dataset)) as meter:
        for images in batches_ahead(backbone.preprocess.open, dataset.image_paths(), batch_size):
            cosines = backbone(torch.stack(images).to(device)) @ text.T  # (B,1+T,L)
            found.setdefault(GLOBAL, []).append(cosines[:, 0].cpu())
            if backbone.tokens > 1:
                found.setdefault(PATCHES, []).append(cosines[:, 1:].amax(dim=1).cpu())
            meter.advance(len(images))
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}
