"""Records of predictions: there and back, and what is none."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.images.opening import ImageError
from zsmld.prediction.records import from_record, to_record
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel

SCORES = st.integers(0, 10**6).map(lambda number: number / 10**6)
PATHS = (
    st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name).map(lambda name: Path(os.fsdecode(name)))
)
MAPS = st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda size: st.binary(min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda levels: Heatmap(*size, levels)
    )
)
NEAREST = st.lists(st.tuples(st.text(), st.integers(-100, 100).map(lambda number: number / 100)), max_size=3).map(tuple)
LABELS = st.builds(ScoredLabel, st.text(), SCORES, SCORES, st.booleans(), NEAREST, MAPS)
PREDICTIONS = st.builds(Prediction, PATHS, st.lists(LABELS, max_size=4).map(tuple)) | st.builds(
    lambda path, problem: Prediction(path, error=ImageError(problem, path=path)), PATHS, st.text()
)


def plain(prediction):
    error = None if prediction.error is None else (prediction.error.problem, prediction.error.path)
    return prediction.path, prediction.labels, error


@given(PREDICTIONS)
def test_what_comes_back_is_what_went_in(prediction):
    text = json.dumps(to_record(prediction))
    assert plain(from_record(json.loads(text))) == plain(prediction)


def test_a_record_says_no_more_than_was_asked():
    record = to_record(Prediction(Path("a.jpg"), (ScoredLabel("sea", 0.12345678, 0.5, True),)))
    assert record == {
        "path": "a.jpg", "labels": [{"label": "sea", "score": 0.123457, "threshold": 0.5, "seen": True}]
    }  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        None, [], "path", {}, {"path": "a"}, {"path": 3, "labels": []}, {"path": "a", "labels": 3},
        {"path": "a", "labels": [{"label": "x"}]},
        {"path": "a", "labels": [{"label": "x", "score": "high", "threshold": 0, "seen": True}]},
        {"path": "a", "labels": [{"label": "x", "score": 0, "threshold": 0, "seen": True,
                                  "heatmap": {"height": 1, "width": 1, "levels": "?"}}]},
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(record):
    with pytest.raises(ValueError):
        from_record(record)
