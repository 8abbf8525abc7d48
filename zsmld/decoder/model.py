"""ZeroShotModel: backbone + head. The vocabulary is an argument, `model(images, label_embeddings)`."""

from __future__ import annotations

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

    def forward(self, images: Tensor, label_embeddings: Tensor) -> Tensor:
        """(B,3,H,W) images and (L,E) label embeddings → (B,L) logits."""
        logits: Tensor = self.head(self.backbone(images), label_embeddings)
        return logits
