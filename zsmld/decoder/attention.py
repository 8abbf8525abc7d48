"""Where a label looks: the weights of its cross-attention over the tokens of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from zsmld.decoder.model import Head
from zsmld.decoder.sequence import as_sequence
from zsmld.decoder.similarity import SimilarityHead
from zsmld.decoder.two_path import TwoPathHead


@torch.inference_mode()
def attention_weights(head: Head, tokens: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
    """How much each query attends to each token (Vaswani et al. 2017, equation 1), averaged over heads.

    A head without a decoder has no attention: there it is the softmax, over the tokens, of the logits that the linear
    path gives each token as if all of the image were like it. A head without training looks at each patch as much as it
    counts for the label.

    Args:
        head: in eval mode.
        tokens: (B,T,C), or a feature map (B,C,h,w).
        label_embeddings: (L,E); zero-shot heads only. The queries of a closed-set head are groups of classes.

    Returns:
        (B,L,T), each row adding up to 1. Of a head without training T is the number of patches, 0 of some towers.
    """
    if isinstance(head, SimilarityHead):
        assert label_embeddings is not None
        return head.looks_at(tokens, label_embeddings)
    decoder = head.decoder if isinstance(head, TwoPathHead) else head
    if decoder is None:
        assert isinstance(head, TwoPathHead) and label_embeddings is not None
        tokens = as_sequence(tokens, head.linear.in_features)
        logits: Tensor = head.linear(tokens.flatten(0, 1), label_embeddings)  # (BT,L)
        return logits.view(*tokens.shape[:2], -1).transpose(1, 2).softmax(dim=-1)
    attention, memory = decoder.layer.attention, decoder.memory(tokens)
    queries = decoder.queries_of(label_embeddings)
    queries = decoder.layer.query_norm(queries + queries).unsqueeze(0)
    q, k = attention.split(attention.query(queries)), attention.split(attention.key(memory))  # (B,H,n,D/H)
    weights = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)  # (B,H,L,T)
    return weights.mean(dim=1)
