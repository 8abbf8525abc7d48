"""Plots of the HTML report as inline SVG: drawn in the text's own colour, so that they follow dark mode and paper.

Everything that comes from outside, labels above all, is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44
_TICKS = 5


@dataclass(frozen=True)
class Axis:
    """One axis: what it says, and the range it covers; logarithmic ones start at 1."""

    title: str
    low: float
    high: float
    logarithmic: bool = False
    fraction: bool = False  # shown in percent

    def place(self, value: float) -> float:
        """Where `value` lies, from 0 to 1."""
        if self.logarithmic:
            low, high = math.log10(max(self.low, 1)), math.log10(max(self.high, 10))
            return (math.log10(max(value, 1)) - low) / (high - low)
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Round values in the range, and how they are written."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(max(self.low, 1))), math.ceil(math.log10(max(self.high, 10))) + 1)
            return [(10.0**at, f"{10**at:,}") for at in decades if self.low <= 10**at <= max(self.high, 10)]
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        values = [at * step for at in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [(value, f"{100 * value:.3g}" if self.fraction else f"{value:.3g}") for value in values]


def _round_step(step: float) -> float:
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * round_ for round_ in (1, 2, 5, 10) if power * round_ >= step * 0.999)


@dataclass(frozen=True)
class Mark:
    """A point with a name; `kind` picks its look: seen, unseen or note."""

    x: float
    y: float
    name: str
    kind: str = "seen"


def plot(
    x: Axis, y: Axis, *, about: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]] = (),
    marks: Sequence[Mark] = (),
) -> str:  # fmt: skip
    """A plot of lines and points.

    Args:
        x, y: the axes.
        about: what it shows, for those who do not see it.
        lines: look (seen, unseen, note or ideal) and points of each.
        marks: points; their names appear under the pointer, those of kind `note` always.
    """
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(about)}" class="plot">',
        f"<title>{escape(about)}</title>", *_grid(x, y),
    ]  # fmt: skip
    for kind, points in lines:
        told = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in points)
        parts.append(f'<polyline points="{told}" class="line {kind}"/>')
    for mark in marks:
        at_x, at_y = _x(x, mark.x), _y(y, mark.y)
        name = escape(mark.name)
        parts.append(
            f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3.2" class="mark {mark.kind}"><title>{name}</title></circle>'
        )
        if mark.kind == "note":
            side = "end" if at_x > _WIDTH * 0.6 else "start"
            shift = -7 if side == "end" else 7
            parts.append(f'<text x="{at_x + shift:.1f}" y="{at_y - 5:.1f}" text-anchor="{side}">{name}</text>')
    return "".join([*parts, "</svg>"])


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(x: Axis, y: Axis) -> list[str]:
    parts = []
    for value, told in x.ticks():
        at = _x(x, value)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{told}</text>')
    for value, told in y.ticks():
        at = _y(y, value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{told}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle" class="title">{escape(x.title)}</text>')
    up = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {up})" text-anchor="middle" class="title"'
    parts.append(f'<text x="12" y="{up}" {turned}>{escape(y.title)}</text>')
    return parts
