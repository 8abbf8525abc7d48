"""Predictions as a table, as JSONL and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator

from zsmld import files
from zsmld.console import clean
from zsmld.prediction.results import Prediction

CSV_COLUMNS = ("path", "rank", "label", "score", "error")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_jsonl(predictions: Iterable[Prediction]) -> Iterator[str]:
    """One line a photograph: `{"path", "labels": [{"label", "score"}, ...]}` or `{"path", "error"}`."""
    for prediction in predictions:
        record: dict[str, object] = {"path": _path(prediction)}
        if prediction.error is not None:
            record["error"] = prediction.error.problem
        else:
            record["labels"] = [{"label": each.label, "score": round(each.score, 6)} for each in prediction.labels]
        yield files.to_json(record) + "\n"


def as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """One line a photograph and label, with a header; a photograph that could not be read has one line."""
    yield _csv_line(CSV_COLUMNS)
    for prediction in predictions:
        path = _inert(_path(prediction))
        if prediction.error is not None:
            yield _csv_line((path, "", "", "", _inert(prediction.error.problem)))
        for rank, each in enumerate(prediction.labels, start=1):
            yield _csv_line((path, str(rank), _inert(each.label), f"{each.score:.6f}", ""))


def as_table(predictions: Iterable[Prediction]) -> Iterator[str]:
    """A block a photograph: its name, and under it a line a label with its probability."""
    for prediction in predictions:
        yield f"{clean(_path(prediction))}\n"
        if prediction.error is not None:
            yield f"  error  {clean(prediction.error.problem)}\n"
        for each in prediction.labels:
            yield f"  {each.score:.3f}  {clean(each.label)}\n"


FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "table": as_table,
    "jsonl": as_jsonl,
    "csv": as_csv,
}


def _path(prediction: Prediction) -> str:
    # File names are bytes: what is no UTF-8 is shown with a replacement character instead of failing.
    return str(prediction.path).encode("utf-8", "replace").decode("utf-8")


def _inert(text: str) -> str:
    """`text` so that a spreadsheet shows it instead of running it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
