"""The one safe way to open an image: regular files of known formats, bounded, fully decoded, upright, RGB."""

from __future__ import annotations

import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.Image import Transpose

from zsmld import files
from zsmld.errors import InputError

# Those that Pillow opens by itself; HEIC is opened with pillow-heif where that is installed.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
# What files of these formats are called; a folder is searched for them.
IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".heic", ".heif", ".heics", ".heifs", ".hif",
))  # fmt: skip
MAX_PIXELS = 100_000_000
# As many bytes as so many pixels take at 16 bits with alpha.
MAX_BYTES = MAX_PIXELS * 8

_ORIENTATION = 0x0112
# The EXIF orientation (EXIF 2.3, section 4.6.4), undone.
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
# Of ISO/IEC 23008-12, annex B: pictures and sequences in HEVC, and containers that do not tell what is inside.
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
# A list of brands has a few entries; a damaged one may claim gigabytes.
_MOST_BRANDS = 64
# What Pillow's decoders raise on bytes that are not what they claim to be.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, EOFError,
    NotImplementedError, MemoryError, RuntimeError, AssertionError, ZeroDivisionError, StructError, zlib.error,
    Image.DecompressionBombError, Warning,
)  # fmt: skip


class ImageError(InputError):
    """A photograph that cannot be used; the message names the file and the reason."""


def open_image(path: str | Path) -> Image.Image:
    """Open a photograph as upright 8-bit RGB, every pixel decoded.

    Raises:
        ImageError: absent, no regular file, of another format, too large, truncated or damaged.
    """
    return decode_image(read_image(path), path)


