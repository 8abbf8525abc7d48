"""Line plots as SVG, for the growth of things: several panels side by side, one legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

Points: TypeAlias = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 330, 250  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 30, 42  # of it around the axes
_LEGEND = 18  # a line of it
# Okabe and Ito's colours, told apart by people who see few; and dashes, for those who print without any.
_STYLES = (
    ("#0072b2", ""), ("#d55e00", "6 3"), ("#009e73", "2 3"), ("#cc79a7", "8 3 2 3"), ("#000000", "1 2"),
    ("#e69f00", "10 4"),
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One plot: a line a name. Both axes are linear, or logarithmic: then points that are not positive are left out."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Points]
    linear: bool = False


class _Axis:
    """From values to pixels."""

    def __init__(self, values: Sequence[float], linear: bool, start: float, length: float) -> None:
        self.linear, self.start, self.length = linear, start, length
        if linear:
            step = _round_step(max(values) / 5)
            self.low, self.high = 0.0, step * math.ceil(max(values) / step - 1e-9)
            self.ticks = [(at * step, f"{at * step:,.6g}") for at in range(round(self.high / step) + 1)]
        else:
            self.low, self.high = _decades(values)
            whole = range(math.ceil(self.low), math.floor(self.high) + 1)
            self.ticks = [(10.0**at, _told(at)) for at in whole]

    def place(self, value: float) -> float:
        part = ((value if self.linear else math.log10(value)) - self.low) / (self.high - self.low)
        return self.start + self.length * part


def draw(panels: Sequence[Panel], columns: int = 2) -> str:
    """The panels in rows of `columns`, and under them the names of all lines."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    rows = -(-len(panels) // columns)
    width, height = columns * _WIDTH + _RIGHT, rows * _HEIGHT + _LEGEND * len(names) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for at, panel in enumerate(panels):
        parts.append(f'<g transform="translate({at % columns * _WIDTH},{at // columns * _HEIGHT})">')
        parts += [*_panel(panel, names), "</g>"]
    for at, name in enumerate(names):
        y = rows * _HEIGHT + 8 + _LEGEND * at
        parts.append(_line([(_LEFT, y), (_LEFT + 34, y)], at))
        parts.append(f'<text x="{_LEFT + 42}" y="{y + 4}" fill="#222">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, names: Sequence[str]) -> list[str]:
    def shown(line: Points) -> Points:
        return [point for point in line if panel.linear or min(point) > 0]

    points = [point for line in panel.series.values() for point in shown(line)]
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    horizontal = _Axis([x for x, _ in points], panel.linear, _LEFT, across)
    vertical = _Axis([y for _, y in points], panel.linear, _TOP + down, -down)
    parts = [
        f'<text x="{_LEFT}" y="18" font-weight="bold" fill="#222">{escape(panel.title)}</text>',
        f'<text x="{_LEFT + across / 2}" y="{_HEIGHT - 8}" text-anchor="middle" fill="#222">'
        f"{escape(panel.x_label)}</text>",
        f'<text transform="translate(12,{_TOP + down / 2}) rotate(-90)" text-anchor="middle" fill="#222">'
        f"{escape(panel.y_label)}</text>",
    ]
    for x, told in horizontal.ticks:
        at = horizontal.place(x)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_TOP + down}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{_TOP + down + 14}" text-anchor="middle" fill="#222">{told}</text>')
    for y, told in vertical.ticks:
        at = vertical.place(y)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_LEFT + across}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end" fill="#222">{told}</text>')
    for name, line in panel.series.items():
        placed = [(horizontal.place(x), vertical.place(y)) for x, y in shown(line)]
        parts.append(_line(placed, names.index(name)))
        colour = _STYLES[names.index(name) % len(_STYLES)][0]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>' for x, y in placed]
    return parts


def _line(points: Sequence[tuple[float, float]], style: int) -> str:
    colour, dashes = _STYLES[style % len(_STYLES)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dashes}"/>'


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Logarithms of the ends of an axis: whole decades where the values fill them, at least one."""
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = math.floor(low + 1e-9), math.ceil(high - 1e-9)
    return float(low), float(max(high, low + 1))


def _round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9))


def _told(exponent: int) -> str:
    """10 to the exponent, as people write it."""
    if exponent < 0:
        return f"{10.0**exponent:.{-exponent}f}"
    for power, suffix in ((12, " T"), (9, " G"), (6, " M"), (3, " k")):
        if exponent >= power:
            return f"{10 ** (exponent - power)}{suffix}"
    return str(10**exponent)
