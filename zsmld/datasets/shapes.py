"""How each kind of thing is drawn: one function per family, on a square that `Pen` maps to the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import ImageDraw

from zsmld.datasets.scenes import Placed
from zsmld.datasets.words import COLOURS, RGB

Point = tuple[float, float]

LEAF: RGB = (46, 125, 50)
STALK: RGB = (92, 64, 40)
GLASS: RGB = (176, 216, 232)
TYRE: RGB = (30, 30, 30)
STEEL: RGB = (170, 172, 178)


def shaded(colour: RGB, factor: float) -> RGB:
    """`colour`, `factor` times as bright."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def mixed(one: RGB, other: RGB, share: float) -> RGB:
    """`share` of `other` in `one`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


class Pen:
    """Draws in the coordinates of one thing: its square is [-1, 1]², y downwards, whatever its size or tilt."""

    def __init__(self, canvas: ImageDraw.ImageDraw, placed: Placed, side: int) -> None:
        self.canvas = canvas
        self.colour = shaded(COLOURS[placed.thing.colour].paint, placed.shade)
        # White needs a visible rim, black a visible light.
        self.dark = shaded(self.colour, 0.62)
        self.light = mixed(self.colour, (255, 255, 255), 0.35)
        self._centre = (placed.x * side, placed.y * side)
        self._half = placed.size * side / 2
        self._mirror = -1 if placed.flipped else 1
        self._turn = (math.cos(math.radians(placed.tilt)), math.sin(math.radians(placed.tilt)))

    def _at(self, point: Point) -> Point:
        (x, y), (cos, sin) = point, self._turn
        x *= self._mirror
        across, down = x * cos - y * sin, x * sin + y * cos
        return self._centre[0] + across * self._half, self._centre[1] + down * self._half

    def polygon(self, points: Sequence[Point], fill: RGB) -> None:
        """Fill a polygon."""
        self.canvas.polygon([self._at(point) for point in points], fill=fill)

    def oval(self, centre: Point, across: float, down: float, fill: RGB, turn: float = 0.0) -> None:
        """Fill an ellipse with half axes `across` and `down`, turned by `turn` degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        points = []
        for step in range(20):
            angle = 2 * math.pi * step / 20
            u, v = across * math.cos(angle), down * math.sin(angle)
            points.append((centre[0] + u * cos - v * sin, centre[1] + u * sin + v * cos))
        self.polygon(points, fill)

    def line(self, points: Sequence[Point], fill: RGB, width: float) -> None:
        """Draw a line of `width` (in the thing's own units)."""
        pixels = max(1, round(width * self._half))
        self.canvas.line([self._at(point) for point in points], fill=fill, width=pixels, joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, fill: RGB) -> None:
        """Fill an upright rectangle (upright in the thing's own coordinates)."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)


def _fruit(pen: Pen) -> None:
    pen.oval((0, 0.12), 0.8, 0.8, pen.dark)
    pen.oval((0, 0.1), 0.73, 0.73, pen.colour)
    pen.oval((-0.27, -0.17), 0.22, 0.15, pen.light, -35)
    pen.line([(0, -0.55), (0.06, -0.95)], STALK, 0.12)
    pen.oval((0.36, -0.82), 0.32, 0.14, LEAF, -20)


def _vegetable(pen: Pen) -> None:
    for tip in ((-0.98, -0.62), (-0.9, -0.92), (-0.6, -0.98)):
        pen.line([(-0.58, -0.58), tip], LEAF, 0.16)
    outline = [(-0.72, -0.42), (-0.42, -0.72), (0.1, -0.3), (0.62, 0.3), (0.95, 0.95), (0.3, 0.62), (-0.3, 0.1)]
    pen.polygon(outline, pen.dark)
    pen.polygon([(x * 0.92, y * 0.92) for x, y in outline], pen.colour)
    pen.line([(-0.4, -0.5), (0.45, 0.3)], pen.light, 0.1)


def _bird(pen: Pen) -> None:
    for leg in (-0.12, 0.14):
        pen.line([(leg, 0.4), (leg, 0.92)], STALK, 0.08)
    pen.polygon([(-0.4, 0.05), (-1.0, -0.2), (-0.98, 0.22), (-0.35, 0.35)], pen.dark)
    pen.oval((-0.02, 0.12), 0.62, 0.42, pen.colour, -14)
    pen.oval((0.5, -0.4), 0.32, 0.3, pen.colour)
    pen.oval((-0.14, 0.08), 0.42, 0.22, pen.dark, 14)
    pen.polygon([(0.78, -0.5), (1.06, -0.36), (0.78, -0.26)], (240, 170, 40))
    pen.oval((0.58, -0.47), 0.085, 0.085, (255, 255, 255))
    pen.oval((0.6, -0.47), 0.05, 0.05, (10, 10, 10))


def _flower(pen: Pen) -> None:
    pen.line([(0, 0), (0.05, 1.0)], LEAF, 0.13)
    pen.oval((0.3, 0.72), 0.28, 0.11, LEAF, -30)
    pen.oval((-0.22, 0.82), 0.26, 0.11, LEAF, 30)
    for step in range(7):
        angle = 2 * math.pi * step / 7
        petal = (0.46 * math.cos(angle), 0.46 * math.sin(angle) - 0.3)
        pen.oval(petal, 0.3, 0.2, pen.dark, math.degrees(angle))
        pen.oval(petal, 0.26, 0.16, pen.colour, math.degrees(angle))
    pen.oval((0, -0.3), 0.22, 0.22, (104, 70, 30))
    pen.oval((0, -0.3), 0.13, 0.13, (190, 140, 50))


def _fish(pen: Pen) -> None:
    pen.polygon([(-0.45, 0), (-1.0, -0.5), (-0.82, 0), (-1.0, 0.5)], pen.dark)
    pen.polygon([(-0.25, -0.35), (0.1, -0.75), (0.35, -0.35)], pen.dark)
    pen.oval((0.15, 0), 0.8, 0.48, pen.dark)
    pen.oval((0.15, 0), 0.74, 0.42, pen.colour)
    pen.line([(0.4, -0.34), (0.32, 0), (0.4, 0.34)], pen.dark, 0.07)
    for x in (-0.3, -0.05):
        pen.line([(x, -0.22), (x - 0.08, 0), (x, 0.22)], pen.light, 0.06)
    pen.oval((0.64, -0.12), 0.11, 0.11, (255, 255, 255))
    pen.oval((0.66, -0.12), 0.06, 0.06, (10, 10, 10))


def _vehicle(pen: Pen) -> None:
    pen.polygon([(-0.62, -0.05), (-0.45, -0.62), (0.38, -0.62), (0.62, -0.05)], pen.dark)
    pen.polygon([(-0.48, -0.08), (-0.36, -0.5), (-0.06, -0.5), (-0.06, -0.08)], GLASS)
    pen.polygon([(0.05, -0.08), (0.05, -0.5), (0.3, -0.5), (0.47, -0.08)], GLASS)
    pen.box(-0.98, -0.08, 0.98, 0.45, pen.dark)
    pen.box(-0.93, -0.04, 0.93, 0.38, pen.colour)
    pen.box(0.82, 0.02, 0.97, 0.16, (255, 244, 190))
    for x in (-0.55, 0.55):
        pen.oval((x, 0.45), 0.27, 0.27, TYRE)
        pen.oval((x, 0.45), 0.13, 0.13, STEEL)


def _boat(pen: Pen) -> None:
    pen.line([(0, 0.35), (0, -0.98)], STALK, 0.1)
    pen.polygon([(0.08, -0.92), (0.82, 0.2), (0.08, 0.2)], pen.dark)
    pen.polygon([(0.13, -0.75), (0.7, 0.15), (0.13, 0.15)], pen.light)
    pen.polygon([(-0.08, -0.75), (-0.62, 0.2), (-0.08, 0.2)], pen.light)
    pen.polygon([(-1.0, 0.32), (1.0, 0.32), (0.66, 0.86), (-0.66, 0.86)], pen.dark)
    pen.polygon([(-0.9, 0.37), (0.9, 0.37), (0.62, 0.8), (-0.62, 0.8)], pen.colour)


PAINTERS: dict[str, Callable[[Pen], None]] = {
    "fruit": _fruit,
    "vegetable": _vegetable,
    "bird": _bird,
    "flower": _flower,
    "fish": _fish,
    "vehicle": _vehicle,
    "boat": _boat,
}
