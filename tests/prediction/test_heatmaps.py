"""Heatmaps: from weights to levels, over a photograph, into files."""

import numpy as np
import pytest
from PIL import Image

from zsmld.errors import ZsmldError
from zsmld.images.opening import ImageError
from zsmld.prediction.heatmaps import LONGEST, heatmap_of, overlay, palette, upsampled, write_heatmaps
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel


def corner(side=4):
    """Looks at the upper right."""
    weights = np.zeros(side * side)
    weights[side - 1] = 1
    return heatmap_of(weights)


def test_weights_become_levels_evenly_row_by_row():
    heatmap = heatmap_of(np.array([0.1, 0.2, 0.3, 0.5], dtype=np.float32))
    assert (heatmap.height, heatmap.width) == (2, 2)
    assert list(heatmap.levels) == [0, round(255 / 4), round(255 / 2), 255]
    assert heatmap_of(np.array([1e-30, 2e-30, 3e-30, 5e-30])) == heatmap
    assert heatmap_of(np.full(9, 0.2, dtype=np.float16)) == Heatmap(3, 3, bytes(9))


@pytest.mark.parametrize("tokens", [0, 1, 2, 5, 48, 50])
def test_tokens_that_are_no_grid_have_no_heatmap(tokens):
    assert heatmap_of(np.arange(tokens, dtype=np.float32)) is None


def keys(x):
    """The kernel of Keys 1981, equation 15, with a = -1/2."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0))


def stretched(cells, pixels):
    """(pixels,cells): how much of each cell a pixel is made of; cells beyond the edge do not count."""
    centres = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    weights = keys(centres[:, None] - np.arange(cells))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("width", "height"), [(70, 35), (33, 100), (320, 213)])
def test_levels_are_stretched_over_the_whole_photograph(width, height):
    draw = np.random.default_rng(0)
    grid = draw.integers(0, 256, (5, 7), dtype=np.uint8)
    ours = upsampled(Heatmap(5, 7, grid.tobytes()), width, height)
    expected = np.clip(stretched(5, height) @ grid @ stretched(7, width).T, 0, 255)
    assert ours.shape == (height, width) and np.abs(ours - expected).max() < 0.51


def lightness(rgb):
    """CIE L* of sRGB colours (IEC 61966-2-1, CIE 1976)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)


def test_the_colours_grow_lighter_evenly():
    found = lightness(palette()[:, :3] / 255)
    assert found[0] < 1 and found[-1] > 95 and np.all(np.diff(found) > 0)
    assert np.abs(found - np.linspace(found[0], found[-1], 256)).max() < 6


def test_an_overlay_is_light_where_the_label_looked_and_the_photograph_shows_through():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8)
    seen = np.asarray(overlay(Image.fromarray(pixels), corner())).astype(float)
    grey = (pixels @ [0.299, 0.587, 0.114])[..., None]
    colours = palette()[upsampled(corner(), 120, 60)].astype(float)
    alpha = colours[..., 3:] / 255
    assert np.abs(seen - (colours[..., :3] * alpha + grey * (1 - alpha))).max() < 2
    light = lightness(seen / 255).reshape(4, 15, 4, 30).mean(axis=(1, 3))
    assert np.unravel_index(light.argmax(), light.shape) == (0, 3) and light[0, 3] > light[2:, :2].max() + 35


def photograph(path, size=(300, 200), **more):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, "gray").save(path, **more)
    return path


def prediction(path, *labels, heatmap=corner(), **more):  # noqa: B008
    return Prediction(path, tuple(ScoredLabel(label, 0.5, heatmap=heatmap) for label in labels), **more)


def names(paths):
    return [path.name for path in paths]


def test_a_picture_is_written_for_each_label_that_has_a_heatmap(tmp_path):
    path = photograph(tmp_path / "a.b.jpg")
    labels = prediction(path, "sea/side", "dog").labels
    written = write_heatmaps(Prediction(path, (*labels, ScoredLabel("no map", 0.1))), tmp_path / "maps")
    assert names(written) == ["a_b--sea_side.png", "a_b--dog.png"]
    assert sorted(written) == sorted((tmp_path / "maps").iterdir())
    with Image.open(written[0]) as image:
        assert image.size == (300, 200) and image.format == "PNG" and str(tmp_path) not in str(image.info)
    assert write_heatmaps(Prediction(path, (ScoredLabel("no map", 0.1),)), tmp_path / "none") == []
    assert write_heatmaps(Prediction(path, error=ImageError("bad", path=path)), tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_a_large_photograph_is_made_smaller_and_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = photograph(tmp_path / "a.jpg", (3000, 1000), exif=exif)
    (written,) = write_heatmaps(prediction(path, "dog"), tmp_path)
    with Image.open(written) as image:
        assert image.size == (round(LONGEST / 3), LONGEST)
        right, left = image.getpixel((300, 50)), image.getpixel((40, 900))
    assert sum(right) > sum(left) + 150


def test_pixels_that_were_given_are_drawn_on(tmp_path):
    given = Image.new("RGBA", (1500, 40), "white")
    (written,) = write_heatmaps(prediction(tmp_path / "image 1", "dog", picture=given), tmp_path)
    assert written.name == "image 1--dog.png" and given.size == (1500, 40) and given.mode == "RGBA"


def test_photographs_of_one_name_and_repetitions(tmp_path):
    one, other = photograph(tmp_path / "2019" / "a.jpg"), photograph(tmp_path / "2020" / "a.jpg", (80, 80))
    maps = tmp_path / "maps"
    first, second = write_heatmaps(prediction(one, "dog"), maps), write_heatmaps(prediction(other, "dog", "cat"), maps)
    assert names(first) == ["a--dog.png"] and len(list(maps.iterdir())) == 3
    assert all(path.name.startswith("a-") and not path.name.startswith("a--") for path in second)
    before = first[0].read_bytes()
    assert write_heatmaps(prediction(other, "dog", "cat"), maps) == second
    assert first[0].read_bytes() == before
    assert write_heatmaps(prediction(one, "dog", heatmap=heatmap_of(np.arange(9))), maps) == first
    assert first[0].read_bytes() != before and len(list(maps.iterdir())) == 3


def test_labels_that_would_share_a_file_do_not(tmp_path):
    path = photograph(tmp_path / "a.jpg", (20, 20))
    labels = ("a/b", "a:b", "Dog", "dog", "x" * 400, "x" * 401, "🐶", "..", "\udcff")
    written = write_heatmaps(prediction(path, *labels), tmp_path / "maps")
    assert len({name.casefold() for name in names(written)}) == len(labels) == len(list((tmp_path / "maps").iterdir()))


def test_a_photograph_that_has_gone_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ZsmldError, match="no such file"):
        write_heatmaps(prediction(tmp_path / "a.jpg", "dog"), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
