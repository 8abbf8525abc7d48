"""Each method against its definition, and on words that have something to say, and on shuffled ones."""

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.decoder.linear import LinearPath
from zsmld.evaluation import average_precision, chance
from zsmld.linear.choice import Choice, choose, rounds
from zsmld.linear.fast0tag import rank_loss
from zsmld.linear.fitting import fit_logistic, fit_method, fit_path
from zsmld.linear.methods import METHODS, PATH, Method, conse, eszsl, mixture, nearest_seen, two_directions
from zsmld.linear.problem import Problem, pool

SEEN, LABELS, WIDTH, CHANNELS = 24, 32, 6, 12
EVERY = {**METHODS, "path": PATH}


def world(images=300, seed=0, groups=None, splits=("train",)):
    """Images that show what their labels' vectors say: tokens are a linear picture of vectors, with noise."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(LABELS, WIDTH)) + 0.5
    picture = np.random.default_rng(7).normal(size=(WIDTH, CHANNELS))
    truth = draw.random((images, LABELS)) < 0.08
    pooled = truth @ standard_units(vectors) @ picture + 0.2 * draw.normal(size=(images, CHANNELS))
    pooled = 3 * pooled + np.arange(CHANNELS)
    records = [
        ImageRecord(f"{at}.jpg", tuple(f"label {label}" for label in np.flatnonzero(row)), splits[at % len(splits)],
                    None if groups is None else str(at % groups))
        for at, row in enumerate(truth)
    ]  # fmt: skip
    return pooled.astype(np.float32), truth, vectors.astype(np.float32), Dataset.of(records, "made.jsonl", ".")


def standard_units(vectors):
    centred = vectors - vectors[:SEEN].mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def problem(seed=0, shuffled=False, groups=None, known=None, splits=("train",)):
    """A training problem, and tokens, truth and vectors of other images of the same world."""
    pooled, truth, vectors, dataset = world(seed=seed, groups=groups, splits=splits)
    rows = np.arange(200)
    if shuffled:
        vectors = vectors[np.random.default_rng(1).permutation(LABELS)]
    given = Problem(pooled[rows], truth[rows][:, :SEEN], known, vectors[:SEEN], dataset.take(rows))
    return given, torch.from_numpy(pooled[200:]).double(), truth[200:], torch.from_numpy(vectors).double()


def by_hand(given, test, vectors):
    """Features of both, standardised truth and unit vectors, in numpy."""
    mean, deviation = given.pooled.mean(axis=0), given.pooled.std(axis=0)
    truth = given.truth.astype(float)
    standard = (truth - truth.mean(axis=0)) / (truth.std(axis=0) + 1e-6)
    own, other = ((np.asarray(x, dtype=float) - mean) / deviation for x in (given.pooled, test))
    return own, other, standard, standard_units(np.asarray(vectors))


def test_what_methods_see():
    given, test, _, vectors = problem()
    own, _, _, units = by_hand(given, test, vectors)
    assert given.features().numpy() == pytest.approx(own, abs=1e-4)
    assert np.concatenate([block.numpy() for _, block in given.blocks()]) == pytest.approx(own, abs=1e-4)
    assert given.units.numpy() == pytest.approx(units[:SEEN], abs=1e-5)
    path = eszsl(given, image_ridge=3.0, label_ridge=0.7)
    assert path.units(vectors).numpy() == pytest.approx(units, abs=1e-5)
    assert (path.units(path.centre[None]) == 0).all()
    tokens = torch.randn(150, 4, 3)
    assert pool(lambda rows: tokens[rows], 150) == pytest.approx(tokens.mean(dim=1).numpy())


def test_eszsl_solves_its_equation():
    given, test, _, vectors = problem()
    x, other, y, units = by_hand(given, test, vectors)
    s = units[:SEEN]
    # (XᵀX + γI) V (SᵀS + λI) = XᵀYS, as one system of equations for all of V.
    left, right = x.T @ x + 3.0 * np.eye(CHANNELS), s.T @ s + 0.7 * np.eye(WIDTH)
    bilinear = np.linalg.solve(np.kron(left, right), (x.T @ y @ s).ravel()).reshape(CHANNELS, WIDTH)
    found = eszsl(given, image_ridge=3.0, label_ridge=0.7)(test, vectors)
    assert found.numpy() == pytest.approx(other @ bilinear @ units.T, abs=1e-4)


def test_unknown_labels_count_as_the_mean():
    known = np.random.default_rng(3).random((200, SEEN)) < 0.7
    given, test, _, vectors = problem(known=known)
    x, other, *_ = by_hand(given, test, vectors)
    y = np.zeros(known.shape)
    for label in range(SEEN):
        rows = known[:, label]
        own = given.truth[rows, label]
        y[rows, label] = (own - own.mean()) / (own.std() + 1e-6)
    expected = other @ Ridge(alpha=5.0, fit_intercept=False).fit(x, y).coef_.T
    path = nearest_seen(given, image_ridge=5.0)
    assert path(test, vectors[:SEEN]).numpy() == pytest.approx(expected, abs=1e-4)
    # What is not known may as well be false.
    other_truth = Problem(given.pooled, given.truth & known, known, given.vectors, given.dataset)
    for method in ("eszsl", "conse", "fast0tag"):
        settings = METHODS[method].settings()[0]
        one, two = (METHODS[method].fit(each, **settings)(test, vectors) for each in (given, other_truth))
        assert torch.equal(one, two)


@pytest.mark.parametrize("best", [3, 1000])
def test_conse_combines_the_best_seen_labels(best):
    given, test, _, vectors = problem()
    x, other, y, units = by_hand(given, test, vectors)
    found = conse(given, image_ridge=5.0, sharpness=2.0, best=best)(test, vectors)
    scores = Ridge(alpha=5.0, fit_intercept=False).fit(x, y).predict(other)
    chosen = scipy.special.softmax(2.0 * scores, axis=1)
    for row in range(0, len(test), 7):
        combined = sum(chosen[row, at] * units[at] for at in np.argsort(-chosen[row])[:best])
        expected = [combined @ unit / np.linalg.norm(combined) for unit in units]
        assert found[row].numpy() == pytest.approx(expected, abs=1e-4)


def test_the_mixture_weighs_both_alike():
    given, test, _, vectors = problem()
    found = mixture(given, image_ridge=5.0, sharpness=2.0, label_ridge=0.7)(test, vectors)
    expected, own = 0, torch.from_numpy(given.pooled).double()
    for scorer in (
        conse(given, image_ridge=5.0, sharpness=2.0, best=1000), eszsl(given, image_ridge=5.0, label_ridge=0.7)
    ):  # fmt: skip
        known = scorer(own, vectors).numpy()
        expected = expected + (scorer(test, vectors).numpy() - known.mean(axis=0)) / known.std(axis=0)
    assert found.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_a_word_scores_as_its_nearest_seen_label():
    given, test, _, vectors = problem()
    x, other, y, units = by_hand(given, test, vectors)
    found = nearest_seen(given, image_ridge=5.0)(test, vectors).numpy()
    own = Ridge(alpha=5.0, fit_intercept=False).fit(x, y).predict(other)
    assert found[:, :SEEN] == pytest.approx(own, abs=1e-4)
    for at in range(SEEN, LABELS):
        nearest = np.argmax([units[at] @ unit for unit in units[:SEEN]])
        assert found[:, at] == pytest.approx(own[:, nearest], abs=1e-4)


def test_the_rank_loss_is_a_mean_over_pairs():
    draw = np.random.default_rng(0)
    scores, truth = draw.normal(size=(5, 4)), draw.random((5, 4)) < 0.5
    truth[:, 0], truth[:, 1] = True, False
    lacking = ~truth
    lacking[:, 2] = False
    expected = np.mean([
        np.mean([np.log1p(np.exp(row[n] - row[p])) for p in np.flatnonzero(true) for n in np.flatnonzero(false)])
        for row, true, false in zip(scores, truth, lacking, strict=True)
    ])  # fmt: skip
    assert float(rank_loss(*map(torch.from_numpy, (scores, truth, lacking)))) == pytest.approx(expected)


def two_directions_by_hand(given, test, vectors, ridge, sharpness, label_ridge):
    """Everything from the images themselves: no moments, one label at a time."""
    x, other, y, units = by_hand(given, test, vectors)
    seen = units[:SEEN]

    def classifiers(alpha):
        own = Ridge(alpha=alpha, fit_intercept=False).fit(x, y).coef_.T
        return own / (x @ own).std(axis=0)

    bilinear = np.linalg.solve(x.T @ x + ridge * np.eye(CHANNELS), x.T @ y @ seen)
    bilinear = bilinear @ np.linalg.inv(seen.T @ seen + label_ridge * np.eye(WIDTH))
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)  # noqa: E731

    def direction(features):
        mixed = scipy.special.softmax(sharpness * features @ classifiers(ridge), axis=1) @ seen
        return unit(unit(mixed) + unit(features @ bilinear))

    own = classifiers(ridge / 10)
    columns = []
    for word in units:
        kin = np.exp(20 * (seen @ word - 1))
        kin = kin / max(kin.sum(), 1)
        train, held = direction(x) @ word, direction(other) @ word
        total = train / train.std() + x @ own @ kin
        columns.append((held / train.std() + other @ own @ kin - total.mean()) / total.std())
    return np.stack(columns, axis=1)


def test_the_two_directions_against_loops():
    given, test, _, vectors = problem()
    path = two_directions(given, image_ridge=40.0, sharpness=0.7, label_ridge=2.0)
    expected = two_directions_by_hand(given, test, vectors, 40.0, 0.7, 2.0)
    assert path(test, vectors).numpy() == pytest.approx(expected, abs=1e-3)
    # The draft that hyper-parameters are chosen with ranks the images of unseen labels as the path does.
    draft = PATH.draft(given, image_ridge=40.0, sharpness=0.7, label_ridge=2.0)(test, vectors[SEEN:]).numpy()
    for own, full in zip(draft.T, expected[:, SEEN:].T, strict=True):
        assert np.corrcoef(own, full)[0, 1] > 0.98


@pytest.mark.parametrize("name", EVERY)
def test_unseen_words_are_ranked_by_what_they_mean(name):
    gains = {}
    for shuffled in (False, True):
        found = []
        for seed in range(2):
            given, test, truth, vectors = problem(seed, shuffled)
            if name == "path":
                scorer, _ = fit_path(given)
                scores = scorer(test.float(), vectors.float()).numpy()
            else:
                scores = fit_method(name, given).scorer(test, vectors).numpy()
            assert scores.shape == (100, LABELS)
            unseen = truth[:, SEEN:]
            ratio = average_precision(scores[:, SEEN:], unseen) / chance(unseen)
            found.append(np.nanmean(ratio))
        gains[shuffled] = np.mean(found)
    assert gains[True] < 1.5
    assert gains[False] < 1.5 if name == "chance" else gains[False] > (1.8 if name == "nearest" else 3.0)


def made_method(given, seen):
    """A scorer that knows the truth of labels it was not given, the more the better its setting."""

    def fit(part, *, good):
        seen.append(part)

        def score(pooled, vectors):
            truth = given.truth[np.ix_(rows_of(given, pooled.numpy()), labels_of(given, vectors.numpy()))]
            noise = np.random.default_rng(0).random(truth.shape)
            return torch.from_numpy(good * truth + 0.01 * noise)

        return score

    return Method("made", fit, {"good": (0.0, 1.0, -1.0)})


def rows_of(given, pooled):
    return [int(np.flatnonzero((given.pooled == row).all(axis=1))[0]) for row in pooled.astype(np.float32)]


def labels_of(given, vectors):
    return [int(np.flatnonzero((given.vectors == row).all(axis=1))[0]) for row in vectors.astype(np.float32)]


def test_hyper_parameters_are_chosen_on_held_out_labels_and_groups():
    given, *_ = problem(groups=20)
    seen = []
    method = made_method(given, seen)
    found = choose(method, given)
    assert found.settings == {"good": 1.0} and found.figures == (1.0,) * 8 and found.figure == 1.0
    assert len(seen) == 8 * 3
    for part in seen:
        assert len(part.vectors) == SEEN - SEEN // 5 and 100 < len(part.pooled) < 200
        kept = {given.dataset.groups[row] for row in rows_of(given, part.pooled)}
        assert kept == set(part.dataset.groups) and len(kept) < 20
    assert choose(method, given.part(np.arange(50), np.arange(1))) == Choice({"good": 1.0})
    of_one = rounds(given.dataset, SEEN, 3)[2:]
    assert len(choose(method, given, of_one).figures) == 1


def test_a_choice_beats_another_where_all_rounds_say_so():
    good, bad = Choice({}, (0.3, 0.4, 0.5, 0.6)), Choice({}, (0.28, 0.39, 0.47, 0.58))
    assert good.beats(bad) and not bad.beats(good) and not good.beats(good)
    assert not Choice({}, (0.3, 0.4, 0.5, 0.6)).beats(Choice({}, (0.1, 0.6, 0.3, 0.7)))
    assert not Choice({}, (0.9,)).beats(Choice({}, (0.1,))) and not good.beats(Choice({}))


def test_rounds_hold_out_other_labels_and_no_group_is_on_both_sides():
    given, *_ = problem(groups=20)
    for each in rounds(given.dataset, SEEN, 4):
        assert sorted([*each.shown, *each.hidden]) == list(range(SEEN)) and len(each.hidden) == SEEN // 5
        assert sorted([*each.rows, *each.held_out]) == list(range(200))
        one, other = ({given.dataset.groups[row] for row in rows} for rows in (each.rows, each.held_out))
        assert not one & other
    assert len({tuple(each.hidden) for each in rounds(given.dataset, SEEN, 4)}) == 4


def test_declared_validation_images_choose_and_are_not_fitted_on():
    given, *_ = problem(splits=("train", "train", "val"))
    declared = given.dataset.is_of("val")
    for each in rounds(given.dataset, SEEN, 2):
        assert (each.held_out == np.flatnonzero(declared)).all()
    without = given.part(np.flatnonzero(~declared), np.arange(SEEN))
    settings = Choice({"image_ridge": 40.0, "sharpness": 0.5, "label_ridge": 3.0})
    one, two = (fit_path(each, PATH, settings)[0].state_dict() for each in (given, without))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_scale_and_offsets_by_logistic_regression():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(400, 3))
    truth = draw.random((400, 3)) < scipy.special.expit(2.5 * scores - np.array([1.0, 0.0, -1.0]))
    known = draw.random((400, 3)) < 0.8
    scale, offset, own = fit_logistic(torch.from_numpy(scores), torch.from_numpy(truth), torch.from_numpy(known))
    reference = LogisticRegression(C=1e6).fit(scores[known][:, None], truth[known])
    assert float(scale) == pytest.approx(reference.coef_[0, 0], rel=1e-2) and len(own) == 0
    assert float(offset) == pytest.approx(reference.intercept_[0], abs=1e-2)
    # With an offset a label, held together only a little.
    everything = torch.ones(400, 3, dtype=torch.bool)
    scale, offset, own = fit_logistic(
        torch.from_numpy(scores), torch.from_numpy(truth), everything, torch.eye(3, dtype=torch.float64)
    )
    one_hot = np.concatenate([np.eye(3)[np.arange(3).repeat(400)]], axis=1)
    design = np.concatenate([scores.T.reshape(-1, 1), one_hot], axis=1)
    reference = LogisticRegression(C=1e6, fit_intercept=False).fit(design, truth.T.ravel())
    assert own.numpy() == pytest.approx(reference.coef_[0, 1:], abs=0.05)
    assert float(scale) == pytest.approx(reference.coef_[0, 0], rel=0.02)


def test_the_probabilities_of_a_path_are_those_of_images_that_it_was_not_fitted_on():
    """In sample, a path with a small ridge is far too sure; out-of-fold scores know better."""
    given, test, truth, vectors = problem()
    choice = Choice({"image_ridge": 1e-3, "sharpness": 0.5, "label_ridge": 1.0})
    path, _ = fit_path(given, PATH, choice)
    assert isinstance(path, LinearPath) and path.scale.dtype == torch.float32 and not path.training
    probabilities = torch.sigmoid(path(test.float(), vectors[:SEEN].float())).numpy()
    assert probabilities.mean() == pytest.approx(truth[:, :SEEN].mean(), abs=0.02)
    sure = probabilities > 0.5
    assert truth[:, :SEEN][sure].mean() == pytest.approx(probabilities[sure].mean(), abs=0.12)


def test_a_label_that_all_images_have_or_none_breaks_nothing():
    given, test, _, vectors = problem()
    truth = given.truth.copy()
    truth[:, 0], truth[:, 1] = True, False
    odd = Problem(given.pooled, truth, None, given.vectors, given.dataset)
    for name, method in EVERY.items():
        scores = method.fit(odd, **method.settings()[0])(test, vectors)
        assert torch.isfinite(scores).all(), name
    assert torch.isfinite(fit_path(odd, PATH, Choice(PATH.settings()[0]))[0](test.float(), vectors.float())).all()
