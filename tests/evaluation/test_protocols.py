"""Every named protocol against a slow, independent computation of its published rules; every rule moves a figure."""

from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from zsmld.config import value_type
from zsmld.errors import UsageError
from zsmld.evaluation.figures import ScoreTable, evaluate_sets
from zsmld.evaluation.protocols import PROTOCOLS, Protocol, protocol_named
from zsmld.settings import EvalSettings

SEEN = np.arange(12) < 8


def table(seed=0, images=60, unknown=False):
    """Few distinct scores, so that there are ties; an empty label of each part; images without a true label."""
    draw = np.random.default_rng(seed)
    scores = draw.integers(-4, 5, size=(images, 12)).astype(np.float32) / 4
    truth = draw.random((images, 12)) < 0.15
    truth[:, [7, 11]] = False
    truth[::5] = False
    known = None
    if unknown:
        known = (draw.random((images, 12)) < 0.5) | truth
        known[:, 6] = False
        truth[:, 6] = False
    return ScoreTable(tuple("abcdefghijkl"), SEEN, scores, truth, known)


def ranked(scores, later_first):
    """Positions from the best score to the worst, ties by position."""
    return sorted(range(len(scores)), key=lambda at: (-scores[at], -at if later_first else at))


def slow_precision(scores, truth, later_first):
    hits, precisions = 0, []
    for rank, at in enumerate(ranked(scores, later_first), start=1):
        if truth[at]:
            hits += 1
            precisions.append(hits / rank)
    return np.mean(precisions) if precisions else 0.0


def slow_f1(scores, truth, k, later_first):
    hits = sum(truth[row, at] for row in range(len(scores)) for at in ranked(scores[row], later_first)[:k])
    precision, recall = hits / (min(k, scores.shape[1]) * len(scores)), hits / truth.sum()
    return 2 * precision * recall / (precision + recall)


def lesa(scores, truth, known):
    """Average precision is scikit-learn's, empty classes are 0; the last k of an ascending sort are the top k."""
    del known
    precisions = [average_precision_score(t, s) if t.any() else 0.0 for s, t in zip(scores.T, truth.T, strict=True)]
    return np.mean(precisions), [slow_f1(scores, truth, k, later_first=True) for k in (3, 5)]


def biam(scores, truth, known):
    """A descending sort of images, and a top-k of labels, which keep the order of equal ones; empty classes are 0."""
    del known
    precisions = [slow_precision(s, t, later_first=False) for s, t in zip(scores.T, truth.T, strict=True)]
    return np.mean(precisions), [slow_f1(scores, truth, k, later_first=False) for k in (3, 5)]


