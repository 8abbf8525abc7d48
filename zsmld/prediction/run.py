"""A whole run of `zsmld predict`: photographs and words in, and everything that was asked for out.

Where files are written, predictions go into a journal first (`journal.py`), and out of it into all that was asked for:
so a run that is killed goes on, and a file that appears is whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

from zsmld import console, files
from zsmld.decoder.scoring import TokenBatch, indexed_batches
from zsmld.devices import multiplies_bfloat16
from zsmld.errors import PartialFailure, UsageError
from zsmld.images.photo_index import PhotoIndex
from zsmld.prediction.asked import Asked
from zsmld.prediction.gallery import GALLERY, write_gallery
from zsmld.prediction.heatmaps import write_heatmaps
from zsmld.prediction.inputs import Photographs, find_images
from zsmld.prediction.journal import Journal
from zsmld.prediction.keywords import write_keywords
from zsmld.prediction.models import load_tagger
from zsmld.prediction.output import FORMATS
from zsmld.prediction.results import Prediction
from zsmld.prediction.selection import AUTO, Selection
from zsmld.prediction.sidecars import Naming
from zsmld.prediction.tagging import ZeroShotTagger
from zsmld.prediction.words import STANDARD_INPUT, asked_words
from zsmld.settings import PredictSettings

PARTIAL = ".partial"
# Photographs that take minutes.
_MANY = 1000


@dataclass
class Tally:
    """What became of what was given: all of it is tagged, failed, or was skipped.

    Attributes:
        skipped: files of folders that are no images.
        unwritten: sidecars that could not be written, of photographs that were tagged.
    """

    skipped: int = 0
    tagged: int = 0
    failed: int = 0
    unwritten: int = 0

    def counted(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Pass predictions on, and count them."""
        for each in predictions:
            if each.error is None:
                self.tagged += 1
            else:
                self.failed += 1
            yield each

    def __str__(self) -> str:
        given = self.skipped + self.tagged + self.failed
        return f"{given} files: {self.tagged} tagged, {self.failed} failed, {self.skipped} skipped"


def predict(settings: PredictSettings, images: Sequence[str], stdout: IO[str]) -> Tally:
    """Tag photographs, and write what was asked for.

    Args:
        settings: see `zsmld predict --help`.
        images: files, folders, patterns and `-`; none with an index.
        stdout: where labels go that have no file.

    Raises:
        UsageError: settings that do not fit each other.
        InputError: photographs, words or a model that cannot be used.
        PartialFailure: all is done, but some photographs could not be read, or some sidecars not be written.
    """
    _check(settings, images)
    words = asked_words(settings.labels)
    selection = Selection.of(settings.top_k, settings.threshold or (AUTO if settings.xmp else None))
    found = find_images(images) if settings.index is None else None
    tagger, vectors = load_tagger(settings, words)
    asked = tagger.asked(vectors, selection)
    if selection.by_threshold and selection.threshold is None:
        console.info(f"thresholds: {tagger.probabilities.told()}")
    work = _Work(settings, tagger, asked, found)
    _tell_faster(work)
    tally = Tally(skipped=work.photographs.skipped)
    with work.predictions() as predictions:
        _write(settings, predictions, tally, stdout)
    console.info(str(tally))
    if tally.failed or tally.unwritten:
        told = (
            [f"{tally.failed} of {tally.tagged + tally.failed} photographs could not be read"] if tally.failed else []
        )
        told += [f"{tally.unwritten} sidecars could not be written"] if tally.unwritten else []
        raise PartialFailure(", ".join(told), remedy="See their records." if tally.failed else None)
    return tally


def _tell_faster(work: _Work) -> None:
    """Say what would take less time, where it would."""
    many = work.index is None and len(work.photographs.paths) >= _MANY
    if many and work.settings.precision == "float32" and multiplies_bfloat16(work.tagger.device):
        console.info("this machine multiplies bfloat16: --precision bfloat16 is faster, with slightly other scores")


def _check(settings: PredictSettings, images: Sequence[str]) -> None:
    """Refuse what cannot come to a good end before anything is loaded."""
    if settings.index is not None and images:
        raise UsageError("--index stands beside photographs", remedy="Name photographs, or an index of them.")
    if STANDARD_INPUT in images and STANDARD_INPUT in settings.labels:
        raise UsageError("photographs and labels both come from standard input", remedy="Put one of them in a file.")
    if settings.dry_run and settings.xmp is None:
        raise UsageError("--dry-run is for --xmp", remedy="Add --xmp, or leave --dry-run out.")
    if settings.resume and _journal_path(settings) is None:
        raise UsageError("--resume needs a file or folder that a run was cut on", remedy="Give --output or --gallery.")
    if settings.output is not None:
        files.refuse_overwrite(settings.output, force=settings.force)
    if settings.gallery is not None:
        GALLERY.refuse(settings.gallery, force=settings.force)


