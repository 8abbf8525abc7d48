"""Photographs given from Python: files, PIL images and arrays are the same photograph; what is none is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsmld.errors import UsageError
from zsmld.prediction.given import as_photographs


def test_each_kind_has_a_name_and_becomes_what_the_tower_takes(tmp_path):
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    photographs, names = as_photographs(
        [path, str(path), Image.open(path), pixels, pixels[..., 0], Image.fromarray(pixels)]
    )
    assert photographs[:2] == [path, path]
    assert all(isinstance(each, Image.Image) and each.mode == "RGB" for each in photographs[2:])
    assert names == [path, path, path, Path("image 4"), Path("image 5"), Path("image 6")]
    assert np.array_equal(np.asarray(photographs[2]), pixels) and np.array_equal(np.asarray(photographs[3]), pixels)
    assert np.array_equal(np.asarray(photographs[4])[..., 1], pixels[..., 0])


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3)), np.zeros((3, 8, 8), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)]
)
def test_an_array_that_is_no_image_is_refused(array):
    with pytest.raises(UsageError, match=r"image 1 is an array .* expected uint8 \(h,w,3\) or \(h,w\)"):
        as_photographs([array])


@pytest.mark.parametrize("one", ["a.jpg", Path("a.jpg"), Image.new("RGB", (2, 2)), np.zeros((2, 2, 3), np.uint8)])
def test_one_photograph_is_no_list(one):
    with pytest.raises(UsageError, match="one photograph is given, a list of them was expected"):
        as_photographs(one)
