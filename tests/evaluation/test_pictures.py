"""Photographs of the best and worst labels, dark where the decoder does not look."""

import numpy as np
from PIL import Image

from zsmld.evaluation.pictures import _rows, darkened


def test_a_picture_is_bright_where_the_weights_are():
    white = Image.new("RGB", (80, 40), "white")
    weights = np.zeros(16, dtype=np.float32)
    weights[3] = 1.0  # upper right of a grid of 4 × 4
    pixels = np.asarray(darkened(white, weights)).mean(axis=2)
    assert pixels.shape == (40, 80)
    bright = np.unravel_index(pixels.argmax(), pixels.shape)
    assert bright[0] < 10 and bright[1] >= 60 and pixels.max() > 230
    assert 70 < pixels[30:, :40].mean() < 110  # a third of the light is left


def test_tokens_that_are_no_grid_or_look_everywhere_alike_leave_the_picture_alone():
    white = Image.new("RGB", (20, 20), "white")
    for weights in (np.ones(5), np.ones(1), np.full(9, 0.2)):
        assert np.asarray(darkened(white, weights.astype(np.float32))).min() == 255


def test_the_highest_are_shown_and_the_first_true_one():
    scores = np.array([0.1, 0.9, 0.5, 0.7, 0.3], dtype=np.float32)
    truth = np.array([True, False, False, False, True])
    assert list(_rows(scores, truth)) == [1, 3, 4]
    truth[3] = True
    assert list(_rows(scores, truth)) == [1, 3]
