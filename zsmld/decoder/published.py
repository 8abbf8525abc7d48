"""Published ML-Decoder state dicts → ours.

The published module keeps its parts on `decoder`; a model that carries it as its head puts `head.` or `fc.` (and,
from a data-parallel run, `module.`) in front of every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zsmld.errors import InputError

_ANCHOR = "decoder.embed_standart.weight"
_LAYER = "decoder.layers.0."
_PARALLEL = "module."
_RENAMED = {
    "decoder.embed_standart.": "embed_tokens.",
    "wordvec_proj.": "queries.projection.",
    f"{_LAYER}norm1.": "layer.query_norm.",
    f"{_LAYER}norm2.": "layer.attention_norm.",
    f"{_LAYER}norm3.": "layer.feed_forward_norm.",
    f"{_LAYER}linear1.": "layer.expand.",
    f"{_LAYER}linear2.": "layer.contract.",
    f"{_LAYER}multihead_attn.out_proj.": "layer.attention.output.",
}


def convert_published(state_dict: Mapping[str, Tensor], heads: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments of `MLDecoder` and its state dict, from published tensors.

    Raises:
        InputError: a key is missing, or a tensor has a shape that no published head has.
    """
    published, _ = split_published(state_dict)
    width, in_features = _shape(published, _ANCHOR, 2)
    (feed_forward, _) = _shape(published, f"{_LAYER}linear1.weight", 2)
    arguments: dict[str, Any] = {
        "in_features": in_features, "width": width, "heads": heads, "feed_forward": feed_forward,
    }  # fmt: skip
    converted = {
        ours + key.removeprefix(theirs): tensor
        for key, tensor in published.items()
        for theirs, ours in _RENAMED.items()
        if key.startswith(theirs)
    }
    for part in ("weight", "bias"):
        stacked = _tensor(published, f"{_LAYER}multihead_attn.in_proj_{part}")
        if len(stacked) != 3 * width:
            raise InputError(f"in_proj_{part} has {len(stacked)} rows, expected 3 × {width}")
        for name, third in zip(("query", "key", "value"), stacked.chunk(3), strict=True):
            converted[f"layer.attention.{name}.{part}"] = third
    kind = _zero_shot if _tensor(published, "decoder.duplicate_pooling").ndim == 2 else _closed_set
    kind_arguments, kind_converted = kind(published, width)
    return arguments | kind_arguments, _complete(converted | kind_converted)


def _zero_shot(published: Mapping[str, Tensor], width: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    readout = {
        "readout.linear.weight": _tensor(published, "decoder.duplicate_pooling").T,  # (D,1) → (1,D)
        "readout.linear.bias": _tensor(published, "decoder.duplicate_pooling_bias"),
    }
    projected = "wordvec_proj.weight" in published
    label_features = _shape(published, "wordvec_proj.weight", 2)[1] if projected else width
    return {"label_features": label_features, "projected": projected}, readout


def _closed_set(published: Mapping[str, Tensor], width: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    groups, _, per_group = _shape(published, "decoder.duplicate_pooling", 3)
    (num_classes,) = _shape(published, "decoder.duplicate_pooling_bias", 1)
    if not groups <= num_classes <= groups * per_group:
        raise InputError(f"{num_classes} classes do not fit {groups} groups of {per_group}")
    queries = _tensor(published, "decoder.query_embed.weight")
    if queries.shape != (groups, width):
        raise InputError(f"query_embed has shape {tuple(queries.shape)}, expected ({groups}, {width})")
    converted = {
        "queries.weight": queries,
        "readout.weight": _tensor(published, "decoder.duplicate_pooling"),
        "readout.bias": _tensor(published, "decoder.duplicate_pooling_bias"),
    }
    return {"num_classes": num_classes, "groups": groups}, converted


def split_published(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The head's own entries, without what stands in front of their keys, and those of the backbone.

    Raises:
        InputError: no head is there, or several.
    """
    anchors = [key for key in state_dict if key == _ANCHOR or key.endswith("." + _ANCHOR)]
    if len(anchors) != 1:
        raise InputError(f"{len(anchors)} keys end in {_ANCHOR!r}, expected one: this is no published ML-Decoder")
    prefix = anchors[0].removesuffix(_ANCHOR)
    head = {key.removeprefix(prefix): tensor for key, tensor in state_dict.items() if key.startswith(prefix)}
    parallel = _PARALLEL if prefix.startswith(_PARALLEL) else ""
    others = {key.removeprefix(parallel): tensor for key, tensor in state_dict.items() if not key.startswith(prefix)}
    return head, others


def _tensor(published: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in published:
        raise InputError(f"the published state dict lacks {key!r}")
    return published[key]


def _shape(published: Mapping[str, Tensor], key: str, ndim: int) -> tuple[int, ...]:
    shape = tuple(_tensor(published, key).shape)
    if len(shape) != ndim:
        raise InputError(f"{key!r} has shape {shape}, expected {ndim} dimensions")
    return shape


def _complete(converted: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.detach().to(torch.float32).contiguous() for key, tensor in converted.items()}
