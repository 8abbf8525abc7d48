"""Scores and truth → figures."""
