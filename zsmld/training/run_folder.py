"""The run folder: which one, what is recorded in it before training, and when a run may go on in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from zsmld import files
from zsmld.decoder.model_folder import CALIBRATION, CONFIG, LABELS, RECORD
from zsmld.decoder.probabilities import FILE_NAME as PROBABILITIES
from zsmld.decoder.short_list_fit import FILE_NAME as SHORT_LIST
from zsmld.errors import InputError, UsageError
from zsmld.evaluation import REPORTS
from zsmld.settings import TrainSettings
from zsmld.training.checkpoint import FILE_NAME as CHECKPOINT
from zsmld.training.loop import METRICS_FILE
from zsmld.versions import versions

LATEST = "latest"
REHEARSALS = "rehearsals.json"
_REHEARSAL = "rehearsal-"
_HELD_OUT = "held_out-{}.safetensors"
# Settings that may differ between a run and its resumption: they do not change the weights.
_NOT_OF_THE_RUN = {"resume", "force", "dry_run", "run", "runs"}


def choose_run_folder(settings: TrainSettings) -> Path:
    """The folder of this run: `--run`, else the next free number, or with `--resume` the newest unfinished one.

    Raises:
        UsageError: the folder exists and neither --resume nor --force is given, or it holds something else.
    """
    files.refuse_no_link(settings.runs / LATEST)
    if settings.run is not None:
        if _holds_something_else(settings.run):
            raise UsageError("holds files, but no run", path=settings.run, remedy="Name another folder with --run.")
        if settings.run.exists() and any(settings.run.iterdir()) and not (settings.resume or settings.force):
            raise UsageError(
                "exists already", path=settings.run, remedy="Add --resume to go on or --force to start over."
            )
        return settings.run
    numbered = [path for path in settings.runs.glob("[0-9]*") if path.name.isdecimal()]
    if settings.resume:
        unfinished = [path for path in numbered if not (path / CONFIG).exists()]
        if not unfinished:
            raise UsageError("no unfinished run to resume", path=settings.runs, remedy="Name one with --run.")
        return max(unfinished, key=lambda path: int(path.name))
    highest = max((int(path.name) for path in numbered), default=0)
    return settings.runs / f"{highest + 1:03d}"


def _holds_something_else(folder: Path) -> bool:
    """Whether the folder has files but none of a run: starting over there could cost what is not ours."""
    # A run that was cut before its first checkpoint has nothing but its lock.
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()
    return bool(names) and not names & {RECORD, CHECKPOINT, CONFIG}


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a finished model."""
    return (folder / CONFIG).exists()


def rehearsal_folder(folder: Path, number: int) -> Path:
    """Where a rehearsal keeps its checkpoint while it is trained."""
    return folder / f"{_REHEARSAL}{number + 1}"


def clear_rehearsal(folder: Path) -> None:
    """Remove the folder of a rehearsal with what is known to be in it."""
    files.remove_leftovers(folder)
    for name in (CHECKPOINT, METRICS_FILE):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def held_out_file(folder: Path, number: int) -> Path:
    """Where a rehearsal's scores are kept until probabilities are measured on them."""
    return folder / _HELD_OUT.format(number + 1)


def clear_held_out(folder: Path) -> None:
    """Remove the scores of all rehearsals."""
    for path in folder.glob(_HELD_OUT.format("*")):
        path.unlink()


def start_over(folder: Path) -> None:
    """Remove what an earlier run in this folder left, so that nothing of it is taken for the new one's."""
    of_model = CONFIG, LABELS, CALIBRATION, PROBABILITIES, SHORT_LIST, *REPORTS
    for name in (*of_model, CHECKPOINT, METRICS_FILE, RECORD, REHEARSALS):
        (folder / name).unlink(missing_ok=True)
    clear_held_out(folder)
    for rehearsal in folder.glob(f"{_REHEARSAL}*"):
        clear_rehearsal(rehearsal)


def describe_run(settings: TrainSettings, digests: dict[str, str]) -> dict[str, Any]:
    """What stands in `run.json`: settings, digests of the data, versions. Enough to repeat the run."""
    values = {
        field.name: _plain(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
        if field.name not in _NOT_OF_THE_RUN
    }
    return {"settings": values, "digests": digests, "versions": versions()}


def check_same_run(folder: Path, described: dict[str, Any]) -> None:
    """Refuse to resume with other settings or other data than the run was started with.

    Raises:
        UsageError: names the first setting that differs, with both values.
        InputError: the data has changed since.
    """
    recorded = files.read_json(folder / RECORD)
    if not isinstance(recorded, dict) or not all(isinstance(recorded.get(k), dict) for k in ("settings", "digests")):
        raise InputError("is no run record", path=folder / RECORD, remedy="Start over with --force.")
    for name, value in described["settings"].items():
        before = recorded["settings"].get(name)
        if before != value:
            raise UsageError(
                f"--{name.replace('_', '-')} is {value!r}, the run was started with {before!r}", path=folder,
                remedy="Resume with the same settings, or start over with --force.",
            )  # fmt: skip
    for name, digest in described["digests"].items():
        if recorded["digests"].get(name) != digest:
            raise InputError(
                f"the {name} changed since the run was started", path=folder, remedy="Start over with --force."
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value
