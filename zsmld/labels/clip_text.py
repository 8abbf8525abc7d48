"""Label embeddings from the text tower of a CLIP model, averaged over prompt templates.

After Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, section 3.1.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld import console
from zsmld.labels.clip_encoding import encode
from zsmld.labels.clip_models import Clip, load_clip

# Prompts that are made, and sorted by length, at a time.
PROMPTS_SORTED = 4096


def embed_prompts(
    labels: Sequence[str], clip: str | Clip, templates: Sequence[str], *, device: str = "auto"
) -> tuple[NDArray[np.float32], str, str]:
    """Embed `labels` with a CLIP text tower.

    For each label, the text features of all its prompts are L2-normalised and averaged, and the mean is normalised
    again. Underscores of a label are written as spaces. Memory does not grow with labels × templates: some thousand
    prompts are made at a time.

    Args:
        labels: L labels.
        clip: `open_clip:MODEL@WEIGHTS`, `open_clip:local-dir:FOLDER` or `open_clip:hf-hub:ORG/NAME`; or a model that
            has been loaded, which is moved to the device.
        templates: prompts with one `{}` each.
        device: auto, cpu, cuda or mps.

    Returns:
        (L,E) float32 of length 1 each, the source with its path made absolute, and the text tower's digest.

    Raises:
        UsageError, InputError, EnvironmentFailure: as `load_clip` and `pick_device`.
    """
    # Word vectors need no torch, which takes seconds to import.
    from zsmld.devices import pick_device

    place = pick_device(device)
    clip = load_clip(clip) if isinstance(clip, str) else clip
    clip.model.to(place)
    return prompt_features(labels, clip, templates), clip.source.spec, text_tower_digest(clip.model)


def prompt_features(labels: Sequence[str], clip: Clip, templates: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of `embed_prompts`, computed where the model is."""
    import torch

    at_once = max(1, PROMPTS_SORTED // len(templates))
    means: list[torch.Tensor] = []
    cut: list[str] = []
    with torch.inference_mode(), console.progress("embedding prompts", len(labels) * len(templates)) as meter:
        for start in range(0, len(labels), at_once):
            some = [label.replace("_", " ") for label in labels[start : start + at_once]]
            prompts = [template.replace("{}", label) for label in some for template in templates]
            tokens = clip.tokenizer(prompts)
            cut += _cut_prompts(clip.tokenizer, tokens, prompts)
            encoded = []
            for rows, features in encode(clip.model, tokens):
                encoded.append((rows, features))
                meter.advance(len(rows))
            rows, features = (torch.cat(parts) for parts in zip(*encoded, strict=True))
            in_order = features[rows.argsort()].view(len(some), len(templates), -1)
            means.append(torch.nn.functional.normalize(in_order.mean(dim=1), dim=-1))
    if cut:
        console.warn(f"{len(cut)} prompts are longer than the text tower reads and were cut, the first: {cut[0]!r}")
    vectors: NDArray[np.float32] = torch.cat(means).numpy()
    return vectors


def _cut_prompts(tokenizer: Any, tokens: Any, prompts: Sequence[str]) -> list[str]:
    """Which prompts lost their end: those that fill the context and would go on in a longer one."""
    length = tokens.shape[1]
    padding = tokenizer([""])[0, -1]
    full = (tokens[:, -1] != padding).nonzero().flatten().tolist()
    return [prompts[row] for row in full if tokenizer([prompts[row]], context_length=length + 1)[0, -1] != padding]


def text_tower_digest(model: Any) -> str:
    """Digest of what the text tower computes: its parameters, and whether its activation is QuickGELU.

    The same weights give the same digest by whatever name or file they were loaded.
    """
    digest = hashlib.sha256()
    modules = [module for name, module in model.named_modules() if not name.startswith("visual")]
    digest.update(str(any(type(module).__name__ == "QuickGELU" for module in modules)).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(("visual.", "logit_")):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return f"sha256:{digest.hexdigest()}"
