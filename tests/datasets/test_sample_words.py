"""What makes the sample's unseen labels reachable, and the test of it honest."""

import random
from collections import Counter

import numpy as np
import pytest
from PIL import ImageChops

from zsmld.datasets import captions, drawing, words
from zsmld.datasets.scenes import Scene, draw_scene, scene_of

TEST_IMAGES = 600


@pytest.fixture(scope="module", params=[0, 1, 2])
def scenes(request) -> list[Scene]:
    return [draw_scene(random.Random(f"{request.param} {number}")) for number in range(TEST_IMAGES)]


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return captions.write_corpus(random.Random(0))


@pytest.fixture(scope="module")
def vectors(corpus) -> dict[str, np.ndarray]:
    rows = (row.split(" ") for row in captions.word_vectors(corpus, 0).splitlines()[1:])
    return {word: np.array(values, dtype=float) for word, *values in rows}


def test_every_unseen_thing_is_a_new_combination_of_a_seen_family_and_a_seen_colour():
    seen = [thing for thing in words.THINGS if thing.name in words.SEEN]
    families, colours = Counter(thing.family for thing in seen), Counter(thing.colour for thing in seen)
    combinations = {(thing.family, thing.colour) for thing in words.THINGS}
    assert len(combinations) == len(words.THINGS)
    for thing in words.THINGS:
        if thing.name in words.UNSEEN:
            assert families[thing.family] >= 2, thing
            assert colours[thing.colour] >= 2, thing


def test_every_label_has_positives_to_measure_and_none_is_common(scenes):
    count = Counter(label for scene in scenes for label in scene.labels)
    assert set(count) == set(words.LABELS)
    for label in words.UNSEEN:
        assert 15 <= count[label] <= 0.12 * TEST_IMAGES, label
    assert max(count.values()) <= 0.25 * TEST_IMAGES


def test_scenes_hold_one_to_three_things_within_the_picture_at_places_of_their_own(scenes):
    for scene in scenes:
        assert 1 <= len({placed.thing.name for placed in scene.things}) == len(scene.things) <= 3
        for placed in scene.things:
            assert 0.15 < placed.x < 0.85
            assert 0.1 < placed.y < 0.9
        places = [(placed.x > 0.5, placed.y // 0.33) for placed in scene.things]
        assert len(set(places)) == len(places)


def test_a_thunderstorm_is_annotated_as_rain_too(scenes):
    storms = [scene for scene in scenes if scene.weather == "thunderstorm"]
    assert storms
    assert all({"rain", "thunderstorm"} <= set(scene.labels) for scene in storms)


def test_things_tell_nothing_of_the_weather(scenes):
    rainy = [scene for scene in scenes if "rain" in scene.labels]
    for family in words.FAMILIES:
        among_all, among_rainy = (
            np.mean([any(placed.thing.family == family for placed in scene.things) for scene in part])
            for part in (scenes, rainy)
        )
        # Three standard deviations of a share near 0.4 among about 110 scenes.
        assert abs(among_all - among_rainy) < 0.14


@pytest.mark.parametrize("thing", words.THINGS, ids=lambda thing: thing.name)
def test_a_thing_is_painted_where_it_stands_in_its_colour(thing):
    scene = scene_of(random.Random(3), (thing.name,), ground="city", time="day", weather="clear")
    without = Scene(scene.ground, scene.time, scene.weather, (), scene.texture)
    painted = drawing.paint(scene)
    left, top, right, bottom = ImageChops.difference(painted, drawing.paint(without)).getbbox()
    (placed,) = scene.things
    assert left - 8 <= placed.x * drawing.SIDE <= right + 8
    assert top - 8 <= placed.y * drawing.SIDE <= bottom + 8
    wanted = np.array(words.COLOURS[thing.colour].paint) * placed.shade
    pixels = np.asarray(painted.crop((left, top, right, bottom)), dtype=float)
    close = np.abs(pixels - np.minimum(wanted, 255)).max(axis=2) < 12
    assert close.mean() > 0.12, "the thing's own colour covers too little of its box"


@pytest.mark.parametrize("weather", words.WEATHERS)
@pytest.mark.parametrize("time", words.TIMES)
def test_ground_time_and_weather_show(time, weather):
    scene = Scene("meadow", time, weather, (), 5)
    pictures = {drawing.paint(scene).tobytes()}
    pictures |= {drawing.paint(Scene(ground, time, weather, (), 5)).tobytes() for ground in words.GROUNDS}
    pictures |= {drawing.paint(Scene("meadow", other, weather, (), 5)).tobytes() for other in words.TIMES}
    pictures |= {drawing.paint(Scene("meadow", time, other, (), 5)).tobytes() for other in words.WEATHERS}
    assert len(pictures) == len(words.GROUNDS) + (len(words.TIMES) - 1) + (len(words.WEATHERS) - 1)


def test_the_corpus_holds_all_labels_and_plain_lower_case_words(corpus):
    text = " ".join(corpus)
    for label in (*words.LABELS, *words.ANY):
        assert f" {label} " in text, label
    assert all(word.isalpha() and word.islower() for word in set(text.split()))


def test_a_sentence_about_one_thing_never_gives_it_another_colour(corpus):
    colour_of = {word: name for name, colour in words.COLOURS.items() for word in colour.words}
    definitions = [sentence for sentence in corpus if " is a " in sentence and sentence.startswith("a ")]
    assert len(definitions) > 1000
    for sentence in definitions:
        (thing,) = (thing for thing in words.THINGS if sentence.startswith(f"a {thing.name} is a "))
        said = {colour_of[word] for word in sentence.split() if word in colour_of}
        assert said == {thing.colour}, sentence


def test_vectors_of_unseen_words_point_to_seen_words_of_the_same_family_or_colour(vectors):
    table = {thing: np.mean([vectors[word] for word in thing.name.split()], axis=0) for thing in words.THINGS}
    centre = np.mean(list(table.values()), axis=0)
    unit = {thing: (vector - centre) / np.linalg.norm(vector - centre) for thing, vector in table.items()}
    seen = [thing for thing in words.THINGS if thing.name in words.SEEN]
    for thing in words.THINGS:
        if thing.name in words.UNSEEN:
            nearest = sorted(seen, key=lambda other, thing=thing: -float(unit[thing] @ unit[other]))[:5]
            assert all(other.family == thing.family or other.colour == thing.colour for other in nearest), (
                thing.name, [other.name for other in nearest],
            )  # fmt: skip


def test_fog_takes_contrast_from_the_things(scenes):
    placed = next(scene.things for scene in scenes)
    clear, fog = (
        np.asarray(drawing.paint(Scene("forest", "day", weather, placed, 5)), dtype=float)
        for weather in ("clear", "fog")
    )
    below = slice(drawing.SIDE // 2, None)
    assert fog[below].std() < 0.75 * clear[below].std()


def test_a_full_sky_sends_birds_to_the_ground():
    for seed in range(100):
        scene = scene_of(random.Random(seed), ("crow", "dove", "canary"), ground="sea", time="day", weather="clear")
        assert len(scene.things) == 3
