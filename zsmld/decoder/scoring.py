"""Images of a data set, or of a list of files → logits, with a trained model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import console, files
from zsmld.decoder.model_folder import TrainedModel
from zsmld.images.backbones import Backbone
from zsmld.images.opening import ImageError, open_image
from zsmld.images.token_cache import TokenCache

_DECODING_THREADS = 4


@dataclass(frozen=True)
class Scored:
    """One batch: which of the given paths, their logits (n,L), and the paths that could not be read."""

    rows: list[int]
    logits: NDArray[np.float32]
    errors: dict[int, ImageError]


def score_dataset(
    trained: TrainedModel, paths: Sequence[Path], label_embeddings: Tensor, *, batch_size: int, device: torch.device
) -> NDArray[np.float32]:
    """Logits (I,L) of a data set; tokens of a published, frozen backbone come from the cache.

    Raises:
        InputError: an image cannot be read: a figure over fewer images than asked for would be another figure.
    """
    trained.model.to(device)
    logits = np.empty((len(paths), len(label_embeddings)), dtype=np.float32)
    if trained.backbone_trained:
        for scored in score_files(trained, paths, label_embeddings, batch_size=batch_size, device=device):
            for error in scored.errors.values():
                raise error
            logits[scored.rows] = scored.logits
        return logits
    store = TokenCache(files.cache_folder(), trained.model.backbone).fill(paths)
    score = trained.model.head.for_inference(label_embeddings.to(device))
    with console.progress("scoring", len(paths)) as meter:
        for start in range(0, len(paths), batch_size):
            rows = np.arange(start, min(start + batch_size, len(paths)))
            logits[rows] = _numbers(score(torch.from_numpy(store.read(rows)).to(device)))
            meter.advance(len(rows))
    return logits


def score_files(
    trained: TrainedModel, paths: Sequence[Path], label_embeddings: Tensor, *, batch_size: int, device: torch.device
) -> Iterator[Scored]:
    """Batch after batch, in the order of `paths`; what cannot be read is reported with its batch, not raised."""
    trained.model.to(device)
    backbone = trained.model.backbone
    score = trained.model.head.for_inference(label_embeddings.to(device))
    with ThreadPoolExecutor(_DECODING_THREADS) as pool, console.progress("scoring", len(paths)) as meter:

        def decode(path: Path) -> Tensor | ImageError:
            try:
                return backbone.preprocess(open_image(path))
            except ImageError as error:
                return error

        for start in range(0, len(paths), batch_size):
            decoded = dict(enumerate(pool.map(decode, paths[start : start + batch_size]), start=start))
            images = {row: image for row, image in decoded.items() if isinstance(image, Tensor)}
            logits = np.empty((0, len(label_embeddings)), dtype=np.float32)
            if images:
                logits = _numbers(score(_encoded(backbone, list(images.values()), batch_size, device)))[: len(images)]
            meter.advance(len(decoded))
            errors = {row: error for row, error in decoded.items() if isinstance(error, ImageError)}
            yield Scored(list(images), logits, errors)


@torch.inference_mode()
def _encoded(backbone: Backbone, images: list[Tensor], batch_size: int, device: torch.device) -> Tensor:
    """Tokens (batch_size,T,C); those behind the images are of blank ones."""
    # Filled up to the full batch: the arithmetic of a matrix product depends on its shape in the last bits, and a
    # photograph's scores must not depend on how many others were given along with it.
    filled = torch.stack(images + [torch.zeros_like(images[0])] * (batch_size - len(images)))
    tokens: Tensor = backbone(filled.to(device))
    return tokens


def _numbers(logits: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = logits.float().cpu().numpy()
    return numbers
