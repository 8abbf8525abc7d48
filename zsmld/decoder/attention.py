"""Where a label looks: the weights of its cross-attention over the tokens of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from zsmld.decoder.head import MLDecoder


@torch.inference_mode()
def attention_weights(head: MLDecoder, tokens: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
    """How much each query attends to each token (Vaswani et al. 2017, equation 1), averaged over heads.

    Args:
        head: in eval mode.
        tokens: (B,T,C), or a feature map (B,C,h,w).
        label_embeddings: (L,E); zero-shot heads only. The queries of a closed-set head are groups of classes.

    Returns:
        (B,L,T), each row adding up to 1.
    """
    attention, memory = head.layer.attention, head.memory(tokens)
    queries = head.queries_of(label_embeddings)
    queries = head.layer.query_norm(queries + queries).unsqueeze(0)
    q, k = attention.split(attention.query(queries)), attention.split(attention.key(memory))  # (B,H,n,D/H)
    weights = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)  # (B,H,L,T)
    return weights.mean(dim=1)
