"""Why these labels: where each looked in the photograph, and what it is near to of what the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld.decoder.attention import attention_weights
from zsmld.decoder.model_folder import TrainedModel
from zsmld.prediction.asked import Asked
from zsmld.prediction.heatmaps import heatmap_of
from zsmld.prediction.results import Heatmap, ScoredLabel


class Explainer:
    """Explains the labels of one photograph after another.

    Args:
        trained: on `device` already.
        asked: the words.
        device: where to compute.
    """

    def __init__(self, trained: TrainedModel, asked: Asked, device: torch.device) -> None:
        self.head, self.asked, self.device = trained.model.head, asked, device
        self._nearest: dict[int, tuple[tuple[str, float], ...]] = {}

    def explained(self, labels: Mapping[int, ScoredLabel], tokens: Tensor) -> dict[int, ScoredLabel]:
        """The labels of a photograph, by row, with `nearest` and `heatmap`.

        Args:
            labels: as `Asked.chosen` gave them.
            tokens: (T,C) of the photograph.
        """
        maps = self._heatmaps(list(labels), tokens)
        return {
            row: replace(label, nearest=self._near(row), heatmap=heatmap)
            for (row, label), heatmap in zip(labels.items(), maps, strict=True)
        }

    def _near(self, row: int) -> tuple[tuple[str, float], ...]:
        if row not in self._nearest:
            self._nearest[row] = self.asked.nearest(row)
        return self._nearest[row]

    def _heatmaps(self, rows: list[int], tokens: Tensor) -> list[Heatmap | None]:
        """None of classes: several of a closed-set head's share a query, which looks for all of them at once."""
        if self.asked.vectors is None or not rows:
            return [None] * len(rows)
        words = self.asked.vectors[rows].to(self.device)
        weights = attention_weights(self.head, tokens.unsqueeze(0).float().to(self.device), words)[0]  # (k,T)
        numbers: NDArray[np.float32] = weights.float().cpu().numpy()
        return [heatmap_of(each) for each in numbers]
