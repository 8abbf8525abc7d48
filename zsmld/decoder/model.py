"""ZeroShotModel: backbone + head. The vocabulary is an argument, `model(images, label_embeddings)`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from zsmld.decoder.head import MLDecoder
from zsmld.images.backbones import Backbone
from zsmld.images.features import GivenTokens


class ZeroShotModel(nn.Module):
    """An image tower and the decoder on its tokens.

    Args:
        backbone: images (B,3,H,W) → tokens (B,T,C); `GivenTokens` takes these themselves.
        head: tokens and label embeddings → logits.
    """

    def __init__(self, backbone: Backbone | GivenTokens, head: MLDecoder) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, label_embeddings: Tensor | None) -> Tensor:
        """(B,3,H,W) images and (L,E) label embeddings → (B,L) logits."""
        return self.decode(self.memory(images), label_embeddings)

    def memory(self, images: Tensor) -> Tensor:
        """(B,3,H,W) → (B,T,D): what the queries look at."""
        return self.head.memory(self.backbone(images))

    def decode(self, memory: Tensor, label_embeddings: Tensor | None) -> Tensor:
        """What `memory` gave → (B,L) logits."""
        return self.head.decode(memory, label_embeddings)

    def for_inference(self, label_embeddings: Tensor | None) -> Callable[[Tensor], Tensor]:
        """(B,3,H,W) → (B,L) for one vocabulary, faster; see `MLDecoder.for_inference`."""
        score = self.head.for_inference(label_embeddings)
        return lambda images: score(self.backbone(images))
