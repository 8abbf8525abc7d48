"""ML-Decoder written down a second time, straight from the paper's equations, with `torch.nn.MultiheadAttention`.

Its state dict has the published keys. It shares no code with the package.
"""

import torch
from torch import nn
from torch.nn import functional as F


class ReferenceLayer(nn.Module):
    def __init__(self, width, heads, feed_forward):
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=0.0)
        self.linear1, self.linear2 = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, q, memory):  # (N,B,D), (T,B,D)
        q = self.norm1(q + q)
        q = self.norm2(q + self.multihead_attn(q, memory, memory)[0])
        return self.norm3(q + self.linear2(F.relu(self.linear1(q))))


class ReferenceMLDecoder(nn.Module):
    def __init__(self, c, width, heads, feed_forward, *, e=None, n=None, k=None):
        super().__init__()
        self.n = n
        self.decoder = nn.Module()
        self.decoder.embed_standart = nn.Linear(c, width)
        self.decoder.layers = nn.ModuleList([ReferenceLayer(width, heads, feed_forward)])
        if n is None:
            if e != width:
                self.wordvec_proj = nn.Linear(e, width)
            self.decoder.duplicate_pooling = nn.Parameter(torch.randn(width, 1))
            self.decoder.duplicate_pooling_bias = nn.Parameter(torch.randn(1))
        else:
            self.decoder.query_embed = nn.Embedding(k, width)
            self.decoder.duplicate_pooling = nn.Parameter(torch.randn(k, width, -(-n // k)))
            self.decoder.duplicate_pooling_bias = nn.Parameter(torch.randn(n))

    def forward(self, tokens, words=None):
        memory = F.relu(self.decoder.embed_standart(tokens)).transpose(0, 1)
        if words is None:
            q = self.decoder.query_embed.weight
        else:
            q = F.relu(self.wordvec_proj(words) if hasattr(self, "wordvec_proj") else words)
        h = self.decoder.layers[0](q.unsqueeze(1).repeat(1, len(tokens), 1), memory)  # (N,B,D)
        if words is not None:
            scored = [h[i] @ self.decoder.duplicate_pooling for i in range(len(h))]  # one (B,1) a label
            return torch.cat(scored, dim=1) + self.decoder.duplicate_pooling_bias
        scored = [h[i] @ self.decoder.duplicate_pooling[i] for i in range(len(h))]  # one (B,G) a group
        return torch.cat(scored, dim=1)[:, : self.n] + self.decoder.duplicate_pooling_bias
