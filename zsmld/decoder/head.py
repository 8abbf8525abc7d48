"""MLDecoder: image tokens (and label embeddings) → logits, as a plain `nn.Module`.

Ridnik et al., "ML-Decoder", WACV 2023, arXiv 2111.12933. Two kinds, told apart by one argument:

* zero-shot (`label_features=E`): queries are label embeddings, an argument of `forward`; any number of labels;
* closed-set (`num_classes=N`): fixed queries, group fully-connected readout; a drop-in replacement of a
  pooling + linear head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zsmld.decoder.inference import InferenceHead
from zsmld.decoder.layer import DecoderLayer
from zsmld.decoder.queries import FixedQueries, LabelQueries
from zsmld.decoder.readout import GroupReadout, SharedReadout
from zsmld.decoder.sequence import as_sequence
from zsmld.errors import InputError, UsageError

DEFAULT_GROUPS = 100


class MLDecoder(nn.Module):
    """The attention head.

    Args:
        in_features: C, the width of the image tokens.
        label_features: E, the width of the label embeddings: a zero-shot head.
        num_classes: N: a closed-set head. Exactly one of the two is given.
        groups: K, closed-set only; 100 by default and never more than N.
        width: D, the paper's 768.
        heads: H, the paper's 8.
        feed_forward: F, the paper's 2048.
        dropout: the paper's 0.1.
        centred: zero-shot only, see `LabelQueries`.
        projected: zero-shot only, see `LabelQueries`.
        mask_per_image: see `DecoderLayer`; the paper's True.

    Raises:
        UsageError: sizes that do not fit together.
    """

    def __init__(
        self,
        in_features: int,
        label_features: int | None = None,
        num_classes: int | None = None,
        groups: int | None = None,
        width: int = 768,
        heads: int = 8,
        feed_forward: int = 2048,
        dropout: float = 0.1,
        centred: bool = False,
        projected: bool = True,
        mask_per_image: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(in_features, label_features, num_classes, groups, width, heads, feed_forward)
        self.sizes = {
            "in_features": in_features,
            "label_features": label_features,
            "num_classes": num_classes,
            "groups": groups,
            "width": width,
            "heads": heads,
            "feed_forward": feed_forward,
            "dropout": dropout,
            "centred": centred,
            "projected": projected,
            "mask_per_image": mask_per_image,
        }
        self.in_features, self.label_features, self.num_classes = in_features, label_features, num_classes
        self.embed_tokens = nn.Linear(in_features, width)
        self.queries: LabelQueries | FixedQueries
        self.readout: SharedReadout | GroupReadout
        if label_features is not None:
            self.queries = LabelQueries(label_features, width, centred=centred, projected=projected)
            self.readout = SharedReadout(width)
        elif num_classes is not None:
            groups = min(groups or DEFAULT_GROUPS, num_classes)
            self.queries = FixedQueries(groups, width)
            self.readout = GroupReadout(groups, width, num_classes)
        self.layer = DecoderLayer(width, heads, feed_forward, dropout, mask_per_image=mask_per_image)

    def forward(self, tokens: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """Score every image for every label.

        Args:
            tokens: (B,T,C), or a feature map (B,C,h,w).
            label_embeddings: (L,E); zero-shot heads only.

        Returns:
            logits: (B,L), or (B,N) of a closed-set head.
        """
        return self.decode(self.memory(tokens), label_embeddings)

    def memory(self, tokens: Tensor) -> Tensor:
        """(B,T,C) or (B,C,h,w) → (B,T,D): what the queries look at."""
        return torch.relu(self.embed_tokens(as_sequence(tokens, self.in_features)))

    def decode(self, memory: Tensor, label_embeddings: Tensor | None = None) -> Tensor:
        """What `memory` gave → logits."""
        decoded = self.layer(self.queries_of(label_embeddings), memory)  # (B,L,D)
        logits: Tensor = self.readout(decoded)
        return logits

    def for_inference(self, label_embeddings: Tensor | None = None, dtype: torch.dtype | None = None) -> InferenceHead:
        """The same function of the tokens for one vocabulary, faster; as the weights are now.

        Args:
            label_embeddings: (L,E); zero-shot heads only.
            dtype: what to compute in, such as `torch.bfloat16`; None for the head's own.
        """
        return InferenceHead(self, label_embeddings, dtype)

    def queries_of(self, label_embeddings: Tensor | None) -> Tensor:
        """(N,D): what the decoder layer is asked.

        Raises:
            UsageError: label embeddings where none belong, or the other way round.
        """
        zero_shot = isinstance(self.queries, LabelQueries)
        if zero_shot != (label_embeddings is not None):
            wanted = "needs label embeddings" if zero_shot else "is closed-set and takes no label embeddings"
            raise UsageError(f"this head {wanted}")
        queries: Tensor = self.queries(label_embeddings) if zero_shot else self.queries()
        return queries

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor], *, heads: int = 8) -> MLDecoder:
        """Build a head from a published ML-Decoder state dict, zero-shot or closed-set.

        Sizes are read off the tensors; keys may stand under `head.` or `fc.`, beside a backbone's. The number of
        heads leaves no trace in the tensors: the published code has 8.

        Raises:
            InputError: a key is missing, or a tensor has a shape that no published head has.
        """
        from zsmld.decoder.published import convert_published

        arguments, converted = convert_published(state_dict, heads)
        head = cls(**arguments)
        try:
            head.load_state_dict(converted)
        except RuntimeError as error:
            raise InputError(f"the published state dict does not fit: {' '.join(str(error).split())}") from error
        return head.eval()

    @classmethod
    def from_sizes(cls, sizes: Mapping[str, Any]) -> MLDecoder:
        """Build an untrained head from what `sizes` of another one held."""
        return cls(**sizes)


def _check_sizes(
    in_features: int,
    label_features: int | None,
    num_classes: int | None,
    groups: int | None,
    width: int,
    heads: int,
    feed_forward: int,
) -> None:
    if (label_features is None) == (num_classes is None):
        raise UsageError("expected either label_features (zero-shot) or num_classes (closed-set)")
    if groups is not None and num_classes is None:
        raise UsageError("groups belong to a closed-set head, given num_classes")
    named = {
        "in_features": in_features, "label_features": label_features, "num_classes": num_classes, "groups": groups,
        "width": width, "heads": heads, "feed_forward": feed_forward,
    }  # fmt: skip
    for name, size in named.items():
        if size is not None and size < 1:
            raise UsageError(f"{name} is {size}, expected at least 1")
