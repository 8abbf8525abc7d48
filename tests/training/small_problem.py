"""Generated tokens that are learnt in seconds, and a trainer for them."""

import numpy as np
import torch

from zsmld import MLDecoder
from zsmld.config import build
from zsmld.settings import TrainSettings
from zsmld.training.feeding import PackedTargets, Part
from zsmld.training.loop import Trainer
from zsmld.training.objective import objective_of


class FixedTokens:
    def __init__(self, tokens):
        self.tokens = tokens

    def __len__(self):
        return len(self.tokens)

    def read(self, rows, augmentation_seed=None):
        del augmentation_seed
        return self.tokens[torch.from_numpy(rows)]


def problem(images=60, labels=5, width=8):
    """Each label is a direction; an image of the label has it in one of its tokens."""
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(labels, width, generator=generator)
    truth = torch.rand(images, labels, generator=generator) < 0.3
    tokens = 0.1 * torch.randn(images, 6, width, generator=generator)
    for label in range(labels):
        tokens[:, label] += truth[:, label, None] * vectors[label]
    return vectors, FixedTokens(tokens), PackedTargets(truth.numpy())


def trainer(folder, *, validate=True, seconds=300.0, module=None, **values):
    vectors, inputs, targets = problem()
    settings = build(TrainSettings, {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, **values})
    torch.manual_seed(settings.seed)
    head = module or MLDecoder(8, label_features=8, width=16, heads=2, feed_forward=16, dropout=0.1)
    rows = np.arange(60)
    validation = Part(inputs, targets, rows[48:]) if validate else None
    return Trainer(
        head, vectors, objective_of(settings), Part(inputs, targets, rows[:48]), validation, settings, folder,
        torch.device("cpu"), seconds_between_checkpoints=seconds,
    )  # fmt: skip
