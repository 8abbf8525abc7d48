"""Photographs of the labels that went best and worst, with where the decoder looked."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zsmld.datasets.records import Dataset
from zsmld.decoder.attention import attention_weights
from zsmld.decoder.model_folder import TrainedModel
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.report import LabelPictures, LabelResult, Photo
from zsmld.images.backbones import Backbone
from zsmld.images.opening import in_srgb, open_image

_BEST, _WORST, _PHOTOS = 4, 4, 2
_SIDE = 240  # pixels of a small picture
_DARKEST = 0.35


def pictures(
    trained: TrainedModel, dataset: Dataset, table: ScoreTable, results: tuple[LabelResult, ...], words: Tensor | None
) -> tuple[LabelPictures, ...]:
    """The unseen labels with the highest and the lowest average precision, best first.

    Of each the photographs that it scores highest, and of those that have it the one that it ranks highest, if it is
    not among them. None of a model that takes ready-made features: there are no photographs.
    """
    backbone = trained.model.backbone
    if not isinstance(backbone, Backbone):
        return ()
    there = [at for at, each in enumerate(results) if not each.seen and each.average_precision is not None]
    there.sort(key=lambda at: -(results[at].average_precision or 0.0))
    chosen = there if len(there) <= _BEST + _WORST else there[:_BEST] + there[-_WORST:]
    look = _Look(trained, backbone, words)
    found = []
    for at in chosen:
        photos = tuple(
            Photo(
                name=dataset.images[row],
                score=float(scipy.special.expit(table.scores[row, at])),
                true=bool(table.truth[row, at]),
                uri=_uri(look.over(dataset.root / dataset.images[row], at)),
            )
            for row in _rows(table.scores[:, at], table.truth[:, at])
        )
        found.append(LabelPictures(results[at].label, results[at].average_precision or 0.0, photos))
    return tuple(found)


def _rows(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> Iterator[int]:
    order = np.argsort(-scores, kind="stable")
    highest = [int(row) for row in order[:_PHOTOS]]
    yield from highest
    first_true = next(int(row) for row in order if truth[row])
    if first_true not in highest:
        yield first_true


@dataclass(frozen=True)
class _Look:
    """Where the decoder looks in photographs."""

    trained: TrainedModel
    backbone: Backbone
    words: Tensor | None

    def over(self, path: Path, label: int) -> Image.Image:
        """The photograph, small, and dark where the label does not look."""
        image = open_image(path)
        image.thumbnail((_SIDE, _SIDE))
        image = in_srgb(image)
        device = next(self.trained.model.parameters()).device
        with torch.inference_mode():
            tokens = self.backbone.encode_filled([self.backbone.preprocess.open(path)], 1)
            words = None if self.words is None else self.words[label : label + 1].to(device)
            weights = attention_weights(self.trained.model.head, tokens, words)[0, 0].float().cpu().numpy()
        return darkened(image, weights)


def darkened(image: Image.Image, weights: NDArray[np.float32]) -> Image.Image:
    """`image` with its brightness led by weights of a square grid of tokens (T,); as it is where T is no square."""
    side = isqrt(len(weights))
    if side * side != len(weights) or side == 1:
        return image
    low, high = float(weights.min()), float(weights.max())
    # The root: attention is often all but one peak.
    grid = np.sqrt((weights - low) / (high - low)) if high > low else np.ones_like(weights)
    small = Image.fromarray((255 * grid.reshape(side, side)).astype(np.uint8))
    light = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    factor = _DARKEST + (1 - _DARKEST) * light[..., None]
    return Image.fromarray((np.asarray(image, dtype=np.float32) * factor).astype(np.uint8))


def _uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
