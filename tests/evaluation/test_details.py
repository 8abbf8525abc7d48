"""Twins, the control of exchanged words, and confusions."""

import itertools

import numpy as np
import pytest

from zsmld.evaluation.details import Confusion, confusions, exchanged_words, twins, without
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.metrics import average_precision, chance
from zsmld.evaluation.protocols import Protocol

LABELS = ("dogs", "sea", "run", "dog", "boat", "running")
SEEN = np.arange(6) < 3


def table(seed=0, images=80, informed=3.0, known=None):
    draw = np.random.default_rng(seed)
    truth = draw.random((images, 6)) < 0.25
    scores = (draw.normal(size=truth.shape) + informed * truth).astype(np.float32)
    return ScoreTable(LABELS, SEEN, scores, truth, known)


def test_twins_are_found_and_taken_out():
    found = twins(table())
    assert found == {"dog": "dogs", "running": "run"}
    assert without(table(), found).tolist() == [4]
    assert without(table(), {}).tolist() == [3, 4, 5]


def test_exchanged_words_are_near_chance_where_words_mattered():
    scored = table(images=3000)
    honest = average_precision(scored.scores[:, 3:], scored.truth[:, 3:]).mean()
    random = chance(scored.truth[:, 3:]).mean()
    exchanged = exchanged_words(scored, Protocol())
    assert honest > 0.9 and exchanged == pytest.approx(random, abs=0.03)


def test_exchanged_words_are_a_mean_over_derangements():
    scored = table(images=30)
    derangements = [each for each in itertools.permutations(range(3)) if all(a != b for a, b in enumerate(each))]
    possible = [average_precision(scored.scores[:, 3:][:, list(each)], scored.truth[:, 3:]).mean()
                for each in derangements]  # fmt: skip
    found = exchanged_words(scored, Protocol())
    assert min(possible) < found < max(possible)  # a mean of several draws
    # Scores that are the same for every label are not moved by an exchange.
    same = ScoreTable(LABELS, SEEN, np.tile(scored.scores[:, :1], 6), scored.truth)
    assert exchanged_words(same, Protocol()) == pytest.approx(
        average_precision(same.scores[:, 3:], same.truth[:, 3:]).mean()
    )


def test_one_unseen_label_with_a_positive_has_nobody_to_exchange_with():
    scored = table()
    scored.truth[:, 4:] = False
    assert exchanged_words(scored, Protocol()) is None


@pytest.mark.parametrize("partial", [False, True])
def test_confusions_are_counted(partial):
    known = None
    scored = table(informed=0.5)
    if partial:
        known = (np.random.default_rng(3).random((80, 6)) < 0.6) | scored.truth
        scored = table(informed=0.5, known=known)
    expected = {}
    for row in range(80):
        chosen = set(np.argsort(-scored.scores[row])[:2])
        for true, taken in itertools.product(range(6), range(6)):
            missed = scored.truth[row, true] and true not in chosen
            wrong = taken in chosen and not scored.truth[row, taken] and (known is None or known[row, taken])
            if missed and wrong:
                expected[LABELS[true], LABELS[taken]] = expected.get((LABELS[true], LABELS[taken]), 0) + 1
    found = confusions(scored, 2, most=100)
    assert {(each.true, each.taken_for): each.images for each in found} == expected
    counts = [each.images for each in found]
    assert counts == sorted(counts, reverse=True) and confusions(scored, 2, most=3) == found[:3]
    assert isinstance(found[0], Confusion)
