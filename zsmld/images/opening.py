"""The one safe way to open an image: regular files of known formats, bounded, fully decoded, upright, RGB."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path
from struct import error as StructError

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zsmld import files
from zsmld.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_PIXELS = 100_000_000

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
    try:
        data = files.read_bytes(path)
    except InputError as error:
        raise ImageError(error.problem, path=path, remedy=error.remedy) from error
    return decode_image(data, path)


def decode_image(data: bytes, path: str | Path) -> Image.Image:
    """`open_image` on bytes that were read already; `path` is for the message."""
    if not data:
        raise ImageError("is empty", path=path)
    try:
        # Pillow warns of what it repairs silently (a bad EXIF block, say): no reason to refuse, or to print.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image, path)
                image.load()
                return _upright_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ImageError(f"is no image of a known format ({known})", path=path) from error
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


def _upright_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bit(image)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        # Over white, as a browser or a viewer shows it; dropping alpha would bring out hidden colours.
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating grey as 8-bit grey; Pillow itself would cut everything above 255 off."""
    grey = np.asarray(image, dtype=np.float64)
    if not np.isfinite(grey).all():
        raise ValueError("pixels that are no numbers")
    top = float(grey.max(initial=0.0))
    # Integers are of 16 bits (Pillow opens those as 32 bits too); floats are taken from 0 to 1, or to 255.
    full = (1.0 if top <= 1.0 else 255.0) if image.mode == "F" else 65535.0
    scaled = np.clip(np.rint(grey * (255.0 / max(full, top))), 0, 255).astype(np.uint8)
    exif = image.getexif()
    eight_bit = Image.fromarray(scaled)
    eight_bit.info["exif"] = exif.tobytes()
    return eight_bit
