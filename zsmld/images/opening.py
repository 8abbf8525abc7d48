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
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from zsmld import files
from zsmld.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
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
    try:
        with _no_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, path)
            if needed is not None and image.format == "JPEG":
                # The mode it has: another one would be converted to in another way than at full size.
                image.draft(image.mode, (needed, needed))
            # First of all: some formats only know their mode and their EXIF block when they are decoded.
            image.load()
            return _upright(_rgb(image), _orientation(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"is no image of a known format ({', '.join(FORMATS)})", path=path) from error
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"cannot be decoded: {reason}", path=path) from error


def _check_size(image: Image.Image, path: str | Path) -> None:
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
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


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
