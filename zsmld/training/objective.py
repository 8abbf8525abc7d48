"""What training makes small, and by which figure it picks the epoch: the two kinds of truth, each with its own.

Shapes: B images, L labels.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zsmld.evaluation import accuracy, average_precision, harmonic_mean
from zsmld.settings import TrainSettings
from zsmld.training.loss import asymmetric_loss


class Objective(Protocol):
    """A loss, and the figure on the validation images that it is to lead to."""

    figure: str
    told: str

    def cost(self, logits: Tensor, targets: Tensor, known: Tensor | None, weights: Tensor | None) -> Tensor:
        """The loss, a scalar, of (B,n) logits of some of the labels; see `asymmetric_loss`."""

    def measure(self, scores: NDArray[np.float32], truth: NDArray[np.bool_], known: NDArray[np.bool_] | None) -> float:
        """The figure, more is better, of (I,L) scores."""


class MultiLabel:
    """Asymmetric loss; mean average precision."""

    figure, told = "validation_map", "mAP"

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings

    def cost(self, logits: Tensor, targets: Tensor, known: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective`."""
        return asymmetric_loss(
            logits, targets, known=known, weights=weights,
            gamma_negative=self.settings.gamma_negative, gamma_positive=self.settings.gamma_positive,
            margin=self.settings.margin,
        )  # fmt: skip

    def measure(self, scores: NDArray[np.float32], truth: NDArray[np.bool_], known: NDArray[np.bool_] | None) -> float:
        """Over the labels that have a validation image; 0 where none has."""
        return _mean(average_precision(scores, truth, known))


class Transfer(MultiLabel):
    """Asymmetric loss; the harmonic mean of the mAP of labels trained on and of labels held out.

    Args:
        settings: of the loss.
        trained_on: (L,), true for the labels trained on, of those that are measured.
    """

    figure, told = "validation_harmonic_map", "harmonic mean of mAP"

    def __init__(self, settings: TrainSettings, trained_on: NDArray[np.bool_]) -> None:
        super().__init__(settings)
        self.trained_on = trained_on

    def measure(self, scores: NDArray[np.float32], truth: NDArray[np.bool_], known: NDArray[np.bool_] | None) -> float:
        """See `Objective`; 0 where one of the two cannot be measured."""
        return self.parts(scores, truth, known)[2]

    def parts(
        self, scores: NDArray[np.float32], truth: NDArray[np.bool_], known: NDArray[np.bool_] | None
    ) -> tuple[float, float, float]:
        """mAP of labels trained on, of labels held out, and their harmonic mean."""
        precisions = average_precision(scores, truth, known)
        seen, unseen = (_mean(precisions[part]) for part in (self.trained_on, ~self.trained_on))
        return seen, unseen, float(harmonic_mean(seen, unseen))


class SingleLabel:
    """Softmax cross-entropy over all classes; accuracy."""

    figure, told = "validation_accuracy", "accuracy"

    def cost(self, logits: Tensor, targets: Tensor, known: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective`; every image has exactly one class, and all of it is known."""
        assert known is None and weights is None
        return F.cross_entropy(logits, targets.argmax(dim=1))

    def measure(self, scores: NDArray[np.float32], truth: NDArray[np.bool_], known: NDArray[np.bool_] | None) -> float:
        """See `Objective`."""
        assert known is None
        return accuracy(scores, truth, 1)


def _mean(precisions: NDArray[np.float64]) -> float:
    return float(np.nanmean(precisions)) if np.isfinite(precisions).any() else 0.0


def objective_of(settings: TrainSettings) -> Objective:
    """The one that the settings ask for."""
    return SingleLabel() if settings.single_label else MultiLabel(settings)
