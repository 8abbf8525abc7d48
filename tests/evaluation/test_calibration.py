"""The curve of seen against unseen, and the calibration error, against slow computations."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import label_ranking_average_precision_score

from zsmld.evaluation import calibration
from zsmld.evaluation.calibration import are_probabilities, offset_curve, reliability
from zsmld.evaluation.figures import ScoreTable

SEEN = np.arange(9) < 5


def table(images=50, known=None, lead=1.0):
    draw = np.random.default_rng(0)
    truth = draw.random((images, 9)) < 0.3
    scores = (draw.normal(size=truth.shape) + truth + lead * SEEN).round(1).astype(np.float32)
    return ScoreTable(tuple("abcdefghi"), SEEN, scores, truth, known)


def slowly(scored, part, offset):
    """Mean over images of the average precision of the true labels of one part, true ones of the other left out."""
    precisions = []
    for row in range(len(scored.scores)):
        there = np.ones(9, dtype=bool) if scored.known is None else scored.known[row]
        truth = scored.truth[row]
        ranked = there & (~truth | part)
        if (truth & part & there).any():
            lowered = scored.scores[row].astype(float) - np.where(SEEN, offset, 0.0)
            # Of one image scikit-learn's is the mean precision at its true labels.
            precisions.append(label_ranking_average_precision_score(truth[None, ranked], lowered[None, ranked]))
    return np.mean(precisions)


@pytest.mark.parametrize("partial", [False, True])
def test_every_point_of_the_curve_is_what_it_would_be_alone(partial):
    scored = table()
    if partial:
        scored = table(known=(np.random.default_rng(1).random((50, 9)) < 0.7) | scored.truth)
    curve = offset_curve(scored, np.array([-1.03, 0.37, 2.01]))
    assert curve.offsets.tolist() == [-np.inf, -1.03, 0.0, 0.37, 2.01, np.inf]
    for at, offset in enumerate(curve.offsets):
        finite = np.clip(offset, -100, 100)
        assert curve.seen[at] == pytest.approx(slowly(scored, SEEN, finite))
        assert curve.unseen[at] == pytest.approx(slowly(scored, ~SEEN, finite))


def test_lowering_seen_labels_takes_from_them_and_gives_to_the_others():
    curve = offset_curve(table())
    assert (np.diff(curve.seen) <= 1e-12).all() and (np.diff(curve.unseen) >= -1e-12).all()
    assert len(curve.offsets) > 30 and 0 < curve.area < 1
    assert 0 < curve.best() < 2.5  # the seen labels lead by 1
    at_best, at_none = (curve.harmonic[list(curve.offsets).index(offset)] for offset in (curve.best(), 0.0))
    assert at_best > at_none
    assert offset_curve(table(lead=0.0)).best() == pytest.approx(0.0, abs=0.5)
    points = curve.to_json()["points"]
    assert points[0]["offset"] is None and len(points) == len(curve.offsets)


def test_the_area_is_that_under_the_line():
    curve = calibration.OffsetCurve(
        np.array([-np.inf, 0.0, np.inf]), np.array([0.8, 0.6, 0.2]), np.array([0.1, 0.5, 0.7]), (1, 1)
    )
    assert curve.area == pytest.approx(0.2 * 0.7 + 0.4 * 0.6 + 0.2 * 0.3)


def test_of_equally_good_offsets_the_nearest_to_none_is_taken():
    offsets = np.array([-np.inf, -3.0, -1.0, 0.5, 4.0, np.inf])
    unseen = np.array([0.9, 0.4, 0.4, 0.4, 0.4, 0.9])
    flat = calibration.OffsetCurve(offsets, np.full(6, 0.5), unseen, (1, 1))
    assert flat.best() == 0.5


def test_macro_average_precision_cannot_show_an_offset():
    from zsmld.evaluation.metrics import average_precision

    scored = table()
    lowered = scored.scores - 3 * SEEN.astype(np.float32)
    assert average_precision(lowered, scored.truth) == pytest.approx(average_precision(scored.scores, scored.truth))


def test_a_large_table_is_drawn_from_and_a_one_sided_one_has_no_curve(monkeypatch):
    monkeypatch.setattr(calibration, "MOST_IMAGES", 20)
    some = offset_curve(table(), np.zeros(0), seed=3)
    rows = np.sort(np.random.default_rng(3).choice(50, 20, replace=False))
    scored = table()
    alone = offset_curve(ScoreTable(scored.labels, SEEN, scored.scores[rows], scored.truth[rows]), np.zeros(0))
    assert some.seen == pytest.approx(alone.seen) and some.images == alone.images
    scored.truth[:, ~SEEN] = False
    assert offset_curve(scored) is None
    assert offset_curve(ScoreTable(scored.labels, SEEN | True, scored.scores, scored.truth)) is None


@pytest.mark.parametrize("given", ["probabilities", "logits"])
def test_reliability_is_that_of_scikit_learn(given):
    draw = np.random.default_rng(0)
    probabilities = draw.random((700, 3)).astype(np.float32)
    truth = draw.random((700, 3)) < probabilities**2
    scores = probabilities if given == "probabilities" else np.log(probabilities / (1 - probabilities))
    assert are_probabilities(scores) is (given == "probabilities")
    scored = ScoreTable(("a", "b", "c"), np.array([True, True, False]), scores, truth)
    found = reliability(scored, np.array([0, 2]))
    some = probabilities[:, [0, 2]].ravel()
    true, predicted = calibration_curve(truth[:, [0, 2]].ravel(), some, n_bins=15)
    assert found.true == pytest.approx(true, abs=1e-3) and found.predicted == pytest.approx(predicted, abs=1e-3)
    counts = np.histogram(some, bins=15, range=(0, 1))[0]
    assert found.error == pytest.approx(np.average(np.abs(true - predicted), weights=counts), abs=1e-3)
    assert found.counts.sum() == 1400


def test_reliability_passes_over_what_is_unknown():
    scores = np.array([[0.95, 0.95], [0.05, 0.05]], dtype=np.float32)
    truth = np.array([[True, False], [False, False]])
    known = np.array([[True, False], [True, True]])
    found = reliability(ScoreTable(("a", "b"), np.array([True, False]), scores, truth, known), np.arange(2))
    assert found.counts.sum() == 3 and found.error == pytest.approx(0.05)
    assert [each["pairs"] for each in found.to_json()["bins"]] == [2, 1]
