"""Predictions as a folder to look at in a browser: photographs with their labels, to be searched, without a network.

Everything is made while the predictions arrive, so that memory does not grow with the photographs: small pictures in
threads, records in script files of limited size (a page that is opened from a disk may load scripts, but fetch
nothing). The page itself is package data, `templates/`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from zsmld import __version__, files, pages
from zsmld.folders import Kind, Unfinished, whole_folder
from zsmld.images.ahead import DECODERS, ahead
from zsmld.images.opening import ImageError
from zsmld.prediction.gallery_data import GalleryData, Shown
from zsmld.prediction.pictures import small_picture
from zsmld.prediction.results import Prediction

GALLERY = Kind(
    "gallery",
    "zsmld-gallery.json",
    ("zsmld-gallery.json", "index.html", "*.css", "*.js", "data/*.js", "thumbnails/*.jpg"),
)
_THUMBNAIL, _QUALITY = 320, 80  # pixels of the long side, JPEG quality
# In this order: each uses what those before it define.
_SCRIPTS = ("data.js", "search.js", "heatmaps.js", "cards.js", "enlarged.js", "gallery.js")


def write_gallery(predictions: Iterable[Prediction], folder: Path, *, title: str, force: bool = False) -> Path:
    """Write a gallery of the predictions, in their order; return its page, `index.html`.

    The folder appears whole, when the last prediction is in it, or not at all.

    Args:
        predictions: taken one after another, a few ahead of what is written.
        folder: the gallery's own; its parents are created where they are missing.
        title: of the page.
        force: replace a gallery; a folder that is none, or holds files of somebody, is never replaced.

    Raises:
        UsageError: the folder exists, and must not be replaced. `GALLERY.refuse(folder, force=force)` says it at once.
        EnvironmentFailure: the disk is full, the folder cannot be written, another process writes it.
    """
    with whole_folder(folder, GALLERY, force=force) as unfinished:
        data = GalleryData(unfinished)
        with closing(ahead(_Showing(unfinished), enumerate(predictions), count=2 * DECODERS)) as shown:
            for each in shown:
                data.add(each)
        data.finish()
        _write_page(unfinished, title)
        counts = {"photographs": data.photographs, "errors": data.errors}
        record = {"kind": GALLERY.name, "format_version": 1, "zsmld": __version__, **counts}
        unfinished.write(GALLERY.marker, f"{files.to_json(record, indent=2)}\n".encode())
    return folder / "index.html"


@dataclass(frozen=True)
class _Showing:
    """Writes the small picture of a prediction; runs in threads."""

    folder: Unfinished

    def __call__(self, numbered: tuple[int, Prediction]) -> Shown:
        number, prediction = numbered
        link = None if prediction.picture is not None else link_to(prediction.path, self.folder.path)
        if prediction.error is not None:
            return Shown(number, prediction, link)
        try:
            picture = small_picture(prediction, _THUMBNAIL)
        except ImageError as error:
            # It was read when it was tagged: its labels stand, without a picture.
            return Shown(number, prediction, link, problem=error.problem)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=_QUALITY)
        self.folder.write(f"thumbnails/{number:06d}.jpg", stream.getvalue())
        return Shown(number, prediction, link, size=picture.size)


def link_to(photograph: Path, gallery: Path) -> str:
    """Where the page of a gallery finds a photograph, as a quoted URL.

    Relative for what lies beside the gallery or below, so that both can be moved and published together; of the file
    system for everything else. File names are bytes, and quoted as such.
    """
    # As written: a link that is followed here would lead away from where the page is opened.
    path, folder = (Path(os.path.abspath(each)) for each in (photograph, gallery))  # noqa: PTH100
    if path.is_relative_to(folder.parent):
        return quote(os.fsencode(f"../{path.relative_to(folder.parent).as_posix()}"))
    return path.as_uri()


def _write_page(folder: Unfinished, title: str) -> None:
    page = pages.template("zsmld.prediction", "index.html.j2").render(title=title, scripts=_SCRIPTS)
    folder.write("index.html", page.encode())
    for name, data in _package_files():
        folder.write(name, data)


def _package_files() -> Iterator[tuple[str, bytes]]:
    ours, common = (resources.files(package) / "templates" for package in ("zsmld.prediction", "zsmld"))
    yield "look.css", (common / "look.css").read_bytes()
    for name in ("gallery.css", *_SCRIPTS):
        yield name, (ours / name).read_bytes()
