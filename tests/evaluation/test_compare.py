"""Runs and simple methods side by side: one row each, differences paired by resample."""

import numpy as np
import pytest

from zsmld.evaluation.compare import Comparison, Row
from zsmld.evaluation.figures import ScoreTable, evaluate_sets
from zsmld.evaluation.protocols import Protocol

SEEN = np.arange(12) < 5


def row(name, lift, seed=0):
    """A method that lifts true labels by so much over noise that is the same for all of them."""
    draw = np.random.default_rng(seed)
    truth = draw.random((150, 12)) < 0.2
    scores = (draw.normal(size=truth.shape) + lift * truth).astype(np.float32)
    table = ScoreTable(tuple("abcdefghijkl"), SEEN, scores, truth)
    return Row(name, {"lift": lift}, evaluate_sets(table, Protocol(), table.sets(gzsl=True), resamples=200))


@pytest.fixture(scope="module")
def comparison():
    return Comparison(Protocol(), (row("first", 1.0), row("same", 1.0), row("a | b", 1.1), row("far", 3.0)), 150)


def test_differences_are_paired(comparison):
    same, near, far = comparison.rows[1:]
    assert comparison.difference(same, "zsl", "map") == (0.0, (0.0, 0.0))
    amount, (low, high) = comparison.difference(near, "gzsl", "map")
    own = near.sets["gzsl"].intervals["map"]
    # What both have in common falls out: far narrower than the interval of either.
    assert 0 < low < amount < high < low + 0.4 * (own[1] - own[0])
    assert comparison.difference(far, "zsl", "f1@3")[1][0] > 0


def test_a_difference_that_may_be_none_has_no_star(comparison):
    cells = {each.name: list(comparison.cells(each)) for each in comparison.rows}
    assert all("–" in cell for cell in cells["first"])
    assert all(cell.endswith("(+0.0)") for cell in cells["same"])
    assert all(cell.endswith("*)") and "(+" in cell for cell in cells["far"])
    assert len(cells["far"]) == len(comparison.columns()) == 5


def test_tables_and_json_have_every_row(comparison, capsys):
    from rich.console import Console

    Console(width=200, markup=False).print(comparison.table())
    shown = capsys.readouterr().out
    lines = comparison.markdown().splitlines()
    assert all(each.name in shown for each in comparison.rows)
    assert len(lines) == 2 + 4 and r"a \| b" in lines[4]
    values = comparison.to_json()
    assert [each["name"] for each in values["rows"]] == ["first", "same", "a | b", "far"]
    far = values["rows"][3]
    assert far["settings"] == {"lift": 3.0} and far["zsl"]["differences"]["map"]["by"] > 0
    assert len(far["gzsl"]["intervals"]["harmonic_map"]) == 2


def test_without_resamples_there_are_differences_but_no_intervals():
    draw = np.random.default_rng(0)
    table = ScoreTable(
        tuple("abcdefghijkl"), SEEN, draw.normal(size=(9, 12)).astype(np.float32), draw.random((9, 12)) < 0.4
    )
    plain = Row("plain", {}, evaluate_sets(table, Protocol(), table.sets(gzsl=True)))
    found = Comparison(Protocol(), (plain, plain), 9)
    assert found.difference(plain, "zsl", "map") == (0.0, None)
    assert found.to_json()["rows"][1]["zsl"]["differences"] == {}
    assert list(found.cells(plain))
