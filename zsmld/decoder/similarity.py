"""SimilarityHead: what a CLIP model says of photographs and words without any training here.

Tokens are those of `ClipBackbone`: the whole image, then its patches, all of length 1 and in the space of the words.

Models trained with a sigmoid (SigLIP: Zhai et al., ICCV 2023, equation 1) say themselves how likely a pair is:

    logit = scale · cos(image, word) + bias

Models trained with a softmax (CLIP: Radford et al. 2021) only compare texts with each other. Here a word is compared
with one neutral text, `reference`, and with nothing else, so that no other word that is asked for has a say in it:

    logit = scale · (s(word) - s(reference)),    s = (1 - PATCHES) · whole + PATCHES · patches

which is the softmax over two texts, as Sun et al. ("DualCoOp", NeurIPS 2022, section 3) have it over a positive and a
negative prompt. From them comes also how patches are put together, a soft maximum: the patches' cosines with the word,
weighted by their softmax; with the same weights for the reference, which is looked at where the word looks.

What the patches count could not be measured here. Published methods give them half (Lin et al., "TagCLIP", AAAI 2024)
or all (DualCoOp), with patches that were made better than the tower gives them; it was trained to compare whole images
alone, and so these count three quarters.

Shapes: B images, T patches, E width of the common space, L labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zsmld.decoder.sequence import as_sequence
from zsmld.errors import UsageError

# What the patches count beside the whole image.
PATCHES = 0.25
# How sharp the softmax over patches is: DualCoOp's 20.
SHARPNESS = 20.0
# Labels that are worked on at a time, always so many: see `SimilarityInference`.
_LABELS = 256
# Patches of all images that are worked on.
_ROWS = 1024


class SimilarityHead(nn.Module):
    """Tokens of a `ClipBackbone` and label embeddings → logits. Nothing in it is trained.

    Args:
        width: E.
        scale: what cosines are multiplied with, the model's own.
        bias: what is added then, of a model that was trained with a sigmoid.
        reference: (E,) of length 1, the neutral text, of one that was trained with a softmax. One of the two is given.
    """

    scale: Tensor
    bias: Tensor
    reference: Tensor | None

    def __init__(self, width: int, scale: float, *, bias: float | None = None, reference: Tensor | None = None) -> None:
        super().__init__()
        if (bias is None) == (reference is None):
            raise UsageError("expected either a bias or a reference")
        self.label_features = width
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("bias", torch.tensor(bias or 0.0))
        self.register_buffer("reference", reference)

    @property
    def num_classes(self) -> None:
        """It has no classes of its own."""
        return

    def forward(self, tokens: Tensor, label_embeddings: Tensor) -> Tensor:
        """Score every image for every label.

        Args:
            tokens: (B,1+T,E), the whole image first.
            label_embeddings: (L,E), of length 1.

        Returns:
            logits: (B,L).
        """
        tokens = as_sequence(tokens, self.label_features)
        cosines = tokens @ label_embeddings.T  # (B,1+T,L)
        if self.reference is None:
            return self.scale * cosines[:, 0] + self.bias
        neutral = (tokens @ self.reference).unsqueeze(2)  # (B,1+T,1)
        whole = cosines[:, 0] - neutral[:, 0]
        if tokens.shape[1] == 1:
            return self.scale * whole
        # A softmax's e to the power of: no cosine is too large for it.
        looks = (SHARPNESS * cosines[:, 1:]).exp_()  # (B,T,L)
        patches = (looks * (cosines[:, 1:] - neutral[:, 1:])).sum(dim=1) / looks.sum(dim=1)
        return self.scale * ((1 - PATCHES) * whole + PATCHES * patches)

    def looks_at(self, tokens: Tensor, label_embeddings: Tensor) -> Tensor:
        """(B,1+T,E) and (L,E) → (B,L,T): how much each patch counts for each label, 1 over all patches."""
        patches = as_sequence(tokens, self.label_features)[:, 1:]
        return torch.softmax(SHARPNESS * label_embeddings @ patches.transpose(1, 2), dim=-1)

    def for_inference(self, label_embeddings: Tensor) -> SimilarityInference:
        """The same function of the tokens for one vocabulary, in memory that does not grow with it.

        Args:
            label_embeddings: (L,E), of length 1.
        """
        return SimilarityInference(self, label_embeddings)


class SimilarityInference:
    """A head with its vocabulary: tokens (B,1+T,E) → logits (B,L).

    The last bits of a matrix product depend on its shape, and a scale of 100 brings them to the fifth digit of a logit.
    So that a label's score is the same whatever others are asked for, labels go through in chunks of one size, the last
    one filled up.
    """

    @torch.inference_mode()
    def __init__(self, head: SimilarityHead, label_embeddings: Tensor) -> None:
        if label_embeddings.ndim != 2 or label_embeddings.shape[1] != head.label_features:
            shape = tuple(label_embeddings.shape)
            raise UsageError(f"label embeddings of shape {shape}, expected (labels, {head.label_features})")
        self.head = head
        self.labels = len(label_embeddings)
        blank = label_embeddings.new_zeros(-self.labels % _LABELS, head.label_features)
        self.chunks = torch.split(torch.cat([label_embeddings, blank]), _LABELS)

    @torch.inference_mode()
    def __call__(self, tokens: Tensor) -> Tensor:
        """Score every image for every label of the vocabulary."""
        tokens = as_sequence(tokens, self.head.label_features).float()
        if self.head.reference is None:
            tokens = tokens[:, :1]  # patches count for nothing there
        at_once = max(_ROWS // tokens.shape[1], 1)
        logits = tokens.new_empty(len(tokens), len(self.chunks) * _LABELS)
        for part, own in zip(torch.split(tokens, at_once), torch.split(logits, at_once), strict=True):
            for start, chunk in enumerate(self.chunks):
                own[:, start * _LABELS : (start + 1) * _LABELS] = self.head(part, chunk)
        return logits[:, : self.labels]
