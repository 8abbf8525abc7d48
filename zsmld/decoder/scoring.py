"""Images of a data set, or of a list of files → logits, with a trained model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
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
from zsmld.images.token_cache import TokenCache, TokenStore


@dataclass(frozen=True)
class Scored:
    """One batch of photographs.

    Attributes:
        rows: which of the given paths.
        logits: (n,L) of these; with a short list (n,K) of the best labels, best first.
        errors: the paths of the batch that could not be read.
        labels: (n,K), which labels these are; None without a short list.
    """

    rows: list[int]
    logits: NDArray[np.float32]
    errors: dict[int, ImageError]
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
        backbone = photographic(trained)
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


def score_files(
    trained: TrainedModel,
    paths: Sequence[Path],
    label_embeddings: Tensor | None,
    *,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    short_list: Calibration | None = None,
    top: int = 0,
) -> Iterator[Scored]:
    """Batch after batch, in the order of `paths`; what cannot be read is reported with its batch, not raised.

    With a short list the `top` best labels of each photograph alone.
    """
    trained.model.to(device)
    backbone = photographic(trained)
    score = _head(trained, label_embeddings, device, dtype)
    best = None if short_list is None else ShortList(score, short_list.weight, short_list.share)

    def decode(path: Path) -> Tensor | ImageError:
        try:
            return backbone.preprocess.open(path)
        except ImageError as error:
            return error

    decoding = ahead(decode, paths, count=batch_size)
    with console.progress("scoring", len(paths)) as meter, closing(decoding):
        for start in range(0, len(paths), batch_size):
            decoded = dict(enumerate(itertools.islice(decoding, batch_size), start=start))
            images = {row: image for row, image in decoded.items() if isinstance(image, Tensor)}
            labels, logits = None, np.empty((0, _columns(trained, label_embeddings)), dtype=np.float32)
            if images:
                tokens = backbone.encode_filled(list(images.values()), batch_size, dtype)
                if best is None:
                    logits = _numbers(score(tokens))[: len(images)]
                else:
                    chosen, scores = best(tokens[: len(images)], top)
                    labels, logits = chosen.cpu().numpy(), _numbers(scores)
            meter.advance(len(decoded))
            errors = {row: error for row, error in decoded.items() if isinstance(error, ImageError)}
            yield Scored(list(images), logits, errors, labels)


def _head(trained: TrainedModel, label_embeddings: Tensor | None, device: torch.device, dtype: torch.dtype) -> Scoring:
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
