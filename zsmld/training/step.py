"""The gradients of one training step, with the labels of a vocabulary in chunks, or with some of them.

The loss is a sum over labels, and labels never look at each other. So its gradient with respect to what all labels look
at, the image side, is a sum over chunks of labels, and only one chunk's activations need be kept at a time. This is the
gradient of the whole loss, but for the order of additions: nothing is computed twice.

Shapes: B images, L labels, E label-embedding width, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

# Images × labels whose activations are kept: some 250 MiB with the paper's sizes.
ROWS = 4096


class Decodes(Protocol):
    """A module in two halves."""

    def memory(self, inputs: Tensor, /) -> Tensor:
        """Inputs of B images → (B,T,D): what all labels look at."""

    def decode(self, memory: Tensor, label_embeddings: Tensor | None, /) -> Tensor:
        """That and (L,E) → (B,L)."""


def backward_in_chunks(
    module: Decodes,
    inputs: Tensor,
    label_embeddings: Tensor | None,
    cost: Callable[[Tensor, slice], Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> float:
    """Add the gradients of a loss to those of the module's parameters.

    Args:
        module: in training mode.
        inputs: of B images.
        label_embeddings: (L,E); None for a closed-set module, which is computed in one piece.
        cost: logits (B,n), float32, of some labels, and which → their part of the loss, a scalar.
        dtype: what PyTorch's autocast takes for the products.
        scale: makes the loss larger whose gradients are computed, where half precision would lose them.

    Returns:
        the loss, as it is.
    """
    mixed = partial(torch.autocast, inputs.device.type, dtype, enabled=dtype != torch.float32)
    with mixed():
        memory = module.memory(inputs)
    looked_at = memory.detach().requires_grad_()
    total = torch.zeros((), device=memory.device)
    for chunk in [slice(None)] if label_embeddings is None else _chunks(len(label_embeddings), len(memory)):
        words = None if label_embeddings is None else label_embeddings[chunk]
        with mixed():
            logits = module.decode(looked_at, words)
        loss = cost(logits.float(), chunk)
        scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    memory.backward(looked_at.grad)  # type: ignore[no-untyped-call]
    return float(total)


def _chunks(labels: int, images: int) -> Iterator[slice]:
    """Chunks of one size, as few as the rows allow."""
    count = -(-labels * images // ROWS)
    at_once = -(-labels // count)
    for start in range(0, labels, at_once):
        yield slice(start, start + at_once)


def sample_labels(targets: Tensor, negatives: int, seed: int) -> tuple[Tensor, Tensor]:
    """Labels of one step: all that any of its images has, and some of the others.

    Those of the others are drawn without replacement, each of them as likely, and stand for all of the others: their
    weight makes the expectation of the loss that over all labels.

    Args:
        targets: (B,L).
        negatives: how many of the labels that no image of the batch has.
        seed: of the draw.

    Returns:
        (n,) labels in ascending order, and (n,) the weight of each.
    """
    has_images = (targets > 0).any(dim=0).cpu().numpy()
    others = np.flatnonzero(~has_images)
    drawn = np.random.default_rng(seed).choice(others, min(negatives, len(others)), replace=False)
    weights = has_images.astype(np.float32)
    weights[drawn] = len(others) / max(len(drawn), 1)
    labels = np.flatnonzero(weights)
    return torch.from_numpy(labels).to(targets.device), torch.from_numpy(weights[labels]).to(targets.device)
