"""Real files of every kind, made here; damaged ones may only ever give an `ImageError`."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from zsmld.images import opening
from zsmld.images.opening import FORMATS, IMAGE_SUFFIXES, ImageError, as_rgb, decode_image, in_srgb, open_image

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((72, 48), Image.Resampling.BICUBIC)
ORIENTATION = 0x0112


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(image, **options):
    """As an encoder writes it; without putting it into Pillow's registry of formats."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, **options)
    return buffer.getvalue()


def branded(data, major, *compatible):
    """The same file under other brands."""
    names = (major, b"\0\0\0\0", *compatible)
    body = b"".join(names).ljust(int.from_bytes(data[:4], "big") - 8, b"\0")
    return data[:8] + body + data[8 + len(body) :]


def decoded(data):
    return np.asarray(decode_image(data, "photo"))


def refusal(data):
    with pytest.raises(ImageError) as caught:
        decode_image(data, "photo")
    assert str(caught.value).startswith("photo: ")
    assert caught.value.exit_code == 3
    return str(caught.value)


LOSSLESS = {
    "PNG": encoded(PHOTO, "PNG"),
    "WEBP": encoded(PHOTO, "WEBP", lossless=True),
    "BMP": encoded(PHOTO, "BMP"),
    "TIFF": encoded(PHOTO, "TIFF"),
    "PPM": encoded(PHOTO, "PPM"),
}
SAMPLES = LOSSLESS | {
    "JPEG": encoded(PHOTO, "JPEG", quality=95),
    "progressive JPEG": encoded(PHOTO, "JPEG", progressive=True),
    "CMYK JPEG": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "GIF": encoded(PHOTO, "GIF"),
    "AVIF": encoded(PHOTO, "AVIF"),
    "lossy WEBP": encoded(PHOTO, "WEBP"),
    "deflated TIFF": encoded(PHOTO, "TIFF", compression="tiff_deflate"),
    "JPEG TIFF": encoded(PHOTO, "TIFF", compression="jpeg"),
    "palette PNG": encoded(PHOTO.quantize(16), "PNG"),
    "HEIC": heic(PHOTO),
    "16-bit PNG": encoded(Image.fromarray(RNG.integers(0, 65536, (9, 7), dtype=np.uint16)), "PNG"),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_keep_every_pixel(kind):
    image = decode_image(LOSSLESS[kind], "photo")
    assert image.mode == "RGB"
    assert np.array_equal(image, PHOTO)


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "HEIC", "lossy WEBP"])
def test_lossy_formats_come_close(kind):
    assert np.abs(decoded(SAMPLES[kind]).astype(int) - np.asarray(PHOTO)).mean() < 8


def test_opens_a_file(tmp_path):
    path = tmp_path / "photo of a dög.jpg"
    path.write_bytes(LOSSLESS["PNG"])
    assert np.array_equal(open_image(path), PHOTO)


def test_16_bit_grey_is_scaled():
    grey = np.array([[0, 30000, 65535]], dtype=np.uint16)
    for data in (encoded(Image.fromarray(grey), "PNG"), encoded(Image.fromarray(grey), "TIFF")):
        assert decoded(data)[0, :, 0].tolist() == [0, 117, 255]


def test_32_bit_grey_is_scaled():
    grey = Image.fromarray(np.array([[0, 30000, 65535]], dtype=np.int32))
    assert decoded(encoded(grey, "TIFF"))[0, :, 0].tolist() == [0, 117, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 0.5, 1], [0, 128, 255]), ([0, 128, 255], [0, 128, 255]), ([0, 1e38, 2e38], [0, 128, 255])],
)
def test_floating_grey_is_scaled(values, expected):
    data = encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert decoded(data)[0, :, 0].tolist() == expected


def test_floating_grey_that_is_no_number_is_refused():
    refusal(encoded(Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)), "TIFF"))


