"""Which labels are given: held against a full stable sort, and against what the flags say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.errors import UsageError
from zsmld.prediction.selection import Selection, best_of

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=40)


@given(SCORES, st.integers(0, 45))
def test_the_best_are_those_of_a_full_stable_sort(scores, top_k):
    values = np.array(scores)
    expected = sorted(range(len(scores)), key=lambda at: -scores[at])[: top_k or None]
    assert best_of(values, top_k).tolist() == expected


@given(SCORES, st.integers(0, 45), st.sampled_from([None, 0.0, 0.25, 1.0, "auto"]))
def test_threshold_and_number_hold_together(scores, top_k, threshold):
    values = np.array(scores)
    thresholds = np.where(np.arange(len(values)) % 2 == 0, 0.2, 0.6)
    applied = np.full(len(values), threshold) if isinstance(threshold, float) else thresholds
    chosen = Selection.of(top_k, threshold).ranked(values, applied).tolist()
    expected = [at for at in range(len(values)) if threshold is None or values[at] >= applied[at]]
    expected.sort(key=lambda at: -values[at])
    assert chosen == expected[: top_k or None]


def test_what_is_given_where_nothing_is_asked_for():
    assert Selection.of(None, None) == Selection(5, by_threshold=False, threshold=None)
    assert Selection.of(None, "auto") == Selection(0, by_threshold=True, threshold=None)
    assert Selection.of(None, "0.25") == Selection(0, by_threshold=True, threshold=0.25)
    assert Selection.of(3, 0.25) == Selection(3, by_threshold=True, threshold=0.25)
    assert Selection.of(0, None) == Selection(0, by_threshold=False, threshold=None)


@pytest.mark.parametrize("threshold", ["", "high", "1.01", "-0.1", "nan", "inf", 7.0])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(UsageError, match="neither a number from 0 to 1 nor auto"):
        Selection.of(None, threshold)
