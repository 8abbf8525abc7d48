"""Bootstrap over images against resamples made one by one."""

import numpy as np
import pytest

from zsmld.evaluation import bootstrap
from zsmld.evaluation.bootstrap import draw, interval, resample
from zsmld.evaluation.metrics import average_precision, in_order

IMAGES, LABELS, RESAMPLES = 90, 4, 30


def scored(seed=0, steps=6):
    """Few distinct scores: there are ties among positives, and between them and others."""
    draw_ = np.random.default_rng(seed)
    truth = draw_.random((IMAGES, LABELS)) < 0.15
    truth[:, 3] = False
    truth[5, 3] = True
    scores = np.round(draw_.normal(size=(IMAGES, LABELS)) * steps + truth * 3) / steps
    return scores.astype(np.float32), truth


def slowly(scores, truth, times):
    """Average precision where image i is there times[i] times, each of them ranked beside one copy of itself."""
    there = times > 0
    total = 0.0
    for image in np.flatnonzero(there & truth):
        counted = np.where(np.arange(len(times)) == image, 1, times)
        above = counted * (scores >= scores[image])
        total += times[image] * above[truth].sum() / above.sum()
    return total / times[truth].sum() if times[truth].any() else np.nan


@pytest.mark.parametrize("ties", ["grouped", "earlier first", "later first"])
@pytest.mark.parametrize("partial", [False, True])
def test_every_resample_is_what_it_would_be_alone(ties, partial, monkeypatch):
    # Small bounds, so that blocks, passes and pieces are many.
    for name, bound in {"_BLOCK": 8, "_MOST_WEIGHTS": 16 * IMAGES, "_MOST_SUMMED": 7, "_POSITIVES": 3}.items():
        monkeypatch.setattr(bootstrap, name, bound)
    scores, truth = scored()
    known = (np.random.default_rng(1).random(truth.shape) < 0.6) | truth if partial else None
    numbers = np.random.default_rng(2).random((IMAGES, 3))
    found = resample(scores, truth, known, per_image=numbers, ties=ties, resamples=RESAMPLES, seed=5)
    times = np.concatenate([draw(IMAGES, RESAMPLES, 5, first) for first in range(0, RESAMPLES, 8)], axis=1)
    assert times.shape == (IMAGES, RESAMPLES) and (times.sum(axis=0) == IMAGES).all()
    assert len({tuple(column) for column in times.T}) == RESAMPLES  # no two are the same
    for at in range(RESAMPLES):
        assert found.totals[at] == pytest.approx(times[:, at] @ numbers)
        for label in range(LABELS):
            sure = np.arange(IMAGES) if known is None else np.flatnonzero(known[:, label])
            own = in_order(scores[sure, label][None], ties)[0]
            expected = slowly(own, truth[sure, label], times[sure, at].astype(int))
            assert found.precisions[at, label] == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert np.isnan(found.precisions[:, 3]).any()  # its only positive is not always drawn


def test_a_resample_of_each_image_once_is_the_sample(monkeypatch):
    scores, truth = scored()
    monkeypatch.setattr(bootstrap, "draw", lambda images, *_: np.ones((images, 2), dtype=np.uint16))
    found = resample(scores, truth, per_image=np.ones((IMAGES, 1)), resamples=2)
    assert found.precisions == pytest.approx(np.tile(average_precision(scores, truth), (2, 1)), abs=1e-6)


def test_the_middle_of_resamples_is_the_sample():
    """A plain bootstrap would lie above it: copies of a positive would rank beside each other."""
    draw_ = np.random.default_rng(0)
    truth = draw_.random((400, 20)) < 0.03
    scores = (draw_.normal(size=truth.shape) + truth).astype(np.float32)
    precisions = average_precision(scores, truth)
    drawn = resample(scores, truth, per_image=np.ones((400, 1)), resamples=400).precisions
    means = np.nanmean(drawn, axis=1)
    assert abs(means.mean() - np.nanmean(precisions)) < 0.25 * means.std()


def test_models_share_their_resamples_and_seeds_part_them():
    scores, truth = scored()
    numbers = np.ones((IMAGES, 1))
    one = resample(scores, truth, per_image=numbers, resamples=20).precisions
    assert resample(scores, truth, per_image=numbers, resamples=20).precisions == pytest.approx(one, nan_ok=True)
    better = resample(scores + 2 * truth, truth, per_image=numbers, resamples=20).precisions
    there = ~np.isnan(one)
    assert (np.isnan(better) == ~there).all() and (better[there] >= one[there]).all()
    other = resample(scores, truth, per_image=numbers, resamples=20, seed=1).precisions
    assert not np.array_equal(one, other, equal_nan=True)


def test_an_interval_holds_ninety_five_in_a_hundred():
    values = np.arange(1000.0)
    assert interval(values) == pytest.approx((24.975, 974.025))
    assert interval(np.append(values, np.nan)) == pytest.approx((24.975, 974.025))
    assert interval(np.array([np.nan])) is None
