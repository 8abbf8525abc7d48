"""ZeroShotModel: backbone + head. The vocabulary is an argument, `model(images, label_embeddings)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from zsmld.decoder.head import MLDecoder
from zsmld.decoder.inference import InferenceHead
from zsmld.decoder.similarity import SimilarityHead, SimilarityInference
from zsmld.decoder.two_path import TwoPathHead, TwoPathInference
from zsmld.errors import UsageError
from zsmld.images.backbones import Backbone
from zsmld.images.features import GivenTokens

Head: TypeAlias = MLDecoder | TwoPathHead | SimilarityHead
# A head with its vocabulary: tokens (B,T,C) → logits (B,L).
Scoring: TypeAlias = InferenceHead | TwoPathInference | SimilarityInference


class ZeroShotModel(nn.Module):
    """An image tower and the decoder on its tokens.

    Args:
        backbone: images (B,3,H,W) → tokens (B,T,C); `GivenTokens` takes these themselves.
        head: tokens and label embeddings → logits.
    """

    def __init__(self, backbone: Backbone | GivenTokens, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """(B,3,H,W) images and (L,E) label embeddings → (B,L) logits."""
        logits: Tensor = self.head(self.backbone(images), label_embeddings)
        return logits

    def memory(self, images: Tensor) -> Tensor:
        """(B,3,H,W) → (B,T,D): what the queries of a decoder look at."""
        assert isinstance(self.head, MLDecoder)
        return self.head.memory(self.backbone(images))

    def decode(self, memory: Tensor, label_embeddings: Tensor | None) -> Tensor:
        """What `memory` gave → (B,L) logits."""
        assert isinstance(self.head, MLDecoder)
        return self.head.decode(memory, label_embeddings)

    def for_inference(self, label_embeddings: Tensor | None) -> Callable[[Tensor], Tensor]:
        """(B,3,H,W) → (B,L) for one vocabulary, faster; see `MLDecoder.for_inference`."""
        score = self.score_for(label_embeddings)
        return lambda images: score(self.backbone(images))

    def score_for(self, label_embeddings: Tensor | None, dtype: torch.dtype | None = None) -> Scoring:
        """The head's part of `for_inference`: tokens (B,T,C) → (B,L).

        A head without training computes its cosines in float32 whatever the type: they are multiplied by a hundred.

        Raises:
            UsageError: label embeddings where none belong, or the other way round.
        """
        if isinstance(self.head, MLDecoder):
            return self.head.for_inference(label_embeddings, dtype)
        if label_embeddings is None:
            raise UsageError("this head needs label embeddings")
        if isinstance(self.head, SimilarityHead):
            return self.head.for_inference(label_embeddings)
        return self.head.for_inference(label_embeddings, dtype)
