"""Recipes: named sets of training settings. Whatever is given beside one goes before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """What a recipe sets, and where it is from; all else has the defaults of `TrainSettings`.

    Attributes:
        source: where the numbers are from.
        values: by the name of the setting.
    """

    source: str
    values: Mapping[str, Any]


RECIPES = {
    "default": Recipe("docs/experiments.md", {}),
    "ml-decoder": Recipe(
        'Ridnik et al., "ML-Decoder", WACV 2023: the published zero-shot training on NUS-WIDE',
        {
            "method": "decoder",
            "backbone": "timm:tresnet_l",
            "train_backbone": True,
            "image_size": 224,
            "augmentation": "ml-decoder",
            "width": 768,
            "heads": 8,
            "feed_forward": 2048,
            "dropout": 0.1,
            "query_dropout": "image",
            "label_vectors": "raw",
            "epochs": 40,
            "batch_size": 56,
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "weight_decay": 1e-2,
            "warmup": 0.2,
            "ema_decay": 0.9997,
            "clip_norm": 0.0,
            "gamma_negative": 4.0,
            "gamma_positive": 0.0,
            "margin": 0.05,
            "label_sample": 0,
            "patience": 0,
        },
    ),
}
