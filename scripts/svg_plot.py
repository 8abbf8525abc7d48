"""Line plots as SVG, for the growth of things: several panels side by side, one legend, logarithmic axes."""

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
    """One plot: a line a name. Both axes are logarithmic; points that are not positive are left out."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Points]


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
    points = [point for line in panel.series.values() for point in line if min(point) > 0]
    (x_low, x_high), (y_low, y_high) = (_decades([point[axis] for point in points]) for axis in (0, 1))
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = (math.log10(value) for value in point)
        return (
            _LEFT + across * (x - x_low) / (x_high - x_low),
            _TOP + down * (1 - (y - y_low) / (y_high - y_low)),
        )

    parts = [
        f'<text x="{_LEFT}" y="18" font-weight="bold" fill="#222">{escape(panel.title)}</text>',
        f'<text x="{_LEFT + across / 2}" y="{_HEIGHT - 8}" text-anchor="middle" fill="#222">'
        f"{escape(panel.x_label)}</text>",
        f'<text transform="translate(12,{_TOP + down / 2}) rotate(-90)" text-anchor="middle" fill="#222">'
        f"{escape(panel.y_label)}</text>",
    ]
    for x in range(math.ceil(x_low), math.floor(x_high) + 1):
        at = place((10.0**x, 10.0**y_low))[0]
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_TOP + down}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{_TOP + down + 14}" text-anchor="middle" fill="#222">{_told(x)}</text>')
    for y in range(math.ceil(y_low), math.floor(y_high) + 1):
        at = place((10.0**x_low, 10.0**y))[1]
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_LEFT + across}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end" fill="#222">{_told(y)}</text>')
    for name, line in panel.series.items():
        placed = [place(point) for point in line if min(point) > 0]
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


def _told(exponent: int) -> str:
    """10 to the exponent, as people write it."""
    if exponent < 0:
        return f"{10.0**exponent:.{-exponent}f}"
    for power, suffix in ((12, " T"), (9, " G"), (6, " M"), (3, " k")):
        if exponent >= power:
            return f"{10 ** (exponent - power)}{suffix}"
    return str(10**exponent)
