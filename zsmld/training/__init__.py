"""Fit a decoder on the seen labels only."""

from zsmld.training.validation import split_validation

__all__ = ["split_validation"]
