"""The decoder as `predict` and `eval` use it: the function of `layer.py`, rearranged for speed.

`head.for_inference(label_embeddings)` computes what depends on the vocabulary alone, once. What depends on the image
alone is computed once an image; labels go through in chunks, so that memory depends on neither B nor N.

For one image, write A (n,HT) for the attention weights of n labels, all heads side by side. Two things are linear in A:

* attention's output is A·M, where M (HT,D) is made of the values of each head, pushed through the output projection;
* so is what `expand` makes of it, but for the LayerNorm before: A·M·W₁ = A·E with E (HT,F). That LayerNorm subtracts a
  mean, which is linear too, and divides by σ. As σ > 0 and relu(a/σ) = relu(a)/σ, the division can wait until after
  `contract`.

With HT smaller than D this *folded* form needs fewer multiplications than the *direct* one, which is `layer.py` in
chunks: with the paper's sizes and T 49, 2.7 instead of 3.8 million a label.

With few labels and many tokens it is the keys and values that cost. In the *gathered* form there are none: the key
projection is applied to the queries instead, once a vocabulary, and the value projection to what a label has gathered.

`cheapest_form` decides. All give the logits of `layer.py` but for rounding (docs/inference.md).

Shapes: B images, b of them at a time; N queries, n at a time; T tokens, D width, H heads, F feed-forward width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from zsmld.decoder.sequence import as_sequence

if TYPE_CHECKING:
    from zsmld.decoder.head import MLDecoder

# Rows (images × queries) of a matrix product: enough for its full rate, few enough to stay in the cache.
ROWS = 1024
# Tokens of all images that are worked on.
TOKENS = 2048
# Below it, a product has too few rows in each image for the folded form.
_FEWEST_QUERIES = 16
# What another form than the direct one must save at least, by the count of multiplications: its products are smaller.
_WORTH = 0.9
Form: TypeAlias = Literal["direct", "folded", "gathered"]
# Some of the queries: the same for all images, or (b,n) numbers of some for each.
Chunk: TypeAlias = slice | Tensor
Decode: TypeAlias = Callable[[Chunk], Tensor]


class InferenceHead:
    """A decoder with its queries: tokens (B,T,C), or a feature map (B,C,h,w) → logits (B,L).

    It holds on to the weights that the head had when it was made.

    Args:
        head: in eval mode, on the device that it should compute on.
        label_embeddings: (L,E); None for a closed-set head.
        dtype: what to compute images in; None for the head's own. What depends on the vocabulary alone is computed in
            the head's own and rounded then; logits are float32.

    Raises:
        UsageError: label embeddings where none belong, or the other way round.
    """

    @torch.inference_mode()
    def __init__(
        self, head: MLDecoder, label_embeddings: Tensor | None = None, dtype: torch.dtype | None = None
    ) -> None:
        queries = head.layer.query_norm(2 * head.queries_of(label_embeddings))  # (N,D), as `DecoderLayer` has them
        asked = head.layer.attention.query(queries)  # (N,D)
        self.is_rounded = dtype not in (None, queries.dtype)
        self.head = copy.deepcopy(head).to(dtype) if self.is_rounded else head
        self.layer = self.head.layer
        self.queries, self.asked = queries.to(dtype or queries.dtype), asked.to(dtype or asked.dtype)
        self._folding: _Folding | None = None
        self._probes: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, tokens: Tensor) -> Tensor:
        """Score every image for every label of the vocabulary."""
        tokens = as_sequence(tokens, self.head.in_features).to(self.queries.dtype)
        queries, (width, feed_forward) = len(self.queries), self.layer.contract.weight.shape
        form = cheapest_form(queries, tokens.shape[1], width, feed_forward, self.layer.attention.heads)
        # The folded form squares what a LayerNorm would get, which half precision with few exponents may not hold.
        form = "direct" if self.queries.dtype == torch.float16 else form
        # What a label gathers is as wide as D for each head.
        rows = max(ROWS // 2, 1) if form == "gathered" else ROWS
        at_once = -(-queries // -(-queries // rows))  # chunks of one size
        images = max(min(rows // at_once, TOKENS // tokens.shape[1]), 1)
        images = -(-len(tokens) // -(-len(tokens) // images))  # of one size, too
        # Made before all else: small tensors that outlive a chunk would take their place in the holes that its large
        # ones leave, which then no longer fit there.
        slots = self.queries.new_empty(len(tokens), queries * self.head.readout.per_query)
        for part, own in zip(torch.split(tokens, images), torch.split(slots, images), strict=True):
            self._score(part, own, at_once, form)
        logits = self.head.readout.finished(slots)
        return logits.float() if self.is_rounded else logits

    def _score(self, tokens: Tensor, slots: Tensor, at_once: int, form: Form) -> None:
        """Fill the slots of some images, (b,N) or those of as many groups."""
        memory = torch.relu(self.head.embed_tokens(tokens))  # (b,T,D)
        decode = {"direct": self.direct, "folded": self._folded, "gathered": self._gathered}[form](memory)
        each = self.head.readout.per_query
        for start in range(0, len(self.queries), at_once):
            chunk = slice(start, start + at_once)
            slots[:, start * each : (start + at_once) * each] = self.read_out(decode(chunk), chunk)

    def read_out(self, decoded: Tensor, chunk: Chunk) -> Tensor:
        """What `direct` gave (b,n,D) → the readout's part of it."""
        part: Tensor = self.head.readout.part(self.layer.feed_forward_norm(decoded), chunk)
        return part

    def direct(self, memory: Tensor) -> Decode:
        """(b,n,D) of some queries, before the last LayerNorm, as in `layer.py`."""
        attend = self._attend(memory)
        return lambda chunk: self._feed_forward(attend(chunk), chunk)

    def attended(self, memory: Tensor, chunk: Chunk) -> Tensor:
        """(b,n,D) of some queries: each with what it attended to, before the LayerNorm that follows."""
        return self._with_query(self._attend(memory)(chunk), chunk)

    def _attend(self, memory: Tensor) -> Decode:
        """(b,n,D) of some queries, the heads side by side, before the output projection."""
        attention = self.layer.attention
        keys, values = attention.split(attention.key(memory)), attention.split(attention.value(memory))  # (b,H,T,D/H)

        def attend(chunk: Chunk) -> Tensor:
            asked = self.asked[chunk]  # (n,D), or (b,n,D)
            asked = attention.split(asked if asked.ndim == 3 else asked.unsqueeze(0))
            asked = asked.expand(len(keys), -1, -1, -1)  # (b,H,n,D/H)
            attended = F.scaled_dot_product_attention(asked, keys, values)  # (b,H,n,D/H)
            return attended.transpose(1, 2).flatten(2)

        return attend

    def _gathered(self, memory: Tensor) -> Decode:
        """The same without keys and values."""
        attention = self.layer.attention
        if self._probes is None:
            # The keys' bias adds the same to all tokens of a label, which the softmax takes away again.
            by_head = attention.key.weight.view(attention.heads, -1, memory.shape[2])  # (H,D/H,D)
            self._probes = attention.split(self.asked.unsqueeze(0))[0] @ by_head * by_head.shape[1] ** -0.5  # (H,N,D)
        probes, values = self._probes, attention.value.weight.view(attention.heads, -1, memory.shape[2])

        def decode(chunk: Chunk) -> Tensor:
            asked = probes[:, chunk].flatten(0, 1).expand(len(memory), -1, -1)  # (b,Hn,D)
            weights = torch.softmax(torch.bmm(asked, memory.transpose(1, 2)), dim=-1)  # (b,Hn,T)
            gathered = torch.bmm(weights, memory)  # (b,Hn,D)
            gathered = gathered.view(len(memory), attention.heads, -1, memory.shape[2])  # (b,H,n,D)
            by_head = gathered.transpose(0, 1).flatten(1, 2) @ values.transpose(1, 2)  # (H,bn,D/H)
            attended = by_head.transpose(0, 1).reshape(len(memory), -1, memory.shape[2])  # (b,n,D)
            # The weights of a label add up to 1, and so the values' bias is added once.
            return self._feed_forward(attended.add_(attention.value.bias), chunk)

        return decode

    def _with_query(self, attended: Tensor, chunk: Chunk) -> Tensor:
        output: Tensor = self.layer.attention.output(attended)
        return output.add_(self.queries[chunk])

    def _feed_forward(self, attended: Tensor, chunk: Chunk) -> Tensor:
        layer = self.layer
        q = layer.attention_norm(self._with_query(attended, chunk))
        decoded: Tensor = layer.contract(layer.expand(q).relu_()).add_(q)
        return decoded

    def _folded(self, memory: Tensor) -> Decode:
        """The same, with the attention weights as what the feed-forward part multiplies."""
        attention, norm = self.layer.attention, self.layer.attention_norm
        if self._folding is None:
            self._folding = _Folding.of(self)
        folding = self._folding
        keys = attention.split(attention.key(memory))  # (b,H,T,D/H)
        image = folding.image(attention.split(attention.value(memory)))
        batch, heads, count, _ = keys.shape

        def decode(chunk: Chunk) -> Tensor:
            asked = attention.split(self.asked[chunk].unsqueeze(0)) * keys.shape[-1] ** -0.5  # (1,H,n,D/H)
            weights = torch.softmax(asked @ keys.transpose(2, 3), dim=-1)  # (b,H,n,T)
            # One more column: σ, which multiplies the bias.
            mixed = keys.new_empty(batch, weights.shape[2], heads * count + 1)  # (b,n,HT+1)
            mixed[:, :, :-1].view(batch, -1, heads, count).copy_(weights.transpose(1, 2))
            queries, expanded = (kept[chunk].expand(batch, -1, -1) for kept in (folding.queries, folding.expanded))
            centred = torch.baddbmm(queries, mixed[:, :, :-1], image.output)  # (b,n,D)
            sigma = centred.square().mean(dim=2, keepdim=True).add_(norm.eps).sqrt_()  # (b,n,1)
            mixed[:, :, -1:] = sigma
            hidden = torch.baddbmm(expanded, mixed, image.expanded).relu_()  # (b,n,F), times σ
            decoded = hidden @ self.layer.contract.weight.T
            return decoded.addcmul_(centred, norm.weight).div_(sigma).add_(folding.bias)

        return decode


