"""Simple methods on the same tokens, labels and images as the decoder: what it has to be better than."""

from zsmld.baselines.choice import Fitted, Prepared, fit_method, prepare
from zsmld.baselines.clip import clip_scores
from zsmld.baselines.methods import METHODS

__all__ = ["METHODS", "Fitted", "Prepared", "clip_scores", "fit_method", "prepare"]
