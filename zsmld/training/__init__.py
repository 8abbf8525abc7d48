"""Fit a model on the seen labels only."""
