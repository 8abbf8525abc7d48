"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_STEPS = 2**16


class Dropout(nn.Module):
    """`nn.Dropout`, with four masks' worth of bits out of each random number.

    PyTorch draws a 64-bit number for each element on a CPU, which took a sixth of a training step of the decoder. The
    probability is rounded to 1/65536, and what is kept is scaled by the rounded one.

    Args:
        p: the probability of 0, in [0,1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = round(self.p * _STEPS)
        numbers = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
        drawn = numbers.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (drawn >= dropped - _STEPS // 2).to(x.dtype).mul_(_STEPS / (_STEPS - dropped))
