"""The heads that `bench_heads.py` and `experiment_heads.py` put side by side, behind the interface of `MLDecoder`.

All take image tokens (B,T,C) and give logits (B,N).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zsmld import MLDecoder

POOLED, QUERY2LABEL = "pooling + linear", "Transformer decoder with self-attention (Query2Label)"
ONE_QUERY, GROUPS, ZERO_SHOT = "ML-Decoder, a query a class", "ML-Decoder, 100 groups", "ML-Decoder, zero-shot"
HEADS = (POOLED, QUERY2LABEL, ONE_QUERY, GROUPS, ZERO_SHOT)


class Peer(nn.Module):
    """A head of others, with the methods that training and inference ask a head for."""

    def memory(self, tokens: Tensor) -> Tensor:
        """What depends on the image alone."""
        raise NotImplementedError

    def decode(self, memory: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """That → logits (B,N)."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """(B,T,C) → (B,N)."""
        return self.decode(self.memory(tokens), label_embeddings)

    def for_inference(self, label_embeddings: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """As it is."""

        def score(tokens: Tensor) -> Tensor:
            with torch.inference_mode():
                logits: Tensor = self(tokens, label_embeddings)
            return logits

        return score


class PooledLinear(Peer):
    """The mean over the tokens, and a linear layer."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)

    def memory(self, tokens: Tensor) -> Tensor:
        """(B,T,C) → (B,N): all of it."""
        logits: Tensor = self.linear(tokens.mean(dim=1))
        return logits

    def decode(self, memory: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """(B,N) → the same."""
        del label_embeddings
        return memory


class Query2Label(Peer):
    """Liu et al., "Query2Label", 2021: a learned query a class, self-attention among them, cross-attention, FFN.

    One decoder layer, as ML-Decoder has; the published model has two, and an encoder layer before them. Each class
    reads its own query out with weights of its own.
    """

    def __init__(self, in_features: int, num_classes: int, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Linear(in_features, width)
        self.queries = nn.Parameter(torch.randn(num_classes, width))
        self.layer = nn.TransformerDecoderLayer(width, heads, feed_forward, dropout=0.1, batch_first=True)
        self.weight = nn.Parameter(torch.randn(num_classes, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def memory(self, tokens: Tensor) -> Tensor:
        """(B,T,C) → (B,T,D)."""
        embedded: Tensor = self.embed_tokens(tokens)
        return embedded

    def decode(self, memory: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """(B,T,D) → (B,N)."""
        del label_embeddings
        decoded = self.layer(self.queries.expand(len(memory), -1, -1), memory)  # (B,N,D)
        logits: Tensor = (decoded * self.weight).sum(dim=2) + self.bias
        return logits


def build(name: str, in_features: int, num_classes: int, label_features: int, sizes: Mapping[str, Any]) -> nn.Module:
    """One of `HEADS`.

    Args:
        name: which.
        in_features: C.
        num_classes: N.
        label_features: E of the label embeddings that the zero-shot head takes.
        sizes: width D, heads H, feed_forward F.
    """
    if name == POOLED:
        return PooledLinear(in_features, num_classes)
    if name == QUERY2LABEL:
        return Query2Label(in_features, num_classes, **sizes)
    if name == ZERO_SHOT:
        return MLDecoder(in_features, label_features=label_features, centred=True, **sizes)
    return MLDecoder(in_features, num_classes=num_classes, groups=num_classes if name == ONE_QUERY else 100, **sizes)
