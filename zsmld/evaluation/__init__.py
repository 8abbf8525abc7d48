"""Scores and truth → figures."""

from zsmld.evaluation.calibration import offset_curve
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.metrics import accuracy, average_precision, chance, harmonic_mean, top_k
from zsmld.evaluation.report import REPORTS

__all__ = [
    "REPORTS", "ScoreTable", "accuracy", "average_precision", "chance", "harmonic_mean", "offset_curve", "top_k",
]  # fmt: skip
