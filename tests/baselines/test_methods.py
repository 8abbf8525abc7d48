"""Each simple method against its definition, and on words that have something to say, and on shuffled ones."""

import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import Ridge

from zsmld.baselines.choice import Prepared, choose, fit_method
from zsmld.baselines.fast0tag import _rank_loss
from zsmld.baselines.methods import METHODS, Method, conse, eszsl, mixture, nearest_seen
from zsmld.baselines.pooled import Problem, standardised, unit_vectors
from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.evaluation import average_precision, chance

SEEN, LABELS, WIDTH, CHANNELS = 24, 32, 6, 12


def world(images=300, seed=0, groups=None):
    """Images that show what their labels' vectors say: features are a linear picture of vectors, with noise."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(LABELS, WIDTH))
    picture = np.random.default_rng(7).normal(size=(WIDTH, CHANNELS))
    truth = draw.random((images, LABELS)) < 0.08
    features = truth @ unit_vectors(vectors, np.arange(LABELS) < SEEN) @ picture + 0.2 * draw.normal(
        size=(images, CHANNELS)
    )
    records = [
        ImageRecord(f"{at}.jpg", tuple(f"label {label}" for label in np.flatnonzero(row)), "train",
                    None if groups is None else str(at % groups))
        for at, row in enumerate(truth)
    ]  # fmt: skip
    return features, truth, vectors, Dataset.of(records, "made.jsonl", ".")


def problem(seed=0, shuffled=False, groups=None):
    """A training problem, and features and truth of other images of the same world."""
    features, truth, vectors, dataset = world(seed=seed, groups=groups)
    rows = np.arange(200)
    fit, test = standardised(features[rows], features[200:])
    if shuffled:
        vectors = vectors[np.random.default_rng(1).permutation(LABELS)]
    units = unit_vectors(vectors, np.arange(LABELS) < SEEN)
    return Problem(fit, truth[rows][:, :SEEN], units[:SEEN], dataset.take(rows)), test, truth[200:], units


def test_vectors_are_centred_on_the_seen_labels_and_of_length_one():
    vectors = np.random.default_rng(0).normal(size=(5, 3)) + 4
    units = unit_vectors(vectors, np.array([True, True, True, False, False]))
    assert np.linalg.norm(units, axis=1) == pytest.approx(np.ones(5))
    moved = vectors - vectors[:3].mean(axis=0)
    assert units == pytest.approx(moved / np.linalg.norm(moved, axis=1, keepdims=True))
    assert (unit_vectors(np.ones((2, 3)), np.array([True, True])) == 0).all()


def standard_truth(given):
    truth = given.truth.astype(float)
    return (truth - truth.mean(axis=0)) / (truth.std(axis=0) + 1e-6)


def test_eszsl_solves_its_equation():
    given, test, _, units = problem()
    found = eszsl(given, image_ridge=3.0, label_ridge=0.7)(test, units)
    x, s = given.features, given.vectors
    # (XᵀX + γI) V (SᵀS + λI) = XᵀYS, as one system of equations for all of V.
    left, right = x.T @ x + 3.0 * np.eye(CHANNELS), s.T @ s + 0.7 * np.eye(WIDTH)
    bilinear = np.linalg.solve(np.kron(left, right), (x.T @ standard_truth(given) @ s).ravel()).reshape(CHANNELS, WIDTH)
    assert found == pytest.approx(test @ bilinear @ units.T)


def classifiers(given, test, ridge):
    return Ridge(alpha=ridge, fit_intercept=False).fit(given.features, standard_truth(given)).predict(test)


def test_the_mixture_weighs_both_alike():
    given, test, _, units = problem()
    found = mixture(given, image_ridge=5.0, sharpness=2.0, label_ridge=0.7)(test, units)
    expected = 0
    for scorer in (
        conse(given, image_ridge=5.0, sharpness=2.0, best=1000), eszsl(given, image_ridge=5.0, label_ridge=0.7)
    ):  # fmt: skip
        own, known = scorer(test, units), scorer(given.features, units)
        expected = expected + (own - known.mean(axis=0)) / known.std(axis=0)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    # One image at a time gives what all together give: nothing is standardised on the test images.
    assert mixture(given, image_ridge=5.0, sharpness=2.0, label_ridge=0.7)(test[:1], units) == pytest.approx(found[:1])


@pytest.mark.parametrize("best", [3, 1000])
def test_conse_combines_the_best_seen_labels(best):
    given, test, _, units = problem()
    found = conse(given, image_ridge=5.0, sharpness=2.0, best=best)(test, units)
    chosen = scipy.special.softmax(2.0 * classifiers(given, test, 5.0), axis=1)
    for row in range(0, len(test), 7):
        combined = sum(chosen[row, at] * given.vectors[at] for at in np.argsort(-chosen[row])[:best])
        expected = [combined @ unit / np.linalg.norm(combined) for unit in units]
        assert found[row] == pytest.approx(expected)


def test_a_word_scores_as_its_nearest_seen_label():
    given, test, _, units = problem()
    found = nearest_seen(given, image_ridge=5.0)(test, units)
    own = classifiers(given, test, 5.0)
    assert found[:, :SEEN] == pytest.approx(own)
    for at in range(SEEN, LABELS):
        assert found[:, at] == pytest.approx(own[:, np.argmax([units[at] @ unit for unit in given.vectors])])


def test_the_rank_loss_is_a_mean_over_pairs():
    import torch

    draw = np.random.default_rng(0)
    scores, truth = draw.normal(size=(5, 4)), draw.random((5, 4)) < 0.5
    truth[:, 0], truth[:, 1] = True, False
    expected = np.mean([
        np.mean([np.log1p(np.exp(row[n] - row[p])) for p in np.flatnonzero(true) for n in np.flatnonzero(~true)])
        for row, true in zip(scores, truth, strict=True)
    ])  # fmt: skip
    assert float(_rank_loss(torch.from_numpy(scores), torch.from_numpy(truth))) == pytest.approx(expected)


@pytest.mark.parametrize("name", METHODS)
def test_unseen_words_are_ranked_by_what_they_mean(name):
    gains = {}
    for shuffled in (False, True):
        found = []
        for seed in range(2):
            given, test, truth, units = problem(seed, shuffled)
            fitted = fit_method(name, Prepared(given, test, units))
            assert fitted.scores.shape == (100, LABELS) and fitted.scores.dtype == np.float32
            unseen = truth[:, SEEN:]
            ratio = average_precision(fitted.scores[:, SEEN:], unseen) / chance(unseen)
            found.append(np.nanmean(ratio))
        gains[shuffled] = np.mean(found)
    assert gains[True] < 1.5
    assert gains[False] < 1.5 if name == "chance" else gains[False] > (1.8 if name == "nearest" else 3.0)


def test_hyper_parameters_are_chosen_on_held_out_labels_and_groups():
    given, *_ = problem(groups=20)
    seen = []

    def fit(part, *, good):
        seen.append(part)
        # A scorer that knows the truth of labels it was not given, or nothing.
        return lambda features, vectors: (
            good * given.truth[np.ix_(at_rows(features), at_labels(vectors))]
            + 0.01 * np.random.default_rng(0).random((len(features), len(vectors)))
        )

    def at_rows(features):
        return [int(np.flatnonzero((given.features == row).all(axis=1))[0]) for row in features]

    def at_labels(vectors):
        return [int(np.flatnonzero((given.vectors == row).all(axis=1))[0]) for row in vectors]

    method = Method("made", fit, {"good": (0.0, 1.0, -1.0)})
    assert choose(method, given) == {"good": 1.0}
    assert len(seen) == 4 * 3
    for part in seen:
        assert len(part.vectors) == SEEN - SEEN // 5 and 100 < len(part.features) < 200
        kept = {given.dataset.groups[row] for row in at_rows(part.features)}
        assert kept == set(part.dataset.groups) and len(kept) < 20
    assert choose(method, given.part(np.arange(50), np.arange(1))) == {"good": 0.0}
