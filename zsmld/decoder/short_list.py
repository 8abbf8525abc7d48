"""The best K labels of a huge vocabulary without decoding all of it: a linear probe after attention picks a short list.

Nearly all that a label costs comes after attention. What goes on there, x (D), the query with what it attended to,
tells much of the logit that comes out: a vector w is fitted, so that x·w ranks the labels of an image nearly as their
logits do. That product is linear in the attention weights, like everything in `inference.py`: each token has one number
a head, and a label adds up those of the tokens that it looks at. The labels that come first are decoded in full, so
that every score that comes out is the decoder's own. What can be lost is a label that the probe places too low: how
many of the true best ones are found is measured on images that the fit has not seen.

Shapes: I images, B images at a time, N labels, S on the short list, T tokens, D width, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zsmld.decoder.inference import ROWS, InferenceHead
from zsmld.decoder.model import Scoring
from zsmld.decoder.sequence import as_sequence
from zsmld.decoder.similarity import SimilarityInference
from zsmld.decoder.two_path import TwoPathInference
from zsmld.errors import UsageError

# The recall is that of the best so many labels.
TOP = 10
# Labels of one image whose attention is worked on at a time, so that it stays in the cache.
_LABELS = 512
# A logit of attention beyond it, to either side, is taken for it: e to its power is still a number, and not 0.
_LARGEST = 80.0


class ShortList:
    """A vocabulary's decoder that returns the best labels only; a linear path beside it is computed for all labels.

    Args:
        head: of a zero-shot decoder, or of a decoder and a linear path.
        weight: (D,), w; see `short_list_fit`.
        share: the part of the vocabulary that is decoded in full.

    Raises:
        UsageError: the head is closed-set, or has no decoder.
    """

    @torch.inference_mode()
    def __init__(self, head: Scoring, weight: Tensor, share: float) -> None:
        self.both = head if isinstance(head, TwoPathInference) else None
        self.head = head = decoder_of(head)
        attention = head.layer.attention
        weight = weight.to(head.queries.device)
        self.listed = min(max(round(share * len(head.queries)), TOP), len(head.queries))
        self.own = head.queries @ weight  # (N,)
        # Labels side by side: what is done to all of them is done along rows.
        asked = attention.split(head.asked.unsqueeze(0))[0].transpose(1, 2)  # (H,D/H,N)
        self.asked = asked.contiguous() * asked.shape[1] ** -0.5
        # x·w as seen from a token: the value projection and the output projection of a head, applied to w. Their biases
        # add the same to all labels.
        by_head = (attention.output.weight.T @ weight).view(attention.heads, -1, 1)  # (H,D/H,1)
        values = attention.value.weight.view(attention.heads, -1, len(weight))  # (H,D/H,D)
        self.token = (values * by_head).sum(dim=1).T  # (D,H)

    @torch.inference_mode()
    def __call__(self, tokens: Tensor, top: int = TOP) -> tuple[Tensor, Tensor]:
        """The best labels of each image, and their logits.

        Args:
            tokens: (B,T,C), or a feature map (B,C,h,w).
            top: K.

        Returns:
            (B,K) numbers of labels, best first; (B,K) logits.
        """
        parts = []
        for image in one_by_one(as_sequence(tokens, self.head.head.in_features)):
            memory = self.head.head.memory(image)
            linear = None if self.both is None else self.both.linear(image)
            ranked = self._mixed(linear, self._probed(memory))
            chosen = ranked.topk(max(self.listed, min(top, len(self.own)))).indices  # (1,S)
            # In the order of the vocabulary: labels that tie stay in it.
            chosen = chosen.sort().values
            decoded = self._decoded(memory, chosen)
            full = self._mixed(None if linear is None else linear.gather(1, chosen), decoded)
            logits, places = full.sort(descending=True, stable=True)
            parts.append((chosen.gather(1, places[:, :top]), logits[:, :top]))
        labels, scores = (torch.cat(each) for each in zip(*parts, strict=True))
        return labels, scores

    def _mixed(self, linear: Tensor | None, decoder: Tensor) -> Tensor:
        return decoder if linear is None or self.both is None else self.both.head.mixed(linear, decoder)

    def ranked(self, image: Tensor) -> Tensor:
        """(1,T,C) → (1,N): what the labels are picked by."""
        linear = None if self.both is None else self.both.linear(image)
        return self._mixed(linear, self._probed(self.head.head.memory(image)))

    def _probed(self, memory: Tensor) -> Tensor:
        """(1,N): x·w of every label, but for what is the same for all."""
        attention = self.head.layer.attention
        keys = attention.split(attention.key(memory))[0]  # (H,T,D/H)
        number = (memory[0] @ self.token).T  # (H,T)
        # What a label adds up, and what it divides by.
        sums = torch.stack([number, torch.ones_like(number)], dim=1)  # (H,2,T)
        ranked = self.own.clone()
        for start in range(0, len(ranked), _LABELS):
            chunk = slice(start, start + _LABELS)
            attended = sums @ (keys @ self.asked[:, :, chunk]).clamp_(-_LARGEST, _LARGEST).exp_()  # (H,2,n)
            ranked[chunk] += (attended[:, 0] / attended[:, 1]).sum(dim=0)
        row: Tensor = ranked.unsqueeze(0)
        return row

    def _decoded(self, memory: Tensor, chosen: Tensor) -> Tensor:
        """(1,S) logits of some labels."""
        decode = self.head.direct(memory)
        return torch.cat([self.head.read_out(decode(part), part) for part in torch.split(chosen, ROWS, dim=1)], dim=1)


def decoder_of(head: Scoring) -> InferenceHead:
    """The zero-shot decoder of a head.

    Raises:
        UsageError: the head is closed-set, or has no decoder.
    """
    if isinstance(head, SimilarityInference):
        raise UsageError("a short list is for a decoder; CLIP without training scores all labels as it is")
    decoder = head.decoder if isinstance(head, TwoPathInference) else head
    if decoder is None:
        raise UsageError("a short list is for a decoder; this head has a linear path alone, which scores all labels")
    if decoder.head.label_features is None:
        raise UsageError("a short list is for label embeddings; this head is closed-set")
    return decoder


def one_by_one(tokens: Tensor) -> tuple[Tensor, ...]:
    """(B,T,C) → B times (1,T,C)."""
    images: tuple[Tensor, ...] = torch.split(tokens, 1)
    return images
