"""Short lists for huge vocabularies: when one is used, and how one is made for a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsmld import console, hub
from zsmld.decoder.model_folder import TrainedModel
from zsmld.decoder.scoring import photographic
from zsmld.decoder.short_list import TOP
from zsmld.decoder.short_list_fit import Calibration, calibrate
from zsmld.errors import UsageError
from zsmld.images.backbones import Backbone
from zsmld.images.opening import ImageError

# A vocabulary from which on `auto` uses a short list.
LARGE = 10_000
# Photographs that one is made with; the vocabulary is decoded in full for each.
PHOTOGRAPHS = 96
_AT_ONCE = 16


def usable_short_list(folder: Path, labels: int, top_k: int, asked: str) -> Calibration | None:
    """The short list of a model where it is to be used, and None otherwise; says what it is worth.

    Args:
        folder: the model folder.
        labels: L.
        top_k: K, 0 for all.
        asked: auto, on or off.

    Raises:
        UsageError: it is asked for, and there is none, or K is too large for it.
        InputError: it cannot be read, or was made for other weights.
    """
    fits = 0 < top_k <= TOP
    if asked == "off" or (asked == "auto" and (labels < LARGE or not fits)):
        return None
    if not fits:
        raise UsageError(f"a short list finds the best {TOP} labels, --top-k is {top_k}", remedy="Lower --top-k.")
    found = Calibration.load(folder)
    remedy = "Make one with zsmld short-list."
    if found is None and asked == "on":
        raise UsageError("the model has no short list", path=folder, remedy=remedy)
    if found is None:
        console.info(f"decoding all of {labels} labels: the model has no short list. {remedy}")
    else:
        console.info(found.told())
    return found


def make_short_list(
    trained: TrainedModel, paths: Sequence[Path], label_embeddings: Tensor, device: torch.device
) -> Calibration:
    """Fit and measure a short list on some of the photographs, and keep it in the model folder.

    Args:
        trained: a model that takes photographs.
        paths: what the photographs are drawn from.
        label_embeddings: (L,E) of the vocabulary.
        device: where to compute.

    Raises:
        UsageError: too few photographs that can be read, or too few labels; a model in the hub's cache.
    """
    if (repository := hub.repository_of(trained.folder)) is not None:
        raise UsageError(
            f"{repository} lies in the hub's cache, where nothing is written",
            remedy=f"Fetch it with zsmld pull {repository} first.",
        )
    trained.model.to(device)
    drawn = np.random.default_rng(0).permutation(len(paths))[:PHOTOGRAPHS]
    tokens = _tokens(photographic(trained), [paths[row] for row in drawn])
    found = calibrate(trained.model.score_for(label_embeddings.to(device)), tokens.to(device))
    found.save(trained.folder)
    return found


def _tokens(backbone: Backbone, paths: Sequence[Path]) -> Tensor:
    """(I,T,C) of the photographs that can be read."""
    images = []
    for path in paths:
        try:
            images.append(backbone.preprocess.open(path))
        except ImageError as error:
            console.warn(f"left out: {error}")
    parts = [backbone.encode(images[at : at + _AT_ONCE], _AT_ONCE) for at in range(0, len(images), _AT_ONCE)]
    return torch.cat([torch.empty(0, backbone.tokens, backbone.channels), *parts])
