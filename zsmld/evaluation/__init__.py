"""Scores and truth → figures."""

from zsmld.evaluation.metrics import average_precision, chance, harmonic_mean, top_k

__all__ = ["average_precision", "chance", "harmonic_mean", "top_k"]
