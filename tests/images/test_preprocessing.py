"""Photographs to tensors, against Pillow's full decoding and timm's transform."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from zsmld.images import opening
from zsmld.images.opening import ImageError, decode_image
from zsmld.images.preprocessing import SPARE, Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 32
LEVELS = 255 * np.array(STD).reshape(3, 1, 1)


def photograph(width, height):
    """Noise of every octave, each with twice the amplitude of the next finer one, as photographs have it."""
    draw = np.random.default_rng(width * height)
    total, octave = np.zeros((height, width, 3)), 4
    while octave < 2 * width:
        small = draw.normal(size=(max(octave * height // width, 1), octave, 3))
        grown = [Image.fromarray(small[:, :, c].astype(np.float32)).resize((width, height), 3) for c in range(3)]
        total += np.stack(grown, axis=2) / octave
        octave *= 2
    return Image.fromarray((total / total.std() * 55 + 120).clip(0, 255).astype(np.uint8))


def encoded(image, kind="JPEG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def reference(data, interpolation):
    """timm's own transform on the whole photograph."""
    transform = create_transform(
        (3, SIDE, SIDE), interpolation=interpolation, mean=MEAN, std=STD, crop_mode="squash", crop_pct=1.0
    )
    return transform(decode_image(data, "photo")).numpy()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("width", "height", "options"),
    [
        (20, 24, {}),  # enlarged
        (64, 48, {"quality": 90}),
        (640, 480, {"quality": 90}),
        (400, 300, {"quality": 95, "subsampling": 0, "progressive": True}),
        (1000, 130, {}),
    ],
)
def test_pixels_are_those_of_the_reference_but_for_half_a_level(interpolation, width, height, options):
    data = encoded(photograph(width, height), **options)
    ours = Preprocessing(SIDE, MEAN, STD, interpolation).decode(data, "photo")
    assert ours.dtype == torch.float32 and ours.shape == (3, SIDE, SIDE) and ours.is_contiguous()
    difference = np.abs(ours.numpy() - reference(data, interpolation)) * LEVELS
    assert difference.mean() < 0.5 and difference.max() < 6


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_photograph_that_is_not_much_larger_is_squeezed_as_by_pillow(interpolation):
    data = encoded(photograph(2 * SIDE, 2 * SIDE))
    ours = Preprocessing(SIDE, MEAN, STD, interpolation).decode(data, "photo").numpy()
    difference = np.abs(ours - reference(data, interpolation)) * LEVELS
    assert difference.mean() < 0.02 and difference.max() < 1.5


def test_other_interpolations_are_pillows_own():
    data = encoded(photograph(90, 70), "PNG")
    ours = Preprocessing(SIDE, (0.0,) * 3, (1.0,) * 3, "lanczos").decode(data, "photo").numpy()
    expected = np.asarray(decode_image(data, "photo").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    assert np.allclose(ours * 255, expected.transpose(2, 0, 1), atol=1e-3)


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (160, 120)), ((160, 120), (160, 120)), ((161, 640), (81, 320))]
)
def test_large_photographs_are_decoded_at_reduced_size(size, expected):
    needed = int(SPARE * SIDE)
    assert needed == 80
    assert decode_image(encoded(photograph(*size)), "photo", needed=needed).size == expected
    assert decode_image(encoded(photograph(*size)), "photo").size == size
    assert decode_image(encoded(photograph(*size), "PNG"), "photo", needed=needed).size == size


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_every_mode_and_orientation_gives_what_full_size_gives(mode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photograph(480, 320).convert(mode), exif=exif, quality=95)
    small, whole = decode_image(data, "photo", needed=80), decode_image(data, "photo")
    assert small.mode == whole.mode == "RGB"
    assert small.size == tuple(side // 4 for side in whole.size)
    box = np.asarray(whole.reduce(4), dtype=float)
    assert np.abs(np.asarray(small, dtype=float) - box).mean() < 1.5


DAMAGED = {
    "plain": encoded(photograph(200, 160), quality=85),
    "progressive": encoded(photograph(200, 160), quality=85, progressive=True),
    "4:4:4": encoded(photograph(200, 160), quality=85, subsampling=0),
    "grey": encoded(photograph(200, 160).convert("L"), quality=85),
    "CMYK": encoded(photograph(200, 160).convert("CMYK"), quality=85),
}


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(DAMAGED)), data=st.data())
def test_a_damaged_file_gets_the_same_verdict_at_reduced_size(kind, data):
    whole = bytearray(DAMAGED[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        last = data.draw(st.sampled_from([min(700, len(whole)), len(whole)])) - 1
        whole[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])
    assert verdict(cut, None) == verdict(cut, 40)


def verdict(data, needed):
    try:
        return decode_image(data, "photo", needed=needed).size[0] > 0
    except ImageError as error:
        # Pillow's message counts the bytes that are left, which depends on the size.
        return error.problem.split("(")[0]


def test_what_is_refused_is_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(opening, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="pixels"):
        Preprocessing(SIDE, MEAN, STD).decode(DAMAGED["plain"], "photo")
