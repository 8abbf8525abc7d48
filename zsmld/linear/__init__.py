"""Closed-form methods on pooled tokens: ESZSL, ConSE, Fast0Tag, and the linear path of the default recipe."""

from zsmld.linear.choice import Choice, Round, choose, rounds
from zsmld.linear.fitting import Fitted, fit_logistic, fit_method, fit_path
from zsmld.linear.methods import METHODS, PATH, Method
from zsmld.linear.problem import Problem, pool

__all__ = [
    "METHODS", "PATH", "Choice", "Fitted", "Method", "Problem", "Round", "choose", "fit_logistic", "fit_method",
    "fit_path", "pool", "rounds",
]  # fmt: skip