def read_image(path: str | Path) -> bytes:
    """The bytes of an image file, undecoded.

    Raises:
        ImageError: absent, unreadable, no regular file, or larger than `MAX_BYTES`.
    """
    try:
        with files.open_input(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except InputError as error:
        raise ImageError(error.problem, path=path, remedy=error.remedy) from error
    except MemoryError as error:
        raise ImageError("is too large for the memory", path=path) from error
    if len(data) > MAX_BYTES:
        raise ImageError(f"is larger than {MAX_BYTES // 1_000_000} MB", path=path, remedy="Make it smaller.")
    return data


def decode_image(data: bytes, path: str | Path, *, needed: int | None = None) -> Image.Image:
    """`open_image` on bytes that were read already.

    Args:
        data: of the file.
        path: for the message.
        needed: decode a JPEG at a half, a quarter or an eighth of its size where both sides still have as many pixels.
    """
    if not data:
        raise ImageError("is empty", path=path)
    with _told_errors(path), _opened(data, path) as image:
        _check_size(image, path)
        if needed is not None and image.format == "JPEG":
            # The mode it has: another one would be converted to in another way than at full size.
            image.draft(image.mode, (needed, needed))
        return _decoded(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """A PIL image of any mode as upright 8-bit RGB, by the rules that `open_image` has for files.

    Transparent pixels are laid over white, 16-bit grey is scaled, and an EXIF orientation that the image carries is
    undone. What `Image.open` has not decoded yet is decoded. An RGB image that stands upright is returned itself.

    Raises:
        ImageError: no pixels, too many, damaged ones, or a file that has been closed meanwhile.
    """
    with _told_errors(None):
        _check_size(image, None)
        return _decoded(image)


def in_srgb(image: Image.Image) -> Image.Image:
    """An RGB image with the colours that its own profile means, for whoever shows it without one.

    As it is where it has no profile, a damaged one, or that of what it was before it became RGB (CMYK, grey).
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        shown = ImageCms.profileToProfile(image, meant, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    assert shown is not None
    return shown


def _is_heic(data: bytes) -> bool:
    """Whether the first bytes of a file say that it is HEIF other than AVIF: nearly always HEVC, which is HEIC."""
    if data[4:8] != b"ftyp":
        return False
    # Length, "ftyp", the major brand, its version, and then the brands that it is compatible with.
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MOST_BRANDS)
    brands = {data[at : at + 4] for at in (8, *range(16, end, 4))}
    return bool(brands & _HEIC_BRANDS) and not brands & _AVIF_BRANDS


def _opened(data: bytes, path: str | Path) -> Image.Image:
    """The image with its header read.

    HEIC is opened without Pillow's registry of formats: other code of this process sees no difference, and several
    threads need no order among them.
    """
    if not _is_heic(data):
        return Image.open(io.BytesIO(data), formats=FORMATS)
    try:
        from pillow_heif import HeifImageFile

        opened: Image.Image = HeifImageFile(io.BytesIO(data))
    except ImportError as error:
        raise ImageError("is HEIC, which needs pillow-heif: pip install 'zsmld[heif]'", path=path) from error
    return opened


def _decoded(image: Image.Image) -> Image.Image:
    # First of all: some formats only know their mode and their EXIF block when they are decoded.
    image.load()
    # Of HEIC pillow-heif has undone the orientation already, and says 1.
    return _upright(_rgb(image), _orientation(image))


@contextmanager
def _told_errors(path: str | Path | None) -> Iterator[None]:
    """Whatever decoding raises as an `ImageError`, and no warnings."""
    try:
        with _no_warnings():
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"is no image of a known format ({', '.join(FORMATS)}, HEIC)", path=path) from error
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"cannot be decoded: {reason}", path=path) from error


def _check_size(image: Image.Image, path: str | Path | None) -> None:
    # The size stands in the header: a small file that unpacks to gigabytes is refused before it does.
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"has {width} × {height} pixels, more than {MAX_PIXELS // 1_000_000} million", path=path,
            remedy="Make it smaller.",
        )  # fmt: skip
    if not width or not height:
        raise ImageError(f"has {width} × {height} pixels", path=path)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bit(image)
    if not image.has_transparency_data:
        # Converting copies, even from RGB to RGB.
        return image if image.mode == "RGB" else image.convert("RGB")
    # Over white, as a viewer shows it; dropping alpha would bring out colours that nobody is meant to see.
    layered = image.convert("RGBA")
    white = Image.new("RGB", layered.size, "white")
    white.paste(layered, mask=layered.getchannel("A"))
    return white


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating grey as 8-bit grey; Pillow itself would cut everything above 255 off."""
    grey = np.asarray(image, dtype=np.float32)
    low, top = float(grey.min()), float(grey.max())
    if not np.isfinite([low, top]).all():
        raise ValueError("pixels that are no numbers")
    # Integers are of 16 bits (Pillow opens those as 32 bits too); floats are taken from 0 to 1, or to 255.
    full = (1.0 if top <= 1.0 else 255.0) if image.mode == "F" else 65535.0
    # Divided first: the largest float times 255 is no number.
    scaled = np.clip(np.rint(grey / np.float32(max(full, top)) * np.float32(255)), 0, 255).astype(np.uint8)
    if isinstance(image.info.get("transparency"), int):
        opaque = np.where(grey == image.info["transparency"], 0, 255).astype(np.uint8)
        return Image.merge("LA", (Image.fromarray(scaled), Image.fromarray(opaque)))
    return Image.fromarray(scaled)


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 where there is no EXIF block, or a broken one: the pixels are good all the same."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DECODER_ERRORS:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    if orientation not in _UPRIGHT:
        return image
    turned = image.transpose(_UPRIGHT[orientation])
    # What it carries still tells the turn: whoever followed it once more would undo this one.
    turned.info = {key: value for key, value in turned.info.items() if key == "icc_profile"}
    return turned


class _Silence:
    """Ignores warnings while any thread is inside.

    Pillow warns of what it repairs (a bad EXIF block, say): no reason to refuse, or to print. Python's own
    `catch_warnings` changes the filters of the whole process, so threads that enter and leave in turn would restore
    each other's: only the first one in and the last one out touch them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.filters = warnings.catch_warnings()

    def enter(self) -> None:
        with self.lock:
            if not self.inside:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.filters.__exit__(None, None, None)


_silence = _Silence()


@contextmanager
def _no_warnings() -> Iterator[None]:
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()