def _journal_path(settings: PredictSettings) -> Path | None:
    kept = settings.output or settings.gallery or settings.heatmaps
    return None if kept is None else kept.with_name(kept.name + PARTIAL)


class _Work:
    """The photographs of a run, and their predictions."""

    def __init__(
        self, settings: PredictSettings, tagger: ZeroShotTagger, asked: Asked, photographs: Photographs | None
    ) -> None:
        self.settings, self.tagger, self.asked = settings, tagger, asked
        self.index = None
        if photographs is None:
            assert settings.index is not None
            self.index = tagger.index(settings.index)
            _tell_age(self.index, settings.index)
            photographs = Photographs(tuple(self.index.paths), 0)
        self.photographs = photographs

    @contextmanager
    def predictions(self) -> Iterator[Iterable[Prediction]]:
        """All predictions, in order, to be gone through once for each thing that is written."""
        settings, path = self.settings, _journal_path(self.settings)
        if path is None and settings.xmp is None:
            yield self._computed(0)
            return
        with tempfile.TemporaryDirectory(prefix="zsmld-") as scratch:
            journal = Journal(path or Path(scratch) / "journal", self._job(), settings.batch_size)
            done = journal.begin(resume=settings.resume, force=settings.force)
            if done:
                console.info(f"resumed: {done} of {len(self.photographs.paths)} photographs are done")
            for _ in journal.append(self._computed(done)):
                pass
            yield _Read(journal)
            journal.remove()

    def _computed(self, first: int) -> Iterator[Prediction]:
        settings, paths = self.settings, self.photographs.paths
        stream = self.tagger.stream(
            self._batches(first), paths, self.asked, explain=settings.explained, short_list=settings.short_list
        )
        with console.progress("scoring", len(paths), done=first) as meter:
            for each in stream:
                yield each
                meter.advance()

    def _batches(self, first: int) -> Iterator[TokenBatch]:
        size = self.settings.batch_size
        if self.index is not None:
            return indexed_batches(self.index, batch_size=size, first=first)
        return self.tagger.batches(self.photographs.paths, batch_size=size, first=first)

    def _job(self) -> dict[str, Any]:
        """What every prediction depends on, by name."""
        settings, digest = self.settings, files.digest_bytes
        table = self.asked.table
        return {
            "model": self.tagger.digest(),
            "labels": digest("\n".join(self.asked.names).encode()),
            "label vectors": None if table is None else digest(table.vectors.tobytes()),
            "photographs": digest(b"\0".join(bytes(path) for path in self.photographs.paths)),
            "selection": list(astuple(self.asked.selection)),
            "explanations": settings.explained,
            "--batch-size": settings.batch_size,
            "--device": self.tagger.device.type,
            "--precision": settings.precision,
            "--short-list": settings.short_list,
        }


def _tell_age(index: PhotoIndex, folder: Path) -> None:
    """Say what an index does not know of its photographs."""
    stale = index.stale()
    told = [
        f"{count} of its photographs {what}"
        for count, what in zip(stale, ("have changed", "are gone"), strict=True)
        if count
    ]
    told += [] if index.finished else ["it was cut while it was made"]
    if told:
        console.warn(
            f"{folder} is of {index.updated:%Y-%m-%d %H:%M}: {', '.join(told)}. Bring it up to date with zsmld index."
        )


@dataclass(frozen=True)
class _Read:
    """The predictions of a journal, as often as they are gone through."""

    journal: Journal

    def __iter__(self) -> Iterator[Prediction]:
        return self.journal.read()


def _write(settings: PredictSettings, predictions: Iterable[Prediction], tally: Tally, stdout: IO[str]) -> None:
    """Everything that was asked for; the files last that others wait for."""
    counted: Iterable[Prediction] = tally.counted(predictions)
    if settings.xmp is not None:
        naming: Naming = "stem" if settings.xmp == "stem" else "full"
        tally.unwritten = write_keywords(counted, naming, dry_run=settings.dry_run, stdout=stdout)
        counted = predictions
    if settings.heatmaps is not None:
        for each in counted:
            write_heatmaps(each, settings.heatmaps)
        counted = predictions
    if settings.gallery is not None:
        write_gallery(counted, settings.gallery, title="Photographs", force=settings.force)
        counted = predictions
    if settings.printed:
        lines = FORMATS[settings.format or "table"](counted)
        if settings.output is None:
            for line in lines:
                stdout.write(line)
                # Who reads it is not to wait for a block of them.
                stdout.flush()
            return
        with files.atomic_writer(settings.output, force=settings.force) as stream:
            stream.writelines(line.encode() for line in lines)
