"""Scores and truth → figures."""

from zsmld.evaluation.metrics import accuracy, average_precision, chance, harmonic_mean, top_k
from zsmld.evaluation.report import REPORTS

__all__ = ["REPORTS", "accuracy", "average_precision", "chance", "harmonic_mean", "top_k"]
