"""The two kinds of queries: label embeddings (zero-shot) and fixed random vectors (closed-set).

Shapes: L labels, E label-embedding width, D decoder width, K groups.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsmld.errors import UsageError


class LabelQueries(nn.Module):
    """Label embeddings through one shared projection (the paper on zero-shot learning: "word queries").

    Args:
        label_features: E.
        width: D.
        centred: subtract the mean of the seen labels' vectors and scale each to norm √E before projecting. Word
            vectors share a large common part; without it the queries start out different from each other. The
            published head does not.
        projected: False leaves out the projection (needs E = D), as the published head does for E = D.
    """

    centre: Tensor

    def __init__(self, label_features: int, width: int, *, centred: bool = False, projected: bool = True) -> None:
        super().__init__()
        if not projected and label_features != width:
            raise UsageError(f"label vectors of {label_features} numbers need a projection to width {width}")
        self.label_features, self.centred = label_features, centred
        self.projection = nn.Linear(label_features, width) if projected else nn.Identity()
        if centred:
            self.register_buffer("centre", torch.zeros(label_features))

    def fit_centre(self, seen_embeddings: Tensor) -> None:
        """Take the mean of the seen labels' vectors (L,E) as the centre; unseen labels have no say in it."""
        if self.centred:
            self.centre.copy_(seen_embeddings.mean(dim=0))

    def forward(self, label_embeddings: Tensor) -> Tensor:
        """(L,E) → (L,D)."""
        if label_embeddings.ndim != 2 or label_embeddings.shape[1] != self.label_features:
            raise UsageError(
                f"label embeddings of shape {tuple(label_embeddings.shape)}, expected (labels, {self.label_features})"
            )
        vectors = label_embeddings
        if self.centred:
            vectors = F.normalize(vectors - self.centre, dim=1) * self.label_features**0.5
        return torch.relu(self.projection(vectors))


class FixedQueries(nn.Module):
    """K random vectors that are never trained (the paper: "non-learnable queries")."""

    weight: Tensor

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(groups, width))

    def forward(self) -> Tensor:
        """→ (K,D)."""
        return self.weight
