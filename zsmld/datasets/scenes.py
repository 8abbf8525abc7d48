"""Scenes of the generated sample: what stands where, under which sky. `drawing` paints them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from zsmld.datasets import words
from zsmld.datasets.words import Thing

# Odds of each; objects, ground, time and weather are drawn independently of one another.
_TIME_ODDS = {"day": 64, "sunset": 18, "night": 18}
_WEATHER_ODDS = {"clear": 58, "fog": 12, "rain": 12, "snow": 12, "thunderstorm": 6}
_THINGS_PER_SCENE = (1, 2, 2, 3)

# Places by row, as fractions of the picture: height of the centre and size of what stands there.
_ROWS = {"sky": (0.19, 0.36), "far": (0.45, 0.38), "near": (0.79, 0.44)}
_COLUMNS = (0.25, 0.75)


@dataclass(frozen=True)
class Placed:
    """A thing in a scene; `x`, `y` (its centre) and `size` are fractions of the picture's side.

    `flipped` lets it look to the left; `tilt` is in degrees; `shade` multiplies its brightness.
    """

    thing: Thing
    x: float
    y: float
    size: float
    flipped: bool
    tilt: float
    shade: float


@dataclass(frozen=True)
class Scene:
    """Everything that the painter needs: `texture` seeds what has no name (stars, waves, drops of rain)."""

    ground: str
    time: str
    weather: str
    things: tuple[Placed, ...]
    texture: int

    @property
    def labels(self) -> list[str]:
        """The sorted labels that hold for the scene; a thunderstorm is rain too."""
        named = {placed.thing.name for placed in self.things} | {self.ground, self.time, self.weather}
        if self.weather == "thunderstorm":
            named.add("rain")
        return sorted(named & set(words.LABELS))


def draw_scene(rng: random.Random) -> Scene:
    """Draw a scene of one to three different things."""
    things = rng.sample(words.THINGS, rng.choice(_THINGS_PER_SCENE))
    return Scene(
        ground=rng.choice(tuple(words.GROUNDS)),
        time=_weighted(rng, _TIME_ODDS),
        weather=_weighted(rng, _WEATHER_ODDS),
        things=_placed(rng, things),
        texture=rng.randrange(2**32),
    )


def scene_of(rng: random.Random, names: tuple[str, ...], *, ground: str, time: str, weather: str) -> Scene:
    """A scene of the named things, freely placed."""
    things = [thing for thing in words.THINGS if thing.name in names]
    return Scene(ground, time, weather, _placed(rng, things), rng.randrange(2**32))


def _weighted(rng: random.Random, odds: dict[str, int]) -> str:
    return rng.choices(tuple(odds), weights=tuple(odds.values()))[0]


def _placed(rng: random.Random, things: list[Thing]) -> tuple[Placed, ...]:
    """Give each thing a place of its own; only birds go up into the sky. Far ones come first."""
    free = [(row, column) for row in ("far", "near") for column in _COLUMNS]
    sky = [("sky", column) for column in _COLUMNS]
    placed = []
    for thing in things:
        places = sky if thing.family == "bird" and rng.random() < 0.5 and sky else free
        row, column = places.pop(rng.randrange(len(places)))
        height, size = _ROWS[row]
        placed.append(
            Placed(
                thing,
                x=column + rng.uniform(-0.04, 0.04),
                y=height + rng.uniform(-0.02, 0.02),
                size=size * rng.uniform(0.88, 1.08),
                flipped=rng.random() < 0.5,
                tilt=rng.uniform(-8, 8),
                shade=rng.uniform(0.88, 1.08),
            )
        )
    return tuple(sorted(placed, key=lambda each: each.y))
