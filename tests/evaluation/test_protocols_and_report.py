"""Figures of a set of labels against counting by hand; the report as JSON and as a table."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from zsmld.evaluation.protocols import Protocol, figures, generalised
from zsmld.evaluation.report import LabelResult, Report

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(40, 6)).astype(np.float32)
TRUTH = RNG.random((40, 6)) < 0.2
TRUTH[:, 5] = False
TRUTH[0, 4], TRUTH[1:, 4] = True, False
SEEN = np.array([True, True, True, False, False, False])


def precision(label):
    return average_precision_score(TRUTH[:, label], SCORES[:, label])


def test_labels_without_enough_positives_are_left_out_and_counted():
    values = figures(SCORES, TRUTH, Protocol())
    assert values["map"] == pytest.approx(np.mean([precision(label) for label in range(5)]))
    assert (values["labels"], values["labels_left_out"], values["images"]) == (5, 1, 40)
    stricter = figures(SCORES, TRUTH, Protocol(min_positives=2))
    assert stricter["map"] == pytest.approx(np.mean([precision(label) for label in range(4)]))
    assert stricter["labels_left_out"] == 2
    assert figures(SCORES[:, 5:], TRUTH[:, 5:], Protocol())["map"] is None


def test_generalised_figures_split_the_mean_into_seen_and_unseen():
    values = generalised(SCORES, TRUTH, SEEN, Protocol())
    seen, unseen = np.mean([precision(i) for i in (0, 1, 2)]), np.mean([precision(i) for i in (3, 4)])
    assert (values["seen_map"], values["unseen_map"]) == pytest.approx((seen, unseen))
    assert values["harmonic_map"] == pytest.approx(2 * seen * unseen / (seen + unseen))
    assert values["map"] == pytest.approx((3 * seen + 2 * unseen) / 5)


def test_precision_recall_and_f1_by_hand():
    values = figures(SCORES, TRUTH, Protocol())
    for k in (3, 5):
        hits = sum(TRUTH[i, label] for i in range(40) for label in np.argsort(-SCORES[i])[:k])
        assert values[f"precision@{k}"] == pytest.approx(hits / (40 * k))
        assert values[f"recall@{k}"] == pytest.approx(hits / TRUTH.sum())
        assert values[f"f1@{k}"] == pytest.approx(2 * hits / (40 * k + TRUTH.sum()))


def report(gzsl):
    protocol = Protocol()
    labels = (LabelResult("[red]", True, 3, 0.5), LabelResult("x", False, 0, None))
    return Report(
        protocol=protocol,
        sets={
            "zsl": figures(SCORES[:, ~SEEN], TRUTH[:, ~SEEN], protocol),
            **({"gzsl": generalised(SCORES, TRUTH, SEEN, protocol)} if gzsl else {}),
            "seen": figures(SCORES[:, SEEN], TRUTH[:, SEEN], protocol),
        },
        labels=labels,
        about={"model": "runs/1"},
    )


def test_the_report_as_json_has_the_promised_keys():
    values = json.loads(json.dumps(report(gzsl=True).to_json(), allow_nan=False))
    headline = {"map", "labels", "images", "f1@3", "precision@3", "recall@3", "f1@5", "precision@5", "recall@5"}
    assert headline <= values["zsl"].keys() and headline <= values["seen"].keys()
    assert headline | {"seen_map", "unseen_map", "harmonic_map"} <= values["gzsl"].keys()
    assert values["protocol"]["name"] == "strict" and values["protocol"]["ks"] == [3, 5]
    assert "gzsl" not in report(gzsl=False).to_json()
    assert report(gzsl=True).full_json()["labels"][1]["average_precision"] is None


def test_the_table_shows_every_set_in_percent(capsys):
    from rich.console import Console

    Console(width=120, markup=False).print(report(gzsl=True).table())
    shown = capsys.readouterr().out
    assert "ZSL (unseen)" in shown and "GZSL (seen + unseen)" in shown and "harmonic mean" in shown
    assert f"{100 * report(gzsl=True).sets['zsl']['map']:.1f}" in shown
