"""The optimiser of a training, the rise of its rate, and the average of its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zsmld.settings import TrainSettings


def build_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW (or Adam, as published): no decay on biases and norms, the backbone with a rate of its own."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim < 2), []).append(parameter)
    backbone_rate = (
        settings.learning_rate if settings.backbone_learning_rate is None else settings.backbone_learning_rate
    )
    described = [
        {
            "params": parameters,
            "lr": backbone_rate if in_backbone else settings.learning_rate,
            "weight_decay": 0.0 if is_flat else settings.weight_decay,
        }
        for (in_backbone, is_flat), parameters in groups.items()
    ]
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(described)


def rising_part(warmup: float, total: int) -> float:
    """`warmup`, or none where it is a single step: OneCycleLR divides by the steps between the first and the peak."""
    return warmup if warmup * total > 1 else 0.0


def warmed_up_average(decay: float) -> Any:
    """Exponential moving average whose memory grows from 10 steps to 1/(1-decay) of them."""

    def update(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        warmed = min(decay, (1 + int(count)) / (10 + int(count)))
        return averaged * warmed + current * (1 - warmed)

    return update
