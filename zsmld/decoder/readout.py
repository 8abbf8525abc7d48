"""The two kinds of readout: one linear shared by all queries (zero-shot), group fully-connected (closed-set).

Shapes: B images, L labels, D width, K groups of G classes, N classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SharedReadout(nn.Module):
    """One Linear(D→1) for every query: group fully-connected with group size 1 and tied weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.per_query = 1
        self.linear = nn.Linear(width, 1)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, decoded: Tensor) -> Tensor:
        """(B,L,D) → logits (B,L)."""
        return self.part(decoded, slice(None))

    def part(self, decoded: Tensor, queries: slice | Tensor) -> Tensor:  # noqa: ARG002
        """(B,n,D) of some of the queries → their logits (B,n)."""
        logits: Tensor = self.linear(decoded).squeeze(-1)
        return logits

    def finished(self, slots: Tensor) -> Tensor:
        """The parts of all queries, side by side → logits (B,L)."""
        return slots


class GroupReadout(nn.Module):
    """Group fully-connected: each of K queries reads out its own G = ⌈N/K⌉ classes (the paper: "group-decoding").

    Class n belongs to group n // G; the slots past N, in the last groups, are computed and dropped.
    """

    def __init__(self, groups: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes, self.per_query = num_classes, -(-num_classes // groups)
        self.weight = nn.Parameter(torch.empty(groups, width, self.per_query))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        nn.init.xavier_normal_(self.weight)

    def forward(self, decoded: Tensor) -> Tensor:
        """(B,K,D) → logits (B,N)."""
        return self.finished(self.part(decoded, slice(None)))

    def part(self, decoded: Tensor, queries: slice | Tensor) -> Tensor:
        """(B,n,D) of some of the groups → (B,nG), as one batched matrix product over the groups."""
        by_group = torch.bmm(decoded.transpose(0, 1), self.weight[queries])  # (n,B,D) · (n,D,G) → (n,B,G)
        return by_group.transpose(0, 1).flatten(1)

    def finished(self, slots: Tensor) -> Tensor:
        """The parts of all groups, side by side → logits (B,N)."""
        return slots[:, : self.num_classes] + self.bias