def test_alpha_is_laid_over_white():
    layered = Image.new("RGBA", (3, 1))
    for x, pixel in enumerate([(255, 0, 0, 0), (255, 0, 0, 255), (0, 0, 0, 128)]):
        layered.putpixel((x, 0), pixel)
    expected = [[255, 255, 255], [255, 0, 0], [127, 127, 127]]
    for kind in ("PNG", "TIFF"):
        assert decoded(encoded(layered, kind))[0].tolist() == expected
    grey = Image.new("LA", (1, 1), (0, 0))
    assert decoded(encoded(grey, "PNG"))[0, 0].tolist() == [255, 255, 255]


def test_transparent_colours_are_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    assert decoded(encoded(palette, "PNG", transparency=0))[0].tolist() == [[255, 255, 255], [0, 0, 255]]
    assert decoded(encoded(palette, "GIF", transparency=0))[0].tolist() == [[255, 255, 255], [0, 0, 255]]
    red = Image.new("RGB", (1, 1), (255, 0, 0))
    assert decoded(encoded(red, "PNG", transparency=(255, 0, 0)))[0, 0].tolist() == [255, 255, 255]
    deep = Image.fromarray(np.array([[100, 30000]], dtype=np.uint16))
    assert decoded(encoded(deep, "PNG", transparency=100))[0, :, 0].tolist() == [255, 117]


