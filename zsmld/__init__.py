"""zsmld: tag images with any words.

    words ──labels──► label embeddings (L,E) ──┐
                                               ▼
    files ──images──► image tokens (B,T,C) ──► decoder ──► logits (B,L) ──► scores ──► evaluation or prediction
                                               ▲
                             training fits it on the seen labels only

The vocabulary is an argument of the model, never hidden state and never the shape of a parameter. Shape letters,
the same everywhere: B images, T image tokens, C backbone width, L labels, E label-embedding width, D decoder
width, H heads, F feed-forward width.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zsmld.decoder.conversion import convert
    from zsmld.decoder.head import MLDecoder
    from zsmld.decoder.replace import replace_head
    from zsmld.decoder.sharing import pull, push
    from zsmld.evaluation.run import evaluate
    from zsmld.evaluation.scores import evaluate_scores
    from zsmld.labels.doctor import check_labels
    from zsmld.labels.embeddings import LabelEmbeddings
    from zsmld.labels.sources import embed_labels
    from zsmld.prediction.tagging import ZeroShotTagger
    from zsmld.training.run import train

__version__ = "0.1.0"

__all__ = [
    "LabelEmbeddings", "MLDecoder", "ZeroShotTagger", "check_labels", "convert", "embed_labels", "evaluate",
    "evaluate_scores", "pull", "push", "replace_head", "train",
]  # fmt: skip

# Imported when first used: `zsmld --help` must not wait for torch.
_HOMES = {
    "LabelEmbeddings": "zsmld.labels.embeddings",
    "MLDecoder": "zsmld.decoder.head",
    "ZeroShotTagger": "zsmld.prediction.tagging",
    "check_labels": "zsmld.labels.doctor",
    "convert": "zsmld.decoder.conversion",
    "embed_labels": "zsmld.labels.sources",
    "evaluate": "zsmld.evaluation.run",
    "evaluate_scores": "zsmld.evaluation.scores",
    "pull": "zsmld.decoder.sharing",
    "push": "zsmld.decoder.sharing",
    "replace_head": "zsmld.decoder.replace",
    "train": "zsmld.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsmld' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
