"""Scores and truth → figures."""

from zsmld.evaluation.metrics import accuracy, average_precision, chance, harmonic_mean, top_k

__all__ = ["accuracy", "average_precision", "chance", "harmonic_mean", "top_k"]
