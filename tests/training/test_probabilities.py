"""Curves against scipy and scikit-learn, thresholds against brute force, and what too little data does."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from zsmld.decoder.probabilities import Curve, Probabilities
from zsmld.evaluation import ScoreTable
from zsmld.training import probabilities
from zsmld.training.probabilities import BORROWED, GRID, LOWEST, measured

LABELS = tuple(f"label {at}" for at in range(6))
SEEN = np.array([True, True, True, True, False, False])
GRID_OF_PROBABILITIES = scipy.special.expit(GRID)


def table(images=4000, seed=0, scale=0.6, shift=-0.5, other_shift=0.8, seen=SEEN, known=None):
    """Logits, and a truth that these make probable, through one curve for labels trained on and one for others."""
    draw = np.random.default_rng(seed)
    logits = (draw.normal(size=(images, 6)) * 2 - np.linspace(1, 4, 6)).astype(np.float32)
    shifts = np.where(seen, shift, other_shift)
    truth = draw.random((images, 6)) < scipy.special.expit(scale * logits + shifts)
    return ScoreTable(LABELS, seen, logits, truth, known)


def penalised(logits, truth, towards):
    """The same optimum by another library, with the ten true pairs that hold it."""

    def cost(values):
        x = np.exp(values[0]) * logits + values[1]
        held = (values[0] - np.log(towards.scale)) ** 2 + (values[1] - towards.shift) ** 2
        return np.sum(np.logaddexp(0, x) - truth * x) + 5 * held

    found = scipy.optimize.minimize(cost, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    return np.exp(found.x[0]), found.x[1]


@pytest.mark.parametrize("images", [40, 4000])
def test_curves_are_the_ones_of_independent_computations(images):
    given = table(images)
    found = measured([given], [given])
    towards = Curve()
    for curve, part in ((found.seen, SEEN), (found.unseen, ~SEEN)):
        logits, truth = given.scores[:, part].ravel().astype(np.float64), given.truth[:, part].ravel()
        assert (curve.scale, curve.shift) == pytest.approx(penalised(logits, truth, towards), abs=2e-3)
        assert curve.positives == truth.sum() and curve.labels == given.truth[:, part].any(axis=0).sum()
        if images > 1000:  # what holds it hardly counts among so many
            free = LogisticRegression(C=np.inf).fit(logits[:, None], truth)
            assert (curve.scale, curve.shift) == pytest.approx((free.coef_[0, 0], free.intercept_[0]), abs=0.05)
        towards = curve
    if images > 1000:
        assert (found.seen.scale, found.seen.shift) == pytest.approx((0.6, -0.5), abs=0.08)
        assert (found.unseen.scale, found.unseen.shift) == pytest.approx((0.6, 0.8), abs=0.1)


def test_logits_that_are_probabilities_already_keep_the_plain_curve_and_get_thresholds():
    given = table(scale=1.0, shift=0.0)
    found = measured([given], [given], fitted=True)
    assert (found.seen.scale, found.seen.shift) == (1.0, 0.0) and found.seen.is_measured and found.own
    assert found.seen.threshold != 0.5 and found.unseen.shift > 0.5


def test_common_thresholds_have_the_best_f1_of_all():
    given = table(600)
    found = measured([given], [given])
    for curve, part in ((found.seen, SEEN), (found.unseen, ~SEEN)):
        truth = given.truth[:, part].ravel()
        shown = found.of(given.scores[:, part], SEEN[part]).ravel()
        figures = [f1_score(truth, shown >= threshold, zero_division=0) for threshold in GRID_OF_PROBABILITIES]
        assert f1_score(truth, shown >= curve.threshold) == pytest.approx(max(figures), abs=1e-9)
        assert curve.threshold in GRID_OF_PROBABILITIES


def test_own_thresholds_have_the_best_f1_with_forty_borrowed_pairs():
    given = table(300, seed=3)
    given.truth[:, 1] = np.random.default_rng(5).random(300) < 0.3  # scores say nothing of this one
    found = measured([given], [given])
    shown, truth = found.of(given.scores[:, SEEN], SEEN[SEEN]), given.truth[:, SEEN]
    common = int(np.argmin(np.abs(GRID_OF_PROBABILITIES - found.seen.threshold)))
    assert set(found.own) == {label for label, count in zip(LABELS, truth.sum(axis=0), strict=False) if count >= 10}
    assert len(found.own) == 4
    for at, label in enumerate(LABELS[:4]):
        figures = {}
        for place in range(max(common - LOWEST, 0), len(GRID)):
            counts = []
            for columns in (at, slice(None)):
                given_, true = shown[:, columns] >= GRID_OF_PROBABILITIES[place], truth[:, columns]
                counts.append(np.array([(given_ & true).sum(), (given_ & ~true).sum(), true.sum()], dtype=float))
            own, all_ = counts
            true, false, positives = own + BORROWED / all_[2] * all_
            figures[place] = 2 * true / (true + false + positives)
        best = [place for place, f1 in figures.items() if f1 > max(figures.values()) - 1e-12]
        nearest = min(best, key=lambda place: abs(place - common))
        assert found.own[label] == pytest.approx(GRID_OF_PROBABILITIES[nearest]), label
    # All images would be best for this one, at a lower threshold than is allowed.
    free = [f1_score(truth[:, 1], shown[:, 1] >= each, zero_division=0) for each in GRID_OF_PROBABILITIES]
    assert GRID[int(np.argmax(free))] < GRID[common - LOWEST]
    odds = found.own["label 1"] / (1 - found.own["label 1"]), found.seen.threshold / (1 - found.seen.threshold)
    assert odds[0] >= odds[1] * np.exp(-0.7) * (1 - 1e-9)


def test_a_label_with_few_images_has_no_threshold_of_its_own():
    given = table(2000)
    given.truth[np.flatnonzero(given.truth[:, 2])[9:], 2] = False
    assert "label 2" not in measured([given], [given]).own
    given.truth[-1, 2] = True
    assert given.truth[:, 2].sum() == 10 and "label 2" in measured([given], [given]).own


def test_what_a_threshold_separates_does_not_run_off():
    given = table(200)
    given.truth[:] = given.scores > 0
    found = measured([given], [given])
    assert 1 < found.seen.scale < 20 and abs(found.seen.shift) < 5
    shown = found.of(given.scores, SEEN)
    assert ((shown >= found.thresholds(LABELS, SEEN)) == given.truth).mean() > 0.99
    # In the middle of all that separate them, not at an end.
    given.scores[:] = np.where(given.truth, 3, -3)
    apart = measured([given], [given])
    low, high = scipy.special.logit(apart.of(np.float32([[-3, 3]]), np.ones(2, dtype=bool)))[0]
    for threshold in (apart.seen.threshold, apart.own["label 0"]):
        assert scipy.special.logit(threshold) == pytest.approx((low + high) / 2, abs=0.1)
    constant = table(200)
    constant.scores[:] = 1.0
    assert np.isfinite(measured([constant], [constant]).seen.shift)


@pytest.mark.parametrize("positives", [0, 9, 10])
def test_too_few_true_pairs_measure_nothing(positives):
    given = table(200)
    given.truth[:, ~SEEN] = False
    given.truth[:positives, 4] = True
    found = measured([given], [given])
    assert found.unseen.is_measured is (positives == 10) and found.seen.is_measured
    if positives < 10:
        assert found.unseen == Curve(found.seen.scale, found.seen.shift, found.seen.threshold)
    given.truth[:, SEEN] = False
    given.truth[:positives, 0] = True
    assert measured([given], [given]).seen.is_measured is (positives == 10)


def test_without_held_out_labels_words_are_taken_for_labels_trained_on():
    assert measured([], []) == Probabilities()
    given = table(seen=np.ones(6, dtype=bool))
    found = measured([given], [])
    assert found.unseen == Curve(found.seen.scale, found.seen.shift, found.seen.threshold)
    apart = table(seed=1)
    both = measured([given], [apart])
    assert (both.seen, both.own) == (found.seen, found.own)  # the other's labels trained on have no say
    assert both.unseen.shift > 0.5 > 0 > found.unseen.shift


def test_what_is_unknown_has_no_say():
    known = np.random.default_rng(9).random((4000, 6)) < 0.5
    given = table(known=known)
    before = measured([given], [given])
    given.truth[~known] ^= True
    assert measured([given], [given]) == before
    assert before.seen.positives == (given.truth & known)[:, SEEN].sum()


def test_labels_that_change_sides_count_on_both():
    tables = [table(seed=1), table(seed=2, seen=~SEEN)]
    found = measured(tables, tables)
    assert set(found.own) == set(LABELS) and found.unseen.labels == 6
    assert found.seen.positives == sum(int(each.truth[:, each.seen].sum()) for each in tables)


def test_of_very_many_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(probabilities, "MOST_IMAGES", 500)
    given = table()
    rows = probabilities.some_of(4000)
    assert len(set(rows.tolist())) == 500 and (rows == np.sort(rows)).all() and rows.max() > 3000
    some = ScoreTable(LABELS, SEEN, given.scores[rows], given.truth[rows])
    assert measured([given], [given]) == measured([some], [some])
