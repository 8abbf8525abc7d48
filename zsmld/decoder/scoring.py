"""Images of a data set, or photographs → logits, with a trained model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zsmld import console, distributed, files
from zsmld.datasets.records import Dataset
from zsmld.decoder.model import Scoring
from zsmld.decoder.model_folder import TrainedModel
from zsmld.decoder.short_list import ShortList
from zsmld.decoder.short_list_fit import Calibration
from zsmld.errors import InputError
from zsmld.images.ahead import ahead, batches_ahead
from zsmld.images.backbones import Backbone
from zsmld.images.features import Features, GivenTokens
from zsmld.images.opening import ImageError
from zsmld.images.photo_index import PhotoIndex
from zsmld.images.token_cache import TokenCache, TokenStore

# Batches of an index that wait.
_READ_AHEAD = 2
Photograph = Path | Image.Image


@dataclass(frozen=True)
class TokenBatch:
    """One batch of photographs as tokens.

    Attributes:
        rows: which photographs of a list, of all that could be read.
        places: where their tokens are in `tokens`.
        tokens: (B,T,C), always a whole batch; what is at no place is of blank images. None where none could be read.
        errors: the photographs of the batch that could not be read, by row.
    """

    rows: list[int]
    places: list[int]
    tokens: Tensor | None
    errors: Mapping[int, ImageError]


@dataclass(frozen=True)
class Scored:
    """One batch of photographs and labels.

    Attributes:
        batch: the photographs.
        logits: (n,L) of these; with a short list (n,K) of the best labels, best first.
        labels: (n,K), which labels these are; None without a short list.
    """

    batch: TokenBatch
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None


def score_dataset(
    trained: TrainedModel,
    dataset: Dataset,
    label_embeddings: Tensor | None,
    *,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> NDArray[np.float32]:
    """Logits (I,L) of a data set; tokens are its own, or come from the cache where the backbone is a frozen one.

    Without label embeddings those of all classes of a closed-set model.

    Raises:
        InputError: an image cannot be read: a figure over fewer images than asked for would be another figure. Or the
            model was trained on tokens of another kind.
    """
    _check_kind(trained, dataset)
    trained.model.to(device)
    logits = np.zeros((len(dataset), _columns(trained, label_embeddings)), dtype=np.float32)
    score = _head(trained, label_embeddings, device, dtype)
    with console.progress("scoring", len(dataset)) as meter:
        for rows, tokens in token_blocks(trained, dataset, batch_size, dtype):
            logits[rows] = _numbers(score(tokens.to(device)))[: len(rows)]
            meter.advance(len(rows) * distributed.size())
    distributed.add_up_rows(logits)
    return logits


def token_blocks(
    trained: TrainedModel, dataset: Dataset, batch_size: int, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Rows (n,) and their tokens (n,T,C), of all images of a data set, or of this process's share of them.

    Those of a backbone that was trained along are of whole batches, and more than the rows: see `encode_filled`.

    Raises:
        InputError: an image cannot be read.
    """
    starts = distributed.share(-(-len(dataset) // batch_size)) * batch_size
    blocks = [np.arange(at, min(at + batch_size, len(dataset))) for at in starts]
    if dataset.features is None and trained.backbone_trained:
        # What the cache holds are tokens of published weights.
        backbone = photographic(trained).converted(dtype)
        paths = dataset.image_paths()
        own = [paths[row] for rows in blocks for row in rows]
        batches = batches_ahead(backbone.preprocess.open, own, batch_size)
        for rows, images in zip(blocks, batches, strict=True):
            yield rows, backbone.encode_filled(images, batch_size, dtype)
        return
    store: Features | TokenStore | None = dataset.features
    if store is None:
        store = TokenCache(files.cache_folder(), photographic(trained)).fill(dataset.image_paths())
    for rows in blocks:
        yield rows, torch.from_numpy(store.read(rows))


def photograph_batches(
    backbone: Backbone,
    photographs: Sequence[Photograph],
    *,
    batch_size: int,
    first: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Iterator[TokenBatch]:
    """Batch after batch, in order; what cannot be read is reported with its batch, not raised.

    A photograph's place in its batch is that in the list, whether those before it could be read or not: what comes of
    it is the same to the last bit.

    Args:
        backbone: on the device that it is to compute on.
        photographs: files, or images as they are.
        batch_size: B.
        first: the row to begin with.
        dtype: see `Backbone.encode_filled`.
    """
    backbone = backbone.converted(dtype)
    preprocess = backbone.preprocess

    def decode(photograph: Photograph) -> Tensor | ImageError:
        try:
            return preprocess.open(photograph) if isinstance(photograph, Path) else preprocess(photograph)
        except ImageError as error:
            return error

    decoding = ahead(decode, itertools.islice(photographs, first, None), count=batch_size)
    with closing(decoding):
        for start in range(first, len(photographs), batch_size):
            decoded = list(itertools.islice(decoding, batch_size))
            places = [place for place, image in enumerate(decoded) if isinstance(image, Tensor)]
            errors = {start + at: image for at, image in enumerate(decoded) if isinstance(image, ImageError)}
            tokens = None
            if places:
                blank = torch.zeros(3, backbone.image_size, backbone.image_size)
                images = [image if isinstance(image, Tensor) else blank for image in decoded]
                tokens = backbone.encode_filled(images, batch_size, dtype)
            yield TokenBatch([start + place for place in places], places, tokens, errors)


def indexed_batches(index: PhotoIndex, *, batch_size: int, first: int = 0) -> Iterator[TokenBatch]:
    """`photograph_batches` of an index: its tokens are read while those before them are scored."""

    def batch_at(start: int) -> TokenBatch:
        block = range(start, min(start + batch_size, len(index)))
        rows = [row for row in block if row not in index.errors]
        errors = {row: index.errors[row] for row in block if row in index.errors}
        if not rows:
            return TokenBatch([], [], None, errors)
        read = index.read(rows)
        tokens = np.zeros((batch_size, *read.shape[1:]), dtype=np.float32)
        places = [row - start for row in rows]
        tokens[places] = read
        return TokenBatch(rows, places, torch.from_numpy(tokens), errors)

    with closing(ahead(batch_at, range(first, len(index), batch_size), count=_READ_AHEAD, threads=1)) as batches:
        yield from batches


def score_batches(
    trained: TrainedModel,
    batches: Iterable[TokenBatch],
    label_embeddings: Tensor | None,
    *,
    device: torch.device,
    short_list: Calibration | None = None,
    top: int = 0,
) -> Iterator[Scored]:
    """Score every batch, with a short list the `top` best labels of each photograph alone; float32."""
    trained.model.to(device)
    score = _head(trained, label_embeddings, device)
    best = None if short_list is None else ShortList(score, short_list.weight, short_list.share)
    for batch in batches:
        if batch.tokens is None:
            yield Scored(batch, np.empty((0, _columns(trained, label_embeddings)), dtype=np.float32))
        elif best is None:
            yield Scored(batch, _numbers(score(batch.tokens.to(device)))[batch.places])
        else:
            chosen, scores = best(batch.tokens.to(device)[batch.places], top)
            yield Scored(batch, _numbers(scores), chosen.cpu().numpy())


def _head(
    trained: TrainedModel, label_embeddings: Tensor | None, device: torch.device, dtype: torch.dtype = torch.float32
) -> Scoring:
    words = None if label_embeddings is None else label_embeddings.to(device)
    return trained.model.score_for(words, None if dtype == torch.float32 else dtype)


def _columns(trained: TrainedModel, label_embeddings: Tensor | None) -> int:
    return len(trained.seen if label_embeddings is None else label_embeddings)


def photographic(trained: TrainedModel) -> Backbone:
    """The backbone of a model that takes photographs.

    Raises:
        InputError: it takes ready-made tokens.
    """
    if isinstance(trained.model.backbone, GivenTokens):
        raise InputError(
            "was trained on ready-made features, and takes no photographs", path=trained.folder,
            remedy="Train on the photographs, with a backbone.",
        )  # fmt: skip
    return trained.model.backbone


def _check_kind(trained: TrainedModel, dataset: Dataset) -> None:
    if dataset.features is None:
        return
    backbone = trained.model.backbone
    if not isinstance(backbone, GivenTokens):
        raise InputError("has a backbone, and takes no ready-made features", path=trained.folder)
    if dataset.features.channels != backbone.channels:
        problem = f"has tokens of {dataset.features.channels} numbers, the model takes {backbone.channels}"
        raise InputError(problem, path=dataset.path)


def _numbers(logits: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = logits.float().cpu().numpy()
    return numbers
