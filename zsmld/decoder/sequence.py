"""Image tokens as they come → as the heads take them."""

from __future__ import annotations

from torch import Tensor

from zsmld.errors import UsageError


def as_sequence(tokens: Tensor, width: int) -> Tensor:
    """(B,T,C) or (B,C,h,w) → (B,T,C).

    Raises:
        UsageError: any other shape, or another width than `width`.
    """
    if tokens.ndim == 4:
        tokens = tokens.flatten(2).transpose(1, 2)  # (B,C,h,w) → (B,T,C)
    if tokens.ndim != 3 or tokens.shape[2] != width:
        raise UsageError(f"tokens of shape {tuple(tokens.shape)}, expected (B, T, {width}) or (B, {width}, h, w)")
    return tokens