def mkt(scores, truth, known):
    """The same, of scores that are divided by their length over the labels asked for."""
    lengths = np.sqrt((scores.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return biam((scores / np.where(lengths == 0, 1, lengths)).astype(np.float32), truth, known)


def mldecoder(scores, truth, known):
    """Images with a label of the set alone; an ascending sort of images, turned round; empty classes are 0."""
    del known
    kept = truth.sum(axis=1) > 0
    scores, truth = scores[kept], truth[kept]
    precisions = [slow_precision(s, t, later_first=True) for s, t in zip(scores.T, truth.T, strict=True)]
    return np.mean(precisions), [slow_f1(scores, truth, k, later_first=False) for k in (3, 5)]


def open_images(scores, truth, known):
    """Images with a label of the set; unknown labels out of average precision but wrong in the top k; labels that
    are never known are out, known ones without a positive are 0."""
    kept = truth.sum(axis=1) > 0
    scores, truth, known = scores[kept], truth[kept], known[kept]
    precisions = [
        slow_precision(s[n], t[n], later_first=False)
        for s, t, n in zip(scores.T, truth.T, known.T, strict=True)
        if n.any()
    ]
    return np.mean(precisions), [slow_f1(scores, truth, k, later_first=False) for k in (10, 20)]


PUBLISHED = {"lesa": lesa, "biam": biam, "mkt": mkt, "mldecoder": mldecoder, "open-images": open_images}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("seed", range(5))
def test_a_published_protocol_gives_what_its_code_would(name, seed):
    scored, protocol = table(seed, unknown=name == "open-images"), protocol_named(name)
    results = evaluate_sets(scored, protocol, scored.sets(gzsl=True))
    # LESA's columns are the unseen labels first.
    gzsl = [*range(8, 12), *range(8)] if name == "lesa" else list(range(12))
    for set_name, columns in {"zsl": list(range(8, 12)), "gzsl": gzsl, "seen": list(range(8))}.items():
        known = None if scored.known is None else scored.known[:, columns]
        mean, f1 = PUBLISHED[name](scored.scores[:, columns], scored.truth[:, columns], known)
        figures = results[set_name].figures
        assert figures["map"] == pytest.approx(mean, abs=1e-12)
        assert [figures[f"f1@{k}"] for k in protocol.ks] == pytest.approx(f1, abs=1e-12)


def test_strict_and_filtered_differ_in_images_alone():
    assert replace(PROTOCOLS["filtered"], name="strict", about=Protocol().about, images="all") == Protocol()
    scored = table()
    kept = scored.truth[:, ~SEEN].any(axis=1)
    only = ScoreTable(scored.labels, SEEN, scored.scores[kept], scored.truth[kept])
    there, alone = (
        evaluate_sets(each, protocol_named(name), {"zsl": np.arange(8, 12)})["zsl"].figures
        for each, name in ((scored, "filtered"), (only, "strict"))
    )
    assert there["images_left_out"] == int((~kept).sum()) > 0
    assert {**there, "images_left_out": 0} == alone


RULES = {
    "images": ("with a positive", "f1@3"),
    "empty_labels": ("zero", "map"),
    "image_ties": ("earlier first", "map"),
    "label_ties": ("earlier first", "f1@3"),
    "normalisation": ("unit length", "map"),
    "unknown": ("wrong in the top K", "f1@3"),
    "ks": ((2,), "f1@2"),
    "min_positives": (6, "map"),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_moves_a_figure(rule):
    value, figure = RULES[rule]
    scored = table(unknown=rule == "unknown")
    before, after = (
        evaluate_sets(scored, protocol, scored.sets(gzsl=True))["gzsl"].figures.get(figure)
        for protocol in (Protocol(), replace(Protocol(), **{rule: value}))
    )
    assert after is not None and before != after


def test_the_order_of_columns_moves_a_figure_where_ties_are_broken_by_column():
    scored = table()
    for ties, moves in (("later first", True), ("grouped", False)):
        seen_first, unseen_first = (
            evaluate_sets(scored, Protocol(label_ties=ties, order=order), scored.sets(gzsl=True))["gzsl"].figures
            for order in ("seen first", "unseen first")
        )
        assert (seen_first["f1@3"] != pytest.approx(unseen_first["f1@3"])) is moves


def test_softmax_and_unit_length_make_a_score_depend_on_the_other_labels():
    scored = table()
    for normalisation in ("softmax", "unit length"):
        protocol = Protocol(normalisation=normalisation)
        few = evaluate_sets(scored, protocol, {"one": np.array([8, 9])})["one"].precisions
        more = evaluate_sets(scored, protocol, {"one": np.array([8, 9, 10])})["one"].precisions
        assert (few != more[:2]).any()
    softmaxed = np.exp(scored.scores[:, 8:]) / np.exp(scored.scores[:, 8:]).sum(axis=1, keepdims=True)
    expected = average_precision_score(scored.truth[:, 8], softmaxed[:, 0])
    got = evaluate_sets(scored, Protocol(normalisation="softmax"), {"one": np.arange(8, 12)})["one"].precisions[0]
    # Two images whose softmax is the same number in exact arithmetic may part in the last digit.
    assert got == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_every_rule_is_told(protocol):
    rules = protocol.rules()
    not_told = {"name", "about", "source"}
    assert len(rules) == len(fields(Protocol)) - len(not_told)
    assert all(told and told[0] != "{" for told in rules.values())
    assert protocol.source.startswith("https://") == (protocol.name not in ("strict", "filtered"))
    assert protocol.to_json()["rules"] == rules and protocol.to_json()["ks"] == list(protocol.ks)


def test_protocols_are_known_by_name():
    assert protocol_named("lesa", min_positives=4).min_positives == 4
    with pytest.raises(UsageError, match="'lasa' is no protocol") as caught:
        protocol_named("lasa")
    assert "lesa" in str(caught.value)
    field = next(field for field in fields(EvalSettings) if field.name == "protocol")
    assert field.metadata["choices"] == tuple(PROTOCOLS) and value_type(EvalSettings, "protocol") == (str, False)
