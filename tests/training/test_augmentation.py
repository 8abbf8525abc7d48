"""Augmentation: a function of pixels and seed; Cutout's hole; the generators of the process as they were."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.training import augmentation
from zsmld.training.augmentation import CHOICES, augmented


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, size=(48, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", CHOICES)
def test_it_is_a_function_of_the_pixels_and_the_seed(pixels, name):
    before = pixels.copy()
    seeds = [(3, row) for row in range(24)]
    alone = [augmented(pixels, name, seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: augmented(pixels, name, seed), seeds))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
        assert (one.shape, one.dtype) == (pixels.shape, np.uint8)
    assert np.array_equal(pixels, before)
    different = {picture.tobytes() for picture in alone}
    assert len(different) == {"none": 1, "flip": 2}.get(name, 24)


def test_flip_mirrors_about_half_of_them_left_to_right(pixels):
    mirrored = [np.array_equal(augmented(pixels, "flip", (row,)), pixels[:, ::-1]) for row in range(200)]
    assert 70 < sum(mirrored) < 130


@given(st.integers(2, 70), st.integers(2, 70), st.integers(0, 2**31))
def test_the_hole_is_one_rectangle_of_one_colour_half_as_wide_at_most(height, width, seed):
    pixels = np.random.default_rng(1).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    made = augmentation._with_hole(pixels, np.random.default_rng(seed))
    rows, columns = np.nonzero((made != pixels).any(axis=2))
    if len(rows) == 0:
        return  # a hole at the edge may have no pixel, or the colour that was there
    hole = made[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert len({tuple(pixel) for pixel in hole.reshape(-1, 3)}) == 1
    assert hole.shape[0] <= height / 2 + 1
    assert hole.shape[1] <= width / 2 + 1


def test_holes_are_anywhere_and_a_quarter_of_the_picture_in_the_middle(pixels):
    black = np.zeros((100, 100, 3), dtype=np.uint8)
    holes = [(augmentation._with_hole(black, np.random.default_rng(seed)) > 0).any(axis=2) for seed in range(400)]
    assert max(hole.sum() for hole in holes) == 2500
    # A centre anywhere: the middle is under a quarter of the holes, a corner under a sixteenth.
    covered = np.mean(holes, axis=0)
    assert covered[50, 50] == pytest.approx(0.25, abs=0.07)
    assert covered[0, 0] == pytest.approx(0.0625, abs=0.04)


def test_the_generators_of_the_process_are_as_they_were(pixels, monkeypatch):
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    augmented(pixels, "ml-decoder", (1, 2))
    assert (random.random(), np.random.random()) == expected

    def failing():
        def transform(image):
            random.random()
            raise OSError

        return transform

    monkeypatch.setattr(augmentation, "_transform", failing)
    random.seed(5)
    with pytest.raises(OSError):
        augmented(pixels, "ml-decoder", (1, 2))
    assert random.random() == expected[0]
