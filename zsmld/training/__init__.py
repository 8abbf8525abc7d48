"""Fit a decoder on the seen labels only."""
