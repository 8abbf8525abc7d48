"""Figures of sets of labels against counting by hand, under the default protocol."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from zsmld.evaluation.figures import ScoreTable, evaluate_sets
from zsmld.evaluation.protocols import Protocol

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(40, 6)).astype(np.float32)
TRUTH = RNG.random((40, 6)) < 0.2
TRUTH[:, 5] = False
TRUTH[0, 4], TRUTH[1:, 4] = True, False
SEEN = np.array([True, True, True, False, False, False])
TABLE = ScoreTable(tuple("abcdef"), SEEN, SCORES, TRUTH)


STRICT = Protocol()


def figures(columns=None, protocol=STRICT, table=TABLE, **more):
    columns = np.arange(6) if columns is None else np.array(columns)
    return evaluate_sets(table, protocol, {"one": columns}, **more)["one"]


def precision(label):
    return average_precision_score(TRUTH[:, label], SCORES[:, label])


def test_labels_without_enough_positives_are_left_out_and_counted():
    values = figures().figures
    assert values["map"] == pytest.approx(np.mean([precision(label) for label in range(5)]))
    assert (values["labels"], values["labels_left_out"], values["images"]) == (5, 1, 40)
    stricter = figures(protocol=Protocol(min_positives=2)).figures
    assert stricter["map"] == pytest.approx(np.mean([precision(label) for label in range(4)]))
    assert stricter["labels_left_out"] == 2
    nothing = figures([5]).figures
    assert nothing["map"] is None and nothing["weighted_map"] is None and nothing["chance_map"] is None


def test_seen_and_unseen_labels_together_have_figures_of_both_parts():
    values = figures().figures
    seen, unseen = np.mean([precision(i) for i in (0, 1, 2)]), np.mean([precision(i) for i in (3, 4)])
    assert (values["seen_map"], values["unseen_map"]) == pytest.approx((seen, unseen))
    assert values["harmonic_map"] == pytest.approx(2 * seen * unseen / (seen + unseen))
    assert values["map"] == pytest.approx((3 * seen + 2 * unseen) / 5)
    counts = TRUTH.sum(axis=0)[:5]
    assert values["weighted_map"] == pytest.approx(np.average([precision(i) for i in range(5)], weights=counts))
    assert "seen_map" not in figures([0, 1, 2]).figures


@pytest.mark.parametrize("columns", [[0, 1, 2, 3, 4, 5], [3, 4, 5], [0, 2, 5]])
def test_precision_recall_and_f1_by_hand(columns):
    values = figures(columns).figures
    for k in (3, 5):
        most = min(k, len(columns))
        hits = sum(TRUTH[i, columns[at]] for i in range(40) for at in np.argsort(-SCORES[i, columns])[:k])
        assert values[f"precision@{k}"] == pytest.approx(hits / (40 * most))
        assert values[f"recall@{k}"] == pytest.approx(hits / TRUTH[:, columns].sum())
        assert values[f"f1@{k}"] == pytest.approx(2 * hits / (40 * most + TRUTH[:, columns].sum()))
        best = np.minimum(TRUTH[:, columns].sum(axis=1), most).sum()
        assert values[f"f1_ceiling@{k}"] == pytest.approx(2 * best / (40 * most + TRUTH[:, columns].sum()))


def test_each_set_is_what_it_is_alone():
    sets = {"zsl": np.array([3, 4, 5]), "gzsl": np.arange(6), "odd": np.array([0, 4])}
    for protocol in (Protocol(), Protocol(images="with a positive"), Protocol(normalisation="unit length")):
        together = evaluate_sets(TABLE, protocol, sets, resamples=20)
        for name, columns in sets.items():
            alone = evaluate_sets(TABLE, protocol, {name: columns}, resamples=20)[name]
            assert together[name].figures == alone.figures and together[name].intervals == alone.intervals


def test_intervals_hold_the_figure_and_shrink_with_images():
    few = figures(resamples=200)
    many = figures(
        table=ScoreTable(TABLE.labels, SEEN, np.tile(SCORES, (20, 1)), np.tile(TRUTH, (20, 1))), resamples=200
    )
    assert figures().intervals == {}
    for key in ("map", "seen_map", "unseen_map", "harmonic_map", "f1@3", "precision@5", "recall@3"):
        low, high = few.intervals[key]
        assert low < few.figures[key] < high
        narrow = many.intervals[key]
        assert 0.1 < (narrow[1] - narrow[0]) / (high - low) < 0.45  # the root of 20 is 4.5
    assert set(few.resampled) == set(few.intervals) and few.resampled["map"].shape == (200,)
