"""Paint a scene of the generated sample: sky, ground, things, weather, in that order."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from zsmld.datasets.scenes import Scene
from zsmld.datasets.shapes import PAINTERS, Pen, mixed, shaded
from zsmld.datasets.words import RGB

SIDE = 96
# Drawn larger and scaled down, for smooth edges.
_OVERSAMPLING = 2
_BIG = SIDE * _OVERSAMPLING
_HORIZON = round(0.38 * _BIG)

_SKIES: dict[str, tuple[RGB, RGB]] = {
    "day": ((96, 164, 230), (205, 229, 245)),
    "sunset": ((92, 70, 130), (252, 168, 92)),
    "night": ((10, 14, 40), (46, 56, 100)),
}
_CLOUDY: dict[str, RGB] = {"fog": (205, 208, 210), "rain": (128, 136, 148), "snow": (190, 198, 208)}
# What falls on everything: multiplied with the picture before the weather goes on top.
_LIGHT: dict[str, RGB] = {"day": (255, 255, 255), "sunset": (255, 226, 198), "night": (150, 156, 196)}


def paint(scene: Scene) -> Image.Image:
    """Paint `scene` as an RGB picture of `SIDE` × `SIDE` pixels; the same scene gives the same pixels."""
    rng = random.Random(scene.texture)
    picture = _sky(scene)
    canvas = ImageDraw.Draw(picture)
    _lights_of_the_sky(canvas, scene, rng)
    _GROUNDS[scene.ground](canvas, rng)
    for placed in scene.things:
        PAINTERS[placed.thing.family](Pen(canvas, placed, _BIG))
    picture = _lit(picture, scene)
    return _with_weather(picture, scene, rng).resize((SIDE, SIDE), Image.Resampling.BOX)


def _gradient(top: RGB, bottom: RGB, height: int) -> Image.Image:
    share = np.linspace(0, 1, height)[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    return Image.fromarray(np.broadcast_to(rows, (height, _BIG, 3)).round().astype(np.uint8))


def _sky(scene: Scene) -> Image.Image:
    top, bottom = _SKIES[scene.time]
    if scene.weather == "thunderstorm":
        top, bottom = mixed(top, (40, 42, 58), 0.85), mixed(bottom, (86, 88, 104), 0.85)
    elif scene.weather in _CLOUDY:
        top, bottom = (mixed(colour, _CLOUDY[scene.weather], 0.55) for colour in (top, bottom))
    picture = Image.new("RGB", (_BIG, _BIG))
    picture.paste(_gradient(top, bottom, _HORIZON), (0, 0))
    return picture


def _lights_of_the_sky(canvas: ImageDraw.ImageDraw, scene: Scene, rng: random.Random) -> None:
    if scene.time == "sunset":
        _disc(canvas, rng.uniform(0.15, 0.85) * _BIG, _HORIZON - 4, 0.10 * _BIG, (255, 224, 130))
    elif scene.time == "day" and scene.weather == "clear":
        _clouds(canvas, rng, (250, 252, 255))
    if scene.weather in ("rain", "thunderstorm"):
        _clouds(canvas, rng, (104, 110, 122) if scene.weather == "rain" else (58, 60, 74))


def _clouds(canvas: ImageDraw.ImageDraw, rng: random.Random, colour: RGB) -> None:
    for _ in range(rng.randint(1, 3)):
        x, y = rng.uniform(0, _BIG), rng.uniform(0.04, 0.22) * _BIG
        for offset in (-14, 0, 14):
            _disc(canvas, x + offset, y + rng.uniform(-3, 3), rng.uniform(8, 13), colour)


def _disc(canvas: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: RGB) -> None:
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _plain(canvas: ImageDraw.ImageDraw, rng: random.Random, colour: RGB, speckles: int = 70) -> None:
    """Lay a ground in `colour`, with speckles that grow towards the viewer."""
    canvas.rectangle((0, _HORIZON, _BIG, _BIG), fill=colour)
    for _ in range(speckles):
        depth = rng.random()
        x, y = rng.uniform(0, _BIG), _HORIZON + depth * (_BIG - _HORIZON)
        length = 3 + 7 * depth
        canvas.line((x, y, x + length, y), fill=shaded(colour, rng.uniform(0.85, 1.12)), width=2)


def _sea(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _plain(canvas, rng, (40, 120, 150), 30)
    for _ in range(26):
        x, y = rng.uniform(-10, _BIG), rng.uniform(_HORIZON + 6, _BIG)
        canvas.arc((x, y, x + 18, y + 8), 190, 350, fill=(170, 214, 224), width=2)


def _beach(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _plain(canvas, rng, (232, 208, 152))
    canvas.rectangle((0, _HORIZON, _BIG, _HORIZON + 14), fill=(64, 150, 180))
    canvas.line((0, _HORIZON + 15, _BIG, _HORIZON + 15), fill=(240, 248, 248), width=3)
    x = rng.choice((rng.uniform(0.02, 0.12), rng.uniform(0.88, 0.98))) * _BIG
    canvas.line((x, _HORIZON + 24, x + 4, _HORIZON - 34), fill=(120, 86, 52), width=5)
    for tip in (-26, -15, 15, 26):
        canvas.line((x + 4, _HORIZON - 34, x + 4 + tip, _HORIZON - 42 + abs(tip) // 2), fill=(40, 120, 60), width=5)


def _forest(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _plain(canvas, rng, (72, 88, 48))
    for x in range(-6, _BIG + 12, 17):
        middle, height = x + rng.uniform(-4, 4), rng.uniform(38, 62)
        canvas.rectangle((middle - 2, _HORIZON - 6, middle + 2, _HORIZON + 8), fill=(76, 54, 36))
        for level in range(3):
            top = _HORIZON - height + level * height / 4
            spread = 7 + 3 * level
            points = [(middle, top), (middle - spread, top + height / 2.4), (middle + spread, top + height / 2.4)]
            canvas.polygon(points, fill=shaded((28, 84, 48), rng.uniform(0.85, 1.15)))


def _desert(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _plain(canvas, rng, (214, 168, 104), 40)
    for _ in range(3):
        x, width = rng.uniform(-30, _BIG), rng.uniform(60, 130)
        canvas.polygon([(x, _HORIZON + 1), (x + width * 0.6, _HORIZON - 16), (x + width, _HORIZON + 1)], (198, 148, 88))
    x = rng.uniform(0.1, 0.9) * _BIG
    canvas.line((x, _HORIZON + 12, x, _HORIZON - 24), fill=(74, 112, 62), width=7)
    canvas.line((x - 11, _HORIZON - 16, x - 11, _HORIZON - 6, x, _HORIZON - 6), fill=(74, 112, 62), width=5)
    canvas.line((x + 11, _HORIZON - 20, x + 11, _HORIZON - 10, x, _HORIZON - 10), fill=(74, 112, 62), width=5)


def _city(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _plain(canvas, rng, (112, 112, 116), 30)
    x = -4.0
    while x < _BIG:
        width, height = rng.uniform(18, 32), rng.uniform(22, 62)
        canvas.rectangle(
            (x, _HORIZON - height, x + width, _HORIZON), fill=shaded((138, 128, 128), rng.uniform(0.7, 1.1))
        )
        for row in range(int(height // 11)):
            for window in range(int(width // 9)):
                left, top = x + 4 + window * 8, _HORIZON - height + 4 + row * 10
                canvas.rectangle((left, top, left + 3, top + 4), fill=(250, 226, 150))
        x += width + 2
    for left in range(6, _BIG, 36):
        canvas.rectangle((left, _BIG - 64, left + 18, _BIG - 61), fill=(224, 224, 216))


def _meadow(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    for x in (rng.uniform(-80, 0), rng.uniform(40, 110)):
        canvas.ellipse((x, _HORIZON - 22, x + 150, _HORIZON + 40), fill=(110, 164, 92))
    _plain(canvas, rng, (134, 186, 96), 90)


_GROUNDS: dict[str, Callable[[ImageDraw.ImageDraw, random.Random], None]] = {
    "beach": _beach,
    "sea": _sea,
    "forest": _forest,
    "desert": _desert,
    "city": _city,
    "meadow": _meadow,
}


def _lit(picture: Image.Image, scene: Scene) -> Image.Image:
    light = _LIGHT[scene.time]
    if scene.weather == "thunderstorm":
        light = shaded(light, 0.8)
    return ImageChops.multiply(picture, Image.new("RGB", picture.size, light))


def _with_weather(picture: Image.Image, scene: Scene, rng: random.Random) -> Image.Image:
    canvas = ImageDraw.Draw(picture)
    if scene.time == "night":
        _stars(canvas, rng, moon=scene.weather == "clear")
    if scene.weather == "fog":
        return _fogged(picture)
    if scene.weather == "thunderstorm":
        _lightning(canvas, rng)
    if scene.weather in ("rain", "thunderstorm"):
        for _ in range(75 if scene.weather == "rain" else 110):
            x, y = rng.uniform(0, _BIG), rng.uniform(-8, _BIG)
            canvas.line((x, y, x - 4, y + 13), fill=(182, 200, 222), width=1)
    elif scene.weather == "snow":
        for _ in range(100):
            _disc(canvas, rng.uniform(0, _BIG), rng.uniform(0, _BIG), rng.uniform(1.2, 2.6), (250, 252, 255))
    return picture


def _stars(canvas: ImageDraw.ImageDraw, rng: random.Random, *, moon: bool) -> None:
    for _ in range(24 if moon else 8):
        _disc(canvas, rng.uniform(0, _BIG), rng.uniform(0, 0.18) * _BIG, 1.2, (250, 246, 220))
    if moon:
        x, y = rng.uniform(0.1, 0.9) * _BIG, rng.uniform(0.07, 0.13) * _BIG
        _disc(canvas, x, y, 9, (248, 242, 206))


def _lightning(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y = rng.uniform(0.15, 0.85) * _BIG, 0.0
    points = [(x, y)]
    while y < _HORIZON:
        x, y = x + rng.uniform(-14, 14), y + rng.uniform(10, 20)
        points.append((x, y))
    canvas.line(points, fill=(255, 250, 190), width=4, joint="curve")


def _fogged(picture: Image.Image) -> Image.Image:
    """Mix grey over the picture: thickest at the horizon, thinnest right in front."""
    rows = np.arange(_BIG)
    distance = np.where(rows < _HORIZON, 0.72, 0.72 - 0.4 * (rows - _HORIZON) / (_BIG - _HORIZON))
    mask = Image.fromarray(np.broadcast_to((distance * 255).round().astype(np.uint8)[:, None], (_BIG, _BIG)).copy())
    return Image.composite(Image.new("RGB", picture.size, (206, 210, 214)), picture, mask)
