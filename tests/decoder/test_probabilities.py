"""`probabilities.json`: each label's probability is of its own logit alone; what is damaged is refused."""

import json

import numpy as np
import pytest

from zsmld.decoder.probabilities import FILE_NAME, Curve, Probabilities
from zsmld.errors import InputError

FOUND = Probabilities(
    Curve(scale=0.9, shift=-0.2, threshold=0.2, labels=3, positives=1234),
    Curve(scale=0.5, shift=0.7, threshold=0.1, labels=2, positives=56),
    {"Polar_Bear": 0.35, "dog": 0.15},
)
LABELS, SEEN = ("polar bear", "cat", "dog", "sea"), np.array([True, True, False, False])


def logits(images=50):
    return (4 * np.random.default_rng(0).normal(size=(images, 4))).astype(np.float32)


def test_a_label_has_the_curve_of_its_kind():
    found = FOUND.of(logits(), SEEN)
    x = logits().astype(np.float64)
    expected = 1 / (1 + np.exp(-np.where(SEEN, 0.9 * x - 0.2, 0.5 * x + 0.7)))
    assert found.dtype == np.float64 and found == pytest.approx(expected, abs=1e-15)
    extreme = FOUND.of(np.array([[1e4, -1e4]], dtype=np.float32), np.array([True, False]))
    assert extreme.tolist() == [[1.0, 0.0]]
    # A mark a pair, as for short lists of each photograph's own labels.
    marks = np.tile(SEEN, (50, 1))
    assert (FOUND.of(logits(), marks) == found).all()


def test_other_labels_and_other_photographs_change_no_bit():
    whole = FOUND.of(logits(), SEEN)
    for columns in ([0], [2], [3, 0], [1, 2, 3]):
        assert (FOUND.of(logits()[:, columns], SEEN[columns]) == whole[:, columns]).all()
    assert (FOUND.of(logits()[7:8], SEEN) == whole[7:8]).all()


def test_the_order_of_a_labels_photographs_stays():
    x = np.sort(logits(), axis=0)
    assert (np.diff(FOUND.of(x, SEEN), axis=0) > 0).all()


def test_thresholds_are_own_ones_of_labels_trained_on_else_those_of_the_kind():
    assert FOUND.thresholds(LABELS, SEEN).tolist() == [0.35, 0.2, 0.1, 0.1]
    # The same word, never trained on, has no threshold of its own.
    assert FOUND.thresholds(("dog",), np.array([True])).tolist() == [0.15]


def test_without_a_file_it_is_the_plain_logistic_function(tmp_path):
    plain = Probabilities.load(tmp_path)
    assert plain == Probabilities() and not plain.is_measured
    assert plain.of(np.zeros((1, 4), np.float32), SEEN).tolist() == [[0.5] * 4]
    assert plain.thresholds(LABELS, SEEN).tolist() == [0.5] * 4
    assert plain.told() == "not measured: the plain logistic function, threshold 0.5"


def test_what_is_saved_is_loaded_and_told(tmp_path):
    FOUND.save(tmp_path)
    assert Probabilities.load(tmp_path) == FOUND and FOUND.is_measured
    assert FOUND.told() == (
        "labels trained on: measured on 1,234 true pairs of 3 labels, 2 thresholds of their own; "
        "never trained on: measured on 56 true pairs of 2 labels that were held out"
    )
    half = Probabilities(FOUND.seen, Curve(0.9, -0.2, 0.2))
    half.save(tmp_path)
    assert Probabilities.load(tmp_path) == half
    assert half.told().endswith("never trained on: not measured, taken for the same")


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (("seen", "scale"), 0, "seen: scale is 0"),
        (("seen", "scale"), -1.5, "seen: scale is -1.5"),
        (("unseen", "scale"), float("nan"), "unseen: scale is nan"),
        (("unseen", "shift"), float("inf"), "unseen: shift is inf"),
        (("unseen", "shift"), 10**400, "unseen: shift is 1000"),
        (("seen", "shift"), True, "seen: shift is True"),
        (("seen", "threshold"), 1.2, "seen: threshold is 1.2"),
        (("seen", "threshold"), "0.5", "seen: threshold is '0.5'"),
        (("seen", "labels"), -1, "labels is -1"),
        (("seen", "positives"), 2.0, "positives is 2.0"),
        (("thresholds", "dog"), None, "dog is None"),
        (("thresholds", "dog"), -0.1, "dog is -0.1"),
        (("thresholds",), [0.1], "is no description of probabilities"),
        (("seen",), None, "'seen' is no curve"),
        (("unseen",), {"scale": 1.0}, "'unseen' is no curve"),
        (("format_version",), 2, "has format version 2, this zsmld reads 1"),
        (("other",), 1, "is no description of probabilities"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path, where, value, told):
    FOUND.save(tmp_path)
    record = json.loads((tmp_path / FILE_NAME).read_text())
    part = record
    for name in where[:-1]:
        part = part[name]
    part[where[-1]] = value
    (tmp_path / FILE_NAME).write_text(json.dumps(record))
    with pytest.raises(InputError) as error:
        Probabilities.load(tmp_path)
    assert told in str(error.value) and FILE_NAME in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format_version": 1}', "[" * 5000, "3"])
def test_what_is_no_such_file_is_refused(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(InputError, match=FILE_NAME):
        Probabilities.load(tmp_path)