def test_one_bit_and_grey():
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert decoded(encoded(bits, "PNG"))[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert decoded(encoded(Image.new("L", (1, 1), 77), "PNG"))[0, 0].tolist() == [77, 77, 77]


def test_cmyk_of_a_printer_and_of_adobe():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    plain = encoded(red, "JPEG", quality=95)
    assert b"Adobe" in plain  # Pillow writes the inverted values that Adobe's mark promises
    assert np.abs(decoded(plain)[8, 8].astype(int) - [255, 0, 0]).max() < 8
    assert decoded(encoded(red, "TIFF"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(kind, orientation):
    """Stored turned or mirrored, as a camera held that way would; the corner colours tell."""
    upright = Image.new("RGB", (32, 48), "black")
    upright.paste((255, 0, 0), (0, 0, 16, 16))
    upright.paste((0, 255, 0), (16, 0, 32, 16))
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(opening._UPRIGHT[inverse]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    result = decoded(encoded(stored, kind, exif=exif, **options)).astype(int)
    assert result.shape == (48, 32, 3)
    assert np.abs(result - np.asarray(upright)).max() < 20


def test_16_bit_photographs_are_turned_too():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    assert decoded(encoded(grey, "PNG", exif=exif))[:, 0, 0].tolist() == [0, 255]


def test_a_broken_exif_block_does_no_harm():
    for block in (
        # The orientation as a word of four letters.
        b"Exif\0\0" + struct.pack("<2sHIHHHI4sI", b"II", 42, 8, 1, ORIENTATION, 2, 4, b"up!\0", 0),
        b"Exif\0\0XX*\0\x08\0\0\0\0\0",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40,
    ):
        assert decoded(encoded(PHOTO, "JPEG", exif=block)).shape == (48, 72, 3)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decoded(data)[0, 0].tolist() == [255, 0, 0]


def test_phones_that_put_two_pictures_into_a_jpeg():
    data = encoded(PHOTO, "MPO", save_all=True, append_images=[PHOTO])
    assert decoded(data).shape == (48, 72, 3)


def test_colour_profiles_do_no_harm():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decoded(encoded(PHOTO, "PNG", icc_profile=profile)), PHOTO)


def exchanged():
    """A profile by which red is green, and green red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")


@pytest.mark.parametrize("turn", [1, 6])
def test_colours_are_shown_as_their_profile_means_them(turn):
    red, exif = Image.new("RGB", (8, 4), (255, 0, 0)), Image.Exif()
    exif[ORIENTATION] = turn
    opened = decode_image(encoded(red, "PNG", icc_profile=exchanged(), exif=exif), "photo")
    assert opened.getpixel((0, 0)) == (255, 0, 0)  # what a model gets
    shown = in_srgb(opened)
    assert shown.mode == "RGB" and np.abs(np.array(shown.getpixel((0, 0))) - (0, 255, 0)).max() < 8


def test_a_profile_that_is_none_or_of_other_colours_is_left():
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (None, b"", b"none", exchanged()[:200], grey):
        image = PHOTO.copy()
        image.info["icc_profile"] = profile
        assert in_srgb(image) is image


@pytest.mark.parametrize("kind", SAMPLES)
def test_half_a_file_is_refused(kind):
    refusal(SAMPLES[kind][: len(SAMPLES[kind]) // 2])


@pytest.mark.parametrize(
    "kind",
    [OSError, SyntaxError, ValueError, MemoryError, NotImplementedError, OverflowError, EOFError, struct.error,
     zlib.error, IndexError, Image.DecompressionBombError, Image.DecompressionBombWarning],
)  # fmt: skip
def test_whatever_a_decoder_raises_is_an_image_error(kind, monkeypatch):
    def fail(*arguments, **options):
        raise kind

    monkeypatch.setattr(opening.Image, "open", fail)
    assert refusal(b"x").startswith("photo: cannot be decoded: ")


def test_other_things_are_refused():
    assert "is empty" in refusal(b"")
    assert "is no image of a known format (JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM, AVIF, HEIC)" in refusal(b"<html>")
    # Postscript would start an interpreter.
    assert "is no image of a known format" in refusal(encoded(PHOTO, "EPS"))
    assert "is no image of a known format" in refusal(encoded(PHOTO, "ICO"))


def test_suffixes_are_those_of_every_format_that_opens():
    Image.init()
    by_pillow = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")}
    assert by_pillow | {".heic", ".heics", ".heif", ".heifs", ".hif"} == IMAGE_SUFFIXES


def png_header(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"")
    chunks = [header, b"IDAT" + body, b"IEND"]
    framed = [struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(("width", "height"), [(12000, 12000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(width, height):
    assert "pixels" in refusal(png_header(width, height))


def test_a_hundred_million_pixels_are_not_too_many():
    assert "cannot be decoded" in refusal(png_header(10_000, 10_000))
    assert "more than 100 million" in refusal(png_header(10_000, 10_001))


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    for path in (
        tmp_path, tmp_path / "absent.jpg", tmp_path / "fifo.jpg", tmp_path / "dangling.jpg", "/dev/zero", "a\0.jpg",
    ):  # fmt: skip
        with pytest.raises(ImageError) as caught:
            open_image(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_BYTES", 1000)
    path = tmp_path / "huge.png"
    path.write_bytes(LOSSLESS["BMP"])
    with pytest.raises(ImageError, match="is larger than"):
        open_image(path)


def test_warnings_stay_silent_in_many_threads():
    """Pillow warns of a palette with transparency given as bytes, and of broken EXIF blocks."""
    noisy = encoded(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\x01\x12\0\x03\xff\xff\xff\xff" * 4)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert all(each.shape == (48, 72, 3) for each in pool.map(decoded, [noisy] * 200))
    assert warnings.filters == before


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_upright_once(orientation):
    """Cameras write the turn twice, for the decoder and into the EXIF block; the decoder alone may follow it."""
    upright = Image.new("RGB", (64, 96), "black")
    upright.paste((255, 0, 0), (0, 0, 32, 32))
    upright.paste((0, 255, 0), (32, 0, 64, 32))
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(opening._UPRIGHT[inverse]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = heic(stored, quality=95, exif=exif.tobytes())
    # The last byte of the value in the EXIF block.
    at = data.index(struct.pack(">HHI", ORIENTATION, 3, 1)) + 9
    assert data[at] == orientation
    contradicting = data[:at] + bytes([orientation % 8 + 1]) + data[at + 1 :]
    for each in (data, contradicting):
        result = decoded(each).astype(int)
        assert result.shape == (96, 64, 3)
        assert np.abs(result - np.asarray(upright)).mean() < 4


def test_heic_with_alpha_is_laid_over_white():
    layered = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert decoded(heic(layered))[32, 32].tolist() == [255, 255, 255]


def test_heic_is_told_from_avif_by_its_brands(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    needs = "is HEIC, which needs pillow-heif: pip install 'zsmld[heif]'"
    for brands in (
        (b"heic", b"mif1"),
        (b"mif1", b"heic"),
        (b"mif1", b"miaf"),
        (b"hevc",),
        (b"heix",),
        (b"msf1", b"hevc"),
    ):
        assert refusal(branded(SAMPLES["HEIC"], *brands)) == f"photo: {needs}"
    for brands in ((b"avif", b"mif1"), (b"mif1", b"avif")):
        assert decoded(branded(SAMPLES["AVIF"], *brands)).shape == (48, 72, 3)
    assert "is no image of a known format" in refusal(branded(SAMPLES["HEIC"], b"mp42", b"isom"))


def test_heic_that_its_library_cannot_open(monkeypatch):
    """pillow-heif is there, but what it is built on is not."""

    def fail(*arguments):
        raise ImportError("libheif.so.1: cannot open shared object file")

    monkeypatch.setattr(pillow_heif, "HeifImageFile", fail)
    assert "pip install 'zsmld[heif]'" in refusal(SAMPLES["HEIC"])


def test_heic_is_a_matter_of_this_module_alone(tmp_path):
    """Its library is imported when a photograph needs it, and nothing is put into Pillow's registry of formats."""
    (tmp_path / "a.jpg").write_bytes(SAMPLES["JPEG"])
    (tmp_path / "b.jpg").write_bytes(SAMPLES["HEIC"])
    code = (
        "import sys; from PIL import Image; from zsmld.images.opening import open_image\n"
        "open_image('a.jpg'); print('pillow_heif' in sys.modules)\n"
        "open_image('b.jpg'); print('pillow_heif' in sys.modules, 'HEIF' in Image.OPEN)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["False", "True", "False"], "")


def test_many_threads_open_heic():
    with ThreadPoolExecutor(8) as pool:
        assert all(each.shape == (48, 72, 3) for each in pool.map(decoded, [SAMPLES["HEIC"], SAMPLES["JPEG"]] * 20))


def test_images_of_python_become_what_their_files_would():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    layered = Image.new("RGBA", (3, 1), (255, 0, 0, 128))
    for image, options in (
        (PHOTO, {}),
        (PHOTO, {"exif": exif}),
        (layered, {}),
        (PHOTO.quantize(16), {}),
        (PHOTO.convert("L"), {}),
        (Image.fromarray(np.array([[0, 30000, 65535]], dtype=np.uint16)), {}),
    ):
        data = encoded(image, "PNG", **options)
        with Image.open(io.BytesIO(data)) as opened:
            given = as_rgb(opened)
        assert given.mode == "RGB"
        assert np.array_equal(given, decoded(data))
        assert np.array_equal(given, as_rgb(given))
    for mode in ("CMYK", "YCbCr", "HSV", "LA", "RGBa", "1", "F", "I"):
        assert as_rgb(PHOTO.convert("L").convert(mode) if mode in "1FI" else Image.new(mode, (5, 4))).mode == "RGB"


def test_an_upright_rgb_image_is_not_copied():
    assert as_rgb(PHOTO) is PHOTO


def test_images_of_python_that_cannot_be_used(tmp_path, monkeypatch):
    path = tmp_path / "cut.jpg"
    path.write_bytes(SAMPLES["JPEG"][:-100])
    gone = Image.open(io.BytesIO(SAMPLES["JPEG"]))
    gone.close()
    for image, problem in (
        (Image.open(path), "cannot be decoded: "),
        (gone, "cannot be decoded: "),
        (Image.new("RGB", (0, 4)), "has 0 × 4 pixels"),
        (Image.fromarray(np.array([[np.nan]], dtype=np.float32)), "cannot be decoded: "),
    ):
        with pytest.raises(ImageError) as caught:
            as_rgb(image)
        assert str(caught.value).startswith(problem)
        image.close()
    monkeypatch.setattr(opening, "MAX_PIXELS", 10)
    with pytest.raises(ImageError, match=r"has 4 × 4 pixels, more than"):
        as_rgb(Image.new("RGB", (4, 4)))


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_damaged_files_give_an_image_or_an_image_error(kind, data):
    whole = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        # Half of the flips in the first bytes, where the structure is.
        last = data.draw(st.sampled_from([min(120, len(whole)), len(whole)])) - 1
        whole[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    try:
        image = decode_image(bytes(whole[:cut]), "photo")
    except ImageError as error:
        assert str(error).startswith("photo: ")
        assert "\n" not in str(error)
    else:
        assert image.mode == "RGB"
