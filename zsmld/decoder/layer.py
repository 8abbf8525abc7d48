"""The decoder layer of ML-Decoder: read this file first, beside the paper.

Ridnik et al., "ML-Decoder: Scalable and Versatile Classification Head", WACV 2023, arXiv 2111.12933, part "ML-Decoder":
a transformer decoder layer without self-attention, so that its cost is linear in the number of queries. Queries
(labels, or groups of labels) look at image tokens; they never look at each other, so that the result for one query
does not depend on which other queries are asked.

Shapes: B images, N queries, T image tokens, D width, H heads, F feed-forward width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsmld.decoder.dropout import Dropout
from zsmld.errors import UsageError


class CrossAttention(nn.Module):
    """Multi-head attention of queries over image tokens (Vaswani et al. 2017, section 3.2.2).

    Args:
        width: D, divisible by `heads`.
        heads: H.
        dropout: on the attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(f"width {width} is not divisible by {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        for projection in (self.query, self.key, self.value):
            # Xavier as if the three were one (3D, D) matrix, as in the published head.
            nn.init.xavier_uniform_(projection.weight, gain=0.5**0.5)
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.zeros_(linear.bias)
        # It adds the same to all tokens of a query, which the softmax takes away: its gradient is rounding alone, of
        # which Adam would make steps as large as any. It is there because published weights have one.
        self.key.bias.requires_grad_(False)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B,N,D) or (1,N,D) queries, (B,T,D) tokens → (B,N,D)."""
        q = self.split(self.query(queries)).expand(tokens.shape[0], -1, -1, -1)  # (B,H,N,D/H)
        k, v = self.split(self.key(tokens)), self.split(self.value(tokens))  # (B,H,T,D/H)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)  # (B,H,N,D/H)
        joined: Tensor = self.output(attended.transpose(1, 2).flatten(2))  # (B,N,D)
        return joined

    def split(self, x: Tensor) -> Tensor:
        """(B,n,D) → (B,H,n,D/H): the part of each head."""
        batch, count, width = x.shape
        return x.view(batch, count, self.heads, width // self.heads).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Cross-attention and feed-forward, each with a residual and a LayerNorm behind it (post-norm).

    Args:
        width: D, the paper's 768.
        heads: H, the paper's 8.
        feed_forward: F, the paper's 2048.
        dropout: in training, the paper's 0.1.
        mask_per_image: in training, every image has a dropout mask of its own on the queries, as published. Otherwise
            one mask serves a batch, and what comes before attention is computed once for all of its images: the one
            difference from the published computation. In eval there is none.
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float, *, mask_per_image: bool = False
    ) -> None:
        super().__init__()
        self.mask_per_image = mask_per_image
        self.attention = CrossAttention(width, heads, dropout)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.query_norm = nn.LayerNorm(width)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Let every query look at the tokens of every image.

        Args:
            queries: (N,D), the same for every image.
            tokens: (B,T,D).

        Returns:
            (B,N,D).
        """
        q = queries.unsqueeze(0)  # (1,N,D)
        if self.training and self.mask_per_image:
            q = q.expand(tokens.shape[0], -1, -1)  # (B,N,D)
        # Where self-attention was, the published layer adds the queries to themselves (LN(2q) in eval); kept,
        # because published weights were trained with it.
        q = self.query_norm(q + self.dropout(q))
        q = self.attention_norm(q + self.dropout(self.attention(q, tokens)))  # (B,N,D)
        hidden = self.dropout(torch.relu(self.expand(q)))  # (B,N,F)
        normed: Tensor = self.feed_forward_norm(q + self.dropout(self.contract(hidden)))  # (B,N,D)
        return normed
