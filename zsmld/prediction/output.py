"""Predictions as a table, as JSONL and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator

from zsmld import files
from zsmld.console import clean
from zsmld.prediction.records import DIGITS, to_record
from zsmld.prediction.results import Prediction, ScoredLabel

CSV_COLUMNS = ("path", "rank", "label", "score", "threshold", "seen", "nearest", "error")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_jsonl(predictions: Iterable[Prediction]) -> Iterator[str]:
    """One record a photograph, see `records`."""
    for prediction in predictions:
        yield files.to_json(to_record(prediction) | {"path": shown_path(prediction)}) + "\n"


def as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """One line a photograph and label, with a header; a photograph that could not be read has one line."""
    yield _csv_line(CSV_COLUMNS)
    for prediction in predictions:
        path = _inert(shown_path(prediction))
        if prediction.error is not None:
            yield _csv_line((path, "", "", "", "", "", "", _inert(prediction.error.problem)))
        for rank, each in enumerate(prediction.labels, start=1):
            numbers = (f"{each.score:.{DIGITS}f}", f"{each.threshold:.{DIGITS}f}", "1" if each.seen else "0")
            yield _csv_line((path, str(rank), _inert(each.label), *numbers, _inert(told_nearest(each)), ""))


def as_table(predictions: Iterable[Prediction]) -> Iterator[str]:
    """A block a photograph: its name, and under it a line a label with its probability, and what it is near to."""
    for prediction in predictions:
        yield f"{clean(shown_path(prediction))}\n"
        if prediction.error is not None:
            yield f"  error  {clean(prediction.error.problem)}\n"
        for each in prediction.labels:
            near = f"  (nearest trained on: {told_nearest(each)})" if each.nearest else ""
            yield f"  {each.score:.3f}  {clean(each.label + near)}\n"


FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "table": as_table,
    "jsonl": as_jsonl,
    "csv": as_csv,
}


def told_nearest(scored: ScoredLabel) -> str:
    """The nearest labels with their cosines, as text; empty where there are none."""
    return ", ".join(f"{label} {cosine:.2f}" for label, cosine in scored.nearest)


def shown_path(prediction: Prediction) -> str:
    """The path as text: file names are bytes, and what is no UTF-8 is shown with a replacement character."""
    return str(prediction.path).encode("utf-8", "replace").decode("utf-8")


def _inert(text: str) -> str:
    """`text` so that a spreadsheet shows it instead of running it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
