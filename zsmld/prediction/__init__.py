"""Photographs and words → ranked labels."""
