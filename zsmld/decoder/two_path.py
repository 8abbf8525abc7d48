"""TwoPathHead: a linear path in closed form, an attention decoder, and the gate between them.

    logits = (1 - gate) · linear + gate · (scale · decoder + shift)

On a few thousand photographs the linear path ranks words never trained on better than the decoder does, on many it is
the reverse; `zsmld train` measures on held-out labels which it is, and sets the gate (docs/linear_path.md). Scale and
shift bring the decoder's logits to where probabilities are, as the linear path's own are. A gate of 0 leaves the
decoder out altogether.

Shapes: B images, T tokens, C token width, L labels, E label-embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zsmld.decoder.head import MLDecoder
from zsmld.decoder.inference import InferenceHead
from zsmld.decoder.linear import LinearPath
from zsmld.decoder.sequence import as_sequence


class TwoPathHead(nn.Module):
    """Image tokens and label embeddings → logits.

    Args:
        linear: fitted.
        decoder: a zero-shot one; None for the linear path alone.
        gate: in [0,1]; what the decoder counts.
        scale: of the decoder's logits.
        shift: of these.
    """

    gate: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        linear: LinearPath,
        decoder: MLDecoder | None = None,
        *,
        gate: float = 0.0,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.linear, self.decoder = linear, decoder
        for name, value in (("gate", gate), ("scale", scale), ("shift", shift)):
            self.register_buffer(name, torch.tensor(value))

    @property
    def sizes(self) -> dict[str, Any]:
        """What `from_sizes` builds the same head from, without its weights."""
        return {"linear": self.linear.sizes, "decoder": None if self.decoder is None else self.decoder.sizes}

    @classmethod
    def from_sizes(cls, sizes: Mapping[str, Any]) -> TwoPathHead:
        """Build an unfitted head from what `sizes` of another one held."""
        decoder = sizes["decoder"]
        return cls(LinearPath(**sizes["linear"]), None if decoder is None else MLDecoder.from_sizes(decoder))

    @property
    def label_features(self) -> int:
        """E."""
        return self.linear.label_features

    @property
    def num_classes(self) -> None:
        """It has no classes of its own."""
        return

    def forward(self, tokens: Tensor, label_embeddings: Tensor) -> Tensor:
        """Score every image for every label.

        Args:
            tokens: (B,T,C), or a feature map (B,C,h,w).
            label_embeddings: (L,E).

        Returns:
            logits: (B,L).
        """
        tokens = as_sequence(tokens, self.linear.in_features)
        linear: Tensor = self.linear(tokens.mean(dim=1), label_embeddings)
        return linear if self.decoder is None else self.mixed(linear, self.decoder(tokens, label_embeddings))

    def mixed(self, linear: Tensor, decoder: Tensor) -> Tensor:
        """Logits of both paths → logits; of any shape."""
        return (1 - self.gate) * linear + self.gate * (self.scale * decoder + self.shift)

    def for_inference(self, label_embeddings: Tensor, dtype: torch.dtype | None = None) -> TwoPathInference:
        """The same function of the tokens for one vocabulary, faster; as the weights are now.

        Args:
            label_embeddings: (L,E).
            dtype: what the decoder computes in, such as `torch.bfloat16`; None for the head's own.
        """
        return TwoPathInference(self, label_embeddings, dtype)


class TwoPathInference:
    """A head with its vocabulary: tokens (B,T,C), or a feature map (B,C,h,w) → logits (B,L).

    Attributes:
        decoder: with its queries; None for the linear path alone.
    """

    @torch.inference_mode()
    def __init__(self, head: TwoPathHead, label_embeddings: Tensor, dtype: torch.dtype | None = None) -> None:
        self.head = head
        self.weights = head.linear.weights_of(label_embeddings)
        self.decoder: InferenceHead | None = None
        if head.decoder is not None:
            self.decoder = head.decoder.for_inference(label_embeddings, dtype)

    @torch.inference_mode()
    def __call__(self, tokens: Tensor) -> Tensor:
        """Score every image for every label of the vocabulary."""
        linear = self.linear(tokens)
        return linear if self.decoder is None else self.head.mixed(linear, self.decoder(tokens))

    def linear(self, tokens: Tensor) -> Tensor:
        """(B,L): logits of the linear path alone."""
        tokens = as_sequence(tokens, self.head.linear.in_features)
        return self.head.linear.score(tokens.float().mean(dim=1), self.weights)