@dataclass(frozen=True)
class _Image:
    """What the folded form needs of b images: output (b,HT,D), centred, and expanded (b,HT+1,F)."""

    output: Tensor
    expanded: Tensor


@dataclass(frozen=True)
class _Folding:
    """What the folded form needs of the weights and the vocabulary.

    Attributes:
        queries: (N,D), with the output projection's bias, centred: its mean over D is 0.
        expanded: (N,F), these through `expand`.
        output: (H,D/H,D), the output projection of each head, centred.
        expand: (H,D/H,F), that through `expand`.
        expand_bias: (F,).
        bias: (D,), all that is added behind `contract`.
    """

    queries: Tensor
    expanded: Tensor
    output: Tensor
    expand: Tensor
    expand_bias: Tensor
    bias: Tensor

    @classmethod
    def of(cls, head: InferenceHead) -> _Folding:
        """Fold the LayerNorm's weights and the projections into each other."""
        layer, attention = head.layer, head.layer.attention
        norm = layer.attention_norm
        expand = (layer.expand.weight * norm.weight).T  # (D,F)
        output = _centred(attention.output.weight.T).view(attention.heads, -1, layer.contract.out_features)  # (H,D/H,D)
        queries = _centred(head.queries + attention.output.bias)
        return cls(
            queries=queries,
            expanded=queries @ expand,
            output=output,
            expand=output @ expand,
            expand_bias=layer.expand(norm.bias),
            bias=norm.bias + layer.contract.bias,
        )

    def image(self, values: Tensor) -> _Image:
        """Push the values (b,H,T,D/H) of images through the projections of their heads."""
        batch, heads, count, _ = values.shape
        output = values.new_empty(batch, heads, count, self.output.shape[2])
        expanded = values.new_empty(batch, heads * count + 1, self.expand.shape[2])
        # One by one: a product over all of them would copy the weights for each.
        for own, pushed, wide in zip(values, output, expanded, strict=True):
            torch.bmm(own, self.output, out=pushed)
            torch.bmm(own, self.expand, out=wide[:-1].view(heads, count, -1))
        expanded[:, -1] = self.expand_bias
        return _Image(output.flatten(1, 2), expanded)


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=-1, keepdim=True)


def multiplications(queries: int, tokens: int, width: int, feed_forward: int, heads: int) -> dict[Form, int]:
    """What each form takes for one image, but for the embedding of its tokens, which is common to all."""
    projected = 2 * tokens * width * width  # keys and values
    return {
        "direct": projected + queries * (2 * tokens * width + width * width + 2 * width * feed_forward),
        "folded": projected
        + tokens * width * (width + feed_forward)
        + queries * (tokens * width + heads * tokens * (width + feed_forward) + width * feed_forward),
        "gathered": queries * (2 * heads * tokens * width + 2 * width * width + 2 * width * feed_forward),
    }


def cheapest_form(queries: int, tokens: int, width: int, feed_forward: int, heads: int) -> Form:
    """The form with the fewest multiplications, if it saves enough over the direct one."""
    taken = multiplications(queries, tokens, width, feed_forward, heads)
    if queries < _FEWEST_QUERIES:
        del taken["folded"]
    best = min(taken, key=taken.__getitem__)
    return best if taken[best] < _WORTH * taken["direct"] else "direct"
