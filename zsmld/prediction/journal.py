"""What a long run has predicted so far, so that one that is killed can go on: `OUTPUT.partial`.

Its first line says what the run was asked; every further line is the record of a photograph, in order. It is appended
to batch by batch, and removed once all that was asked for is written. A run that goes on drops a line that was cut, and
what is no whole batch: so every batch is computed as it would have been.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsmld import files
from zsmld.errors import InputError, UsageError
from zsmld.prediction.records import from_record, to_record
from zsmld.prediction.results import Prediction

FORMAT_VERSION = 1
_REMEDY = "Add --force to start over."


@dataclass(frozen=True)
class Journal:
    """The journal of one run.

    Attributes:
        path: its file.
        job: what the run was asked, by name; values of JSON.
        batch_size: photographs that are computed together.
    """

    path: Path
    job: Mapping[str, Any]
    batch_size: int

    def begin(self, *, resume: bool, force: bool) -> int:
        """Make the journal ready to be appended to; how many photographs are in it.

        Raises:
            UsageError: there is one, and neither is given; or it is of a run that was asked something else.
            InputError: it is damaged.
        """
        if self.path.exists() and not (resume or force):
            raise UsageError(
                "is of a run that was cut", path=self.path, remedy="Add --resume to go on or --force to start over."
            )
        # Held for a moment: another process may be writing it.
        with files.growing(self.path) as stream:
            if force or not stream.tell():
                files.cut(self.path, 0)
                stream.write(self._line({"format_version": FORMAT_VERSION, "job": dict(self.job)}).encode())
                return 0
            self._check_job()
            kept, done = self._whole_batches()
            files.cut(self.path, kept)
            return done

    def append(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Write predictions behind those that are there, batch by batch, and pass them on."""
        waiting: list[Prediction] = []
        with files.growing(self.path) as stream:
            for prediction in predictions:
                waiting.append(prediction)
                if len(waiting) == self.batch_size:
                    stream.write(self._block(waiting))
                    stream.flush()
                    yield from waiting
                    waiting = []
            stream.write(self._block(waiting))
        yield from waiting

    def read(self) -> Iterator[Prediction]:
        """The predictions, one after another.

        Raises:
            InputError: the journal is damaged.
        """
        for number, (line, _) in enumerate(self._lines(), start=1):
            if number > 1:
                yield self._prediction(line, number)

    def remove(self) -> None:
        """Remove the journal: everything is where it was to go."""
        self.path.unlink(missing_ok=True)

    def _check_job(self) -> None:
        first = next((line for line, _ in self._lines()), b"")
        try:
            header = json.loads(first)
            job = header["job"] if header["format_version"] == FORMAT_VERSION else None
        except (ValueError, KeyError, TypeError):
            job = None
        if not isinstance(job, dict):
            raise InputError("is no journal of this zsmld", path=self.path, line=1, remedy=_REMEDY)
        differing = [name for name in {**self.job, **job} if job.get(name) != self.job.get(name)]
        if differing:
            raise UsageError(
                f"is of a run with other {', '.join(differing)}", path=self.path,
                remedy="Ask for the same to go on, or add --force to start over.",
            )  # fmt: skip

    def _whole_batches(self) -> tuple[int, int]:
        """How many bytes of the journal are of whole batches, and how many photographs these are."""
        ends = [end for line, end in self._lines() if line.endswith(b"\n")]
        done = (len(ends) - 1) // self.batch_size * self.batch_size
        return ends[done], done

    def _lines(self) -> Iterator[tuple[bytes, int]]:
        """Every line, and where it ends."""
        end = 0
        with files.open_input(self.path) as stream:
            for line in stream:
                end += len(line)
                yield line, end

    def _prediction(self, line: bytes, number: int) -> Prediction:
        try:
            return from_record(json.loads(line))
        except ValueError as error:
            raise InputError("is damaged", path=self.path, line=number, remedy=_REMEDY) from error

    def _block(self, predictions: Iterable[Prediction]) -> bytes:
        return "".join(self._line(to_record(each)) for each in predictions).encode()

    @staticmethod
    def _line(record: Mapping[str, Any]) -> str:
        # Escaped: file names of bytes that are no text have to come back as they were.
        return json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n"
