"""The metrics against scikit-learn and against counting by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, top_k_accuracy_score

from zsmld.errors import UsageError
from zsmld.evaluation import metrics


@st.composite
def scored(draw):
    images, labels = draw(st.integers(1, 30)), draw(st.integers(1, 8))
    # Few distinct values, so that ties are the rule.
    scores = draw(hnp.arrays(np.float32, (images, labels), elements=st.sampled_from([-1.5, 0.0, 0.25, 0.5, 3.0])))
    targets = draw(hnp.arrays(np.bool_, (images, labels)))
    return scores, targets


@given(scored())
@settings(max_examples=200, deadline=None)
def test_average_precision_equals_scikit_learn_with_ties(case):
    scores, targets = case
    ours = metrics.average_precision(scores, targets)
    for label in range(scores.shape[1]):
        if targets[:, label].any():
            theirs = average_precision_score(targets[:, label], scores[:, label])
            assert ours[label] == pytest.approx(theirs, abs=1e-12)
        else:
            assert np.isnan(ours[label])


def test_average_precision_equals_scikit_learn_on_many_images():
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(3000, 20)).astype(np.float32), rng.random((3000, 20)) < 0.05
    theirs = [average_precision_score(targets[:, i], scores[:, i]) for i in range(20)]
    np.testing.assert_allclose(metrics.average_precision(scores, targets), theirs, atol=1e-12)


def test_average_precision_of_a_constant_score_is_the_prevalence_in_any_file_order():
    targets = np.array([[1], [0], [0], [1]])
    assert metrics.average_precision(np.zeros((4, 1)), targets)[0] == 0.5
    assert metrics.average_precision(np.zeros((4, 1)), targets[::-1])[0] == 0.5


@given(scored(), st.integers(1, 10))
@settings(max_examples=200, deadline=None)
def test_top_k_does_not_depend_on_the_order_of_labels_or_images(case, k):
    scores, targets = case
    once = metrics.top_k(scores, targets, k)
    again = metrics.top_k(scores[::-1, ::-1], targets[::-1, ::-1], k)
    assert (once.precision, once.recall, once.f1) == pytest.approx((again.precision, again.recall, again.f1))
    assert once.f1 <= once.f1_ceiling + 1e-12


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_equals_scikit_learn_micro_average_without_ties(k):
    rng = np.random.default_rng(k)
    scores, targets = rng.normal(size=(50, 9)), rng.random((50, 9)) < 0.3
    chosen = np.zeros_like(targets)
    np.put_along_axis(chosen, np.argsort(-scores.astype(np.float32), axis=1)[:, :k], True, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = precision_recall_fscore_support(targets, chosen, average="micro")
    ours = metrics.top_k(scores, targets, k)
    assert (ours.precision, ours.recall, ours.f1) == pytest.approx((precision, recall, f1))


def test_top_k_ties_are_the_expectation_over_random_tie_breaks():
    scores, targets = np.array([[1.0, 1.0, 1.0, 2.0]]), np.array([[1, 0, 0, 1]])
    # The best label is a hit; one of three tied labels takes the second place, a hit in one case of three.
    assert metrics.top_k(scores, targets, 2).precision == pytest.approx((1 + 1 / 3) / 2)


def test_f1_ceiling_is_the_f1_of_the_truth_itself():
    targets = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    perfect = metrics.top_k(targets + np.linspace(0, 0.1, 4), targets, 2)
    assert perfect.f1 == perfect.f1_ceiling == pytest.approx(2 * 3 / (6 + 4))


def test_more_places_than_labels_counts_every_label_once():
    figures = metrics.top_k(np.array([[0.1, 0.2]]), np.array([[1, 0]]), 5)
    assert (figures.precision, figures.recall) == (0.5, 1.0)


def test_chance_is_the_mean_over_random_rankings():
    rng = np.random.default_rng(0)
    targets = np.zeros((40, 1), dtype=bool)
    targets[:6] = True
    random = [average_precision_score(targets[:, 0], rng.permutation(40)) for _ in range(4000)]
    assert metrics.chance(targets)[0] == pytest.approx(np.mean(random), abs=4 * np.std(random) / 4000**0.5)
    assert np.isnan(metrics.chance(np.zeros((5, 1)))[0])


def test_harmonic_mean():
    assert metrics.harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)
    assert metrics.harmonic_mean(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("scores", "targets"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(3), np.zeros(3)),
        (np.full((1, 1), np.nan), np.ones((1, 1))),
        (np.zeros((1, 1)), np.full((1, 1), 0.5)),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores, targets):
    with pytest.raises(UsageError):
        metrics.average_precision(scores, targets)


@st.composite
def partly_known(draw):
    scores, targets = draw(scored())
    return scores, targets, targets | draw(hnp.arrays(np.bool_, scores.shape))


@given(partly_known())
@settings(max_examples=200, deadline=None)
def test_unknown_entries_have_no_part_in_average_precision_or_chance(case):
    scores, targets, known = case
    ours, chance = metrics.average_precision(scores, targets, known), metrics.chance(targets, known)
    for label in range(scores.shape[1]):
        rows = known[:, label]
        if targets[:, label].any():
            theirs = average_precision_score(targets[rows, label], scores[rows, label])
            assert ours[label] == pytest.approx(theirs, abs=1e-12)
            assert chance[label] == pytest.approx(metrics.chance(targets[rows][:, [label]])[0])
        else:
            assert np.isnan(ours[label]) and np.isnan(chance[label])
    everything = np.ones_like(known)
    np.testing.assert_array_equal(
        metrics.average_precision(scores, targets, everything), metrics.average_precision(scores, targets)
    )
    np.testing.assert_allclose(metrics.chance(targets, everything), metrics.chance(targets))


@given(partly_known(), st.integers(1, 10))
@settings(max_examples=200, deadline=None)
def test_the_top_k_of_an_image_are_those_of_its_known_labels(case, k):
    scores, targets, known = case
    hits = predicted = 0.0
    for row in range(len(scores)):
        sure = known[row]
        if sure.any():
            # One image with its known labels alone.
            alone = metrics.top_k(scores[row : row + 1, sure], targets[row : row + 1, sure], k)
            size = min(k, int(sure.sum()))
            hits, predicted = hits + alone.precision * size, predicted + size
    ours = metrics.top_k(scores, targets, k, known)
    assert ours.precision == pytest.approx(hits / predicted if predicted else 0)
    assert ours.recall == pytest.approx(hits / targets.sum() if targets.any() else 0)
    assert ours.f1 <= ours.f1_ceiling + 1e-12
    assert metrics.top_k(scores, targets, k, np.ones_like(known)) == metrics.top_k(scores, targets, k)


def test_what_is_true_must_be_known():
    with pytest.raises(UsageError, match="of which it is unknown"):
        metrics.average_precision([[0.5]], [[True]], [[False]])
    with pytest.raises(UsageError, match=r"known of shape \(1, 2\)"):
        metrics.top_k([[0.5]], [[True]], 1, [[True, True]])


@pytest.mark.parametrize("k", [1, 3])
def test_accuracy_equals_scikit_learn_and_images_without_a_class_are_wrong(k):
    rng = np.random.default_rng(0)
    scores, classes = rng.normal(size=(400, 7)).astype(np.float32), rng.integers(0, 7, size=400)
    targets = np.eye(7, dtype=bool)[classes]
    expected = top_k_accuracy_score(classes, scores, k=k, labels=range(7))
    assert metrics.accuracy(scores, targets, k) == pytest.approx(expected, abs=1e-12)
    targets[:100] = False
    rest = top_k_accuracy_score(classes[100:], scores[100:], k=k, labels=range(7))
    assert metrics.accuracy(scores, targets, k) == pytest.approx(0.75 * rest, abs=1e-12)


def test_accuracy_shares_ties_and_refuses_two_classes():
    assert metrics.accuracy([[1, 1, 0], [0, 0, 0]], np.array([[True, False, False], [False, True, False]]), 1) == (
        pytest.approx((1 / 2 + 1 / 3) / 2)
    )
    with pytest.raises(UsageError, match="1 images have more than one class"):
        metrics.accuracy([[1, 1]], [[True, True]], 1)
