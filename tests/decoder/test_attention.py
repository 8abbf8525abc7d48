"""Where a label looks, against what PyTorch's own attention reports."""

import pytest
import torch
from torch import nn

from zsmld.decoder.attention import attention_weights
from zsmld.decoder.head import MLDecoder


@pytest.mark.parametrize("zero_shot", [True, False])
def test_weights_are_those_of_pytorchs_attention(zero_shot):
    torch.manual_seed(0)
    kind = {"label_features": 7} if zero_shot else {"num_classes": 9, "groups": 5}
    head = MLDecoder(in_features=6, width=16, heads=4, feed_forward=8, **kind).eval()
    tokens, words = torch.randn(3, 6, 2, 5), torch.randn(5, 7) if zero_shot else None
    own, theirs = head.layer.attention, nn.MultiheadAttention(16, 4, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
        memory = head.memory(tokens)
        queries = head.layer.query_norm(2 * head.queries_of(words)).expand(3, -1, -1)
        _, expected = theirs(queries, memory, memory)
    found = attention_weights(head, tokens, words)
    assert found.shape == (3, 5, 10)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(dim=2), torch.ones(3, 5))
