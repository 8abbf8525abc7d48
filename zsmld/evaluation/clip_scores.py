"""CLIP without any training: the cosine of image and text, of the whole image and of its patches.

Global: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. Of patches: each
patch token goes through the projection that the pooled token goes through (Zhou et al., "Extract Free Dense Labels from
CLIP", ECCV 2022), and a label scores as its most similar patch does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zsmld import console
from zsmld.datasets.records import Dataset
from zsmld.images.ahead import batches_ahead
from zsmld.images.backbones import BackboneSpec, create_backbone
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
        UsageError, InputError, EnvironmentFailure: as `create_backbone`; an image that cannot be read.
    """
    words, _, _ = embed_prompts(labels, spec, read_templates(), device=device.type)
    text = torch.from_numpy(words).to(device)
    backbone = create_backbone(BackboneSpec(spec)).to(device)
    found: dict[str, list[Tensor]] = {}
    with torch.inference_mode(), console.progress("CLIP", len(dataset)) as meter:
        for images in batches_ahead(backbone.preprocess.open, dataset.image_paths(), batch_size):
            for name, scores in _of_batch(backbone.tower, torch.stack(images).to(device), text).items():
                found.setdefault(name, []).append(scores.float().cpu())
            meter.advance(len(images))
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def _of_batch(visual: Any, images: Tensor, text: Tensor) -> dict[str, Tensor]:
    """(B,L) each."""
    both = visual.forward_intermediates(images, indices=1, normalize_intermediates=True, output_fmt="NCHW")
    scores = {GLOBAL: F.normalize(both["image_features"], dim=-1) @ text.T}
    patches = _projected(visual, both["image_intermediates"][0].flatten(2).transpose(1, 2))
    if patches is not None:
        scores[PATCHES] = (F.normalize(patches, dim=-1) @ text.T).amax(dim=1)
    return scores


def _projected(visual: Any, tokens: Tensor) -> Tensor | None:
    """(B,T,C) → (B,T,E): what the pooled token goes through last, for every patch; None of a tower of another kind."""
    projected: Tensor | None = None
    if isinstance(getattr(visual, "proj", None), Tensor) and getattr(visual, "attn_pool", None) is None:
        projected = tokens @ visual.proj
    pool = getattr(visual, "attnpool", None)
    if pool is not None:
        # Attention that each position pays to itself alone leaves its value.
        projected = pool.c_proj(pool.v_proj(tokens))
    return projected
