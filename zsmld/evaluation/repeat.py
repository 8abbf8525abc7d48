"""Evaluations that can be repeated: what the last one was told, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from zsmld import console
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import RECORD, record_of
from zsmld.evaluation.report import REPORTS, Report
from zsmld.settings import EvalSettings
from zsmld.versions import versions

# What an evaluation is told and its figures depend on.
_PATHS = ("annotations", "images", "split_file", "unseen")
_REPEATED = (*_PATHS, "allow_missing", "gzsl", "split", "protocol", "min_positives", "resamples", "seen_offset")


def recorded(settings: EvalSettings) -> dict[str, Any]:
    """What the report keeps of the settings, to repeat the evaluation."""
    values = {name: getattr(settings, name) for name in _REPEATED}
    return {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in values.items()}


def completed(settings: EvalSettings) -> EvalSettings:
    """The settings with what they lack: the last evaluation of the model, or the data set that it was trained on.

    Without annotations and unseen labels, and with an earlier report in the model folder, its evaluation is repeated.
    """
    if settings.annotations is not None:
        return settings
    last = _table(record_of(settings.model / REPORTS[0]), "evaluation")
    if settings.unseen is None and set(last) == set(_REPEATED) == set(_of_this_machine(last)):
        told = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in last.items() if value)
        console.info(f"repeating the evaluation of {settings.model / REPORTS[0]}: {told}")
        return _with(settings, last)
    trained = _of_this_machine(_table(record_of(settings.model / RECORD), "settings"))
    return _with(settings, {name: trained.get(name) for name in ("annotations", "images", "split_file")})


def data_of(folder: Path) -> dict[str, Path]:
    """The data set that a model was trained on, and the unseen labels of its last evaluation, as far as they are known:
    `annotations`, `images`, `split_file`, `unseen`."""
    last = _table(record_of(folder / REPORTS[0]), "evaluation")
    known = _of_this_machine(_table(record_of(folder / RECORD), "settings") | last)
    return {name: Path(known[name]) for name in _PATHS if isinstance(known.get(name), str)}


def _table(record: dict[str, Any], key: str) -> dict[str, Any]:
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _of_this_machine(values: dict[str, Any]) -> dict[str, Any]:
    """Without the paths of a folder that came from another machine: there they are names alone."""
    return {
        name: value for name, value in values.items()
        if name not in _PATHS or value is None or Path(str(value)).is_absolute()
    }  # fmt: skip


def _with(settings: EvalSettings, values: dict[str, Any]) -> EvalSettings:
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return replace(settings, **given | {name: Path(given[name]) for name in _PATHS if name in given})


def differences(settings: EvalSettings, everything: Dataset, report: Report) -> Iterator[str]:
    """What is not as it was when the model was trained, or last evaluated.

    Args:
        settings: of the evaluation that was just made.
        everything: all records of its data set.
        report: what it found.
    """
    run, last = record_of(settings.model / RECORD), record_of(settings.model / REPORTS[0])
    then = _table(run, "versions")
    for name, now in versions().items():
        if name in then and then[name] != now:
            yield f"{name} is {now}, the model was trained with {then[name]}"
    before, trained = _table(run, "digests").get("annotations"), _table(run, "settings")
    # Of another data set than the one it was trained on there is nothing to say.
    same_file = trained.get("annotations") == str(Path(settings.annotations or "").absolute())
    told = before and same_file and not trained.get("allow_missing")
    if told and everything.take(~everything.is_of("test")).digest() != before:
        yield "the training records are not those that the model was trained on"
    if last.get("evaluation") != report.about["evaluation"]:
        return
    digests = _table(last, "digests")
    changed = [name for name, digest in report.about["digests"].items() if digests.get(name) != digest]
    for name in changed:
        yield f"the {name} are not those of the last evaluation"
    found = report.to_json()
    figures = [name for name in report.sets if name in last and last[name] != found[name]]
    if figures and not changed:
        yield f"figures differ from those of the last evaluation: {', '.join(figures)}"
