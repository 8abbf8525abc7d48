"""Counting the images above each positive, against counting them one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zsmld.evaluation import ranks
from zsmld.evaluation.ranks import images_above


def one_by_one(scores, positives):
    return [sum(score >= positive for score in scores.tolist()) for positive in positives.tolist()]


def drawn(kind, count, seed=0):
    draw = np.random.default_rng(seed)
    normal = draw.standard_normal(count)
    made = {
        "normal": normal,
        "rounded": np.round(normal, 1),
        "two values": normal > 1,
        "one value": 0 * normal,
        "saturated": 1 / (1 + np.exp(-20 * normal)),
        "few large": np.where(draw.random(count) < 0.001, 1e6 * normal, normal),
        "infinite": np.where(normal > 2, np.inf, np.where(normal < -2, -np.inf, normal)),
        "far apart": normal * 5e37,
        "too far apart": np.sign(normal) * 3.3e38,
        "denormal": normal * 1e-44,
        "signed zeros": np.where(normal > 0, 0.0, -0.0),
        "zeros and ones": np.where(normal > 1, normal, np.where(normal > 0, 0.0, -0.0)),
    }
    return made[kind].astype(np.float32)


KINDS = [
    "normal", "rounded", "two values", "one value", "saturated", "few large", "infinite", "far apart", "too far apart",
    "denormal", "signed zeros", "zeros and ones",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.003, 0.05, 0.5])
def test_every_kind_of_scores(kind, share):
    scores = drawn(kind, 3000)
    positives = np.sort(scores[np.random.default_rng(1).random(3000) < share])
    assert images_above(scores, positives).tolist() == one_by_one(scores, positives)


@given(
    arrays.arrays(
        np.float32,
        st.integers(1, 60),
        elements=st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, 1.5])),
    ),
    st.data(),
)
def test_any_scores(scores, data):
    chosen = data.draw(st.lists(st.integers(0, len(scores) - 1), min_size=1, max_size=max(len(scores) // 10, 1)))
    positives = np.sort(scores[chosen])
    assert images_above(scores, positives).tolist() == one_by_one(scores, positives)


@pytest.mark.parametrize(
    ("kind", "share", "most"),
    [("normal", 0.01, 0.15), ("rounded", 0.05, 0.0), ("normal", 0.5, 1.0), ("one value", 0.01, 1.0)],
)
def test_how_many_images_are_sorted(kind, share, most, monkeypatch):
    scores = drawn(kind, 20_000)
    positives = np.sort(scores[: int(share * len(scores))])
    sizes = []
    sort = np.sort
    monkeypatch.setattr(ranks.np, "sort", lambda x: sizes.append(len(x)) or sort(x))
    images_above(scores, positives)
    (size,) = sizes
    assert size <= most * len(scores)
    assert size > 0 or most == 0
    assert size == len(scores) or most < 1
