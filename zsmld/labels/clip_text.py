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
from zsmld.labels.clip_models import load_clip

PROMPTS_AT_ONCE = 256


def embed_prompts(
    labels: Sequence[str], spec: str, templates: Sequence[str], *, device: str = "auto"
) -> tuple[NDArray[np.float32], str, str]:
    """Embed `labels` with a CLIP text tower.

    For each label, the text features of all its prompts are L2-normalised and averaged, and the mean is normalised
    again. Underscores of a label are written as spaces. Memory does not grow with labels × templates: prompts are made
    and encoded a batch at a time.

    Args:
        labels: L labels.
        spec: `open_clip:MODEL@WEIGHTS`, `open_clip:local-dir:FOLDER` or `open_clip:hf-hub:ORG/NAME`.
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
    model, tokenizer, source = load_clip(spec)
    digest = text_tower_digest(model)
    return _features(model.to(place), tokenizer, labels, templates), source.spec, digest


def _features(model: Any, tokenizer: Any, labels: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    import torch

    place = next(model.parameters()).device
    at_once = max(1, PROMPTS_AT_ONCE // len(templates))
    rows = np.empty((len(labels), 0), np.float32)
    cut: list[str] = []
    with torch.inference_mode(), console.progress("embedding labels", len(labels)) as meter:
        for start in range(0, len(labels), at_once):
            some = labels[start : start + at_once]
            prompts = [template.replace("{}", label.replace("_", " ")) for label in some for template in templates]
            pieces = []
            for at in range(0, len(prompts), PROMPTS_AT_ONCE):
                tokens = tokenizer(prompts[at : at + PROMPTS_AT_ONCE])
                cut += _cut_prompts(tokenizer, tokens, prompts[at : at + PROMPTS_AT_ONCE])
                pieces.append(model.encode_text(tokens.to(place), normalize=True).float())
            mean = torch.cat(pieces).view(len(some), len(templates), -1).mean(dim=1)
            features = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
            if not start:
                rows = np.empty((len(labels), features.shape[1]), np.float32)
            rows[start : start + len(some)] = features
            meter.advance(len(some))
    if cut:
        console.warn(f"{len(cut)} prompts are longer than the text tower reads and were cut, the first: {cut[0]!r}")
    return rows


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
