"""Label embeddings from the text tower of a CLIP model, averaged over prompt templates.

After Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, section 3.1.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld import console, files
from zsmld.errors import InputError
from zsmld.labels.clip_models import load_clip
from zsmld.labels.embeddings import LabelEmbeddings, Provenance
from zsmld.labels.vocabulary import vocabulary_of

PROMPTS_AT_ONCE = 256


def read_templates(path: Path | None = None) -> tuple[str, ...]:
    """Prompt templates, one a line with exactly one `{}`; without `path`, those that ship with zsmld.

    Raises:
        InputError: no template, or a line without exactly one `{}`.
    """
    if path is None:
        text = resources.files("zsmld.labels").joinpath("templates", "photo.txt").read_text("utf-8")
    else:
        text = files.read_text(path)
    templates = []
    for number, line in enumerate(text.splitlines(), start=1):
        template = line.strip()
        if template and not template.startswith("#"):
            _check_template(template, path, number)
            templates.append(template)
    if not templates:
        raise InputError("holds no template, expected one a line such as 'a photo of a {}.'", path=path)
    return tuple(templates)


def _check_template(template: str, path: Path | None = None, line: int | None = None) -> None:
    if template.count("{}") != 1:
        problem = f"template {template!r} has {template.count('{}')} places for the label, expected one {{}}"
        raise InputError(problem, path=path, line=line)


def embed_clip_text(labels: Sequence[str], spec: str, *, templates: Sequence[str] | None = None) -> LabelEmbeddings:
    """Embed `labels` with a CLIP text tower.

    For each label, the text features of all its prompts are L2-normalised and averaged, and the mean is normalised
    again. Underscores of a label are written as spaces.

    Args:
        labels: L labels.
        spec: `open_clip:MODEL@WEIGHTS`, `open_clip:local-dir:FOLDER` or `open_clip:hf-hub:ORG/NAME`.
        templates: prompts with one `{}` each; by default those of `read_templates`.

    Raises:
        UsageError, InputError, EnvironmentFailure: as `load_clip`; a template without exactly one `{}`.
    """
    vocabulary = vocabulary_of(labels)
    chosen = read_templates() if templates is None else tuple(templates)
    if not chosen:
        raise InputError("no templates given, expected at least one such as 'a photo of a {}.'")
    for template in chosen:
        _check_template(template)
    model, tokenizer, source = load_clip(spec)
    return LabelEmbeddings(
        labels=vocabulary.labels,
        vectors=_features(model, tokenizer, vocabulary.labels, chosen),
        routes=(f"clip: {len(chosen)} templates",) * len(vocabulary),
        provenance=Provenance(source.spec, text_tower_digest(model), "clip_text", chosen),
    )


def _features(model: Any, tokenizer: Any, labels: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    import torch

    at_once = max(1, PROMPTS_AT_ONCE // len(templates))
    rows = []
    with torch.inference_mode(), console.progress("embedding labels", len(labels)) as meter:
        for start in range(0, len(labels), at_once):
            some = labels[start : start + at_once]
            prompts = [template.replace("{}", label.replace("_", " ")) for label in some for template in templates]
            pieces = [
                model.encode_text(tokenizer(prompts[at : at + PROMPTS_AT_ONCE]), normalize=True)
                for at in range(0, len(prompts), PROMPTS_AT_ONCE)
            ]
            mean = torch.cat(pieces).view(len(some), len(templates), -1).mean(dim=1)
            rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
            meter.advance(len(some))
    return np.concatenate(rows)


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
