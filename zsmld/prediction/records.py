"""A prediction as a JSON record, and back: what JSONL shows, and what a run that is cut goes on from.

    {"path": ..., "labels": [{"label", "score", "threshold", "seen"}, ...]}
    {"path": ..., "error": ...}

With an explanation each label has `nearest` ([{"label", "cosine"}, ...]) and `heatmap` ({"height", "width", "levels"},
levels in base64) too.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

from zsmld.images.opening import ImageError
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel

DIGITS = 6


def to_record(prediction: Prediction) -> dict[str, Any]:
    """The record of a prediction; its path as Python has it, which is no text where the name's bytes are none."""
    path = os.fspath(prediction.path)
    if prediction.error is not None:
        return {"path": path, "error": prediction.error.problem}
    return {"path": path, "labels": [_of_label(each) for each in prediction.labels]}


def from_record(record: Any) -> Prediction:
    """The prediction of a record.

    Raises:
        ValueError: it is none.
    """
    try:
        path = Path(record["path"])
        if "error" in record:
            return Prediction(path, error=ImageError(str(record["error"]), path=path))
        return Prediction(path, tuple(_label_of(each) for each in record["labels"]))
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError("no record of a prediction") from error


def _of_label(scored: ScoredLabel) -> dict[str, Any]:
    record: dict[str, Any] = {
        "label": scored.label,
        "score": round(scored.score, DIGITS),
        "threshold": round(scored.threshold, DIGITS),
        "seen": scored.seen,
    }
    if scored.nearest:
        record["nearest"] = [{"label": label, "cosine": round(cosine, 4)} for label, cosine in scored.nearest]
    if scored.heatmap is not None:
        levels = base64.b64encode(scored.heatmap.levels).decode()
        record["heatmap"] = {"height": scored.heatmap.height, "width": scored.heatmap.width, "levels": levels}
    return record


def _label_of(record: dict[str, Any]) -> ScoredLabel:
    heatmap = record.get("heatmap")
    return ScoredLabel(
        label=str(record["label"]),
        score=float(record["score"]),
        threshold=float(record["threshold"]),
        seen=bool(record["seen"]),
        nearest=tuple((str(each["label"]), float(each["cosine"])) for each in record.get("nearest", ())),
        heatmap=None if heatmap is None else _heatmap_of(heatmap),
    )


def _heatmap_of(record: dict[str, Any]) -> Heatmap:
    levels = base64.b64decode(record["levels"], validate=True)
    return Heatmap(int(record["height"]), int(record["width"]), levels)
