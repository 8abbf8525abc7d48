"""`zsmld compare` as it is typed."""

import json
import shlex
import shutil

import pytest

from zsmld.linear import METHODS

USAGE, INPUT = 2, 3


def test_a_run_and_all_simple_methods(zsmld, workspace):
    shutil.copytree(workspace / "runs/001", workspace / "runs/again")
    told = zsmld("compare", "runs/001", "runs/again", "--baselines", "all", "--resamples", "20", "--output", "out")
    assert told.code == 0 and "the difference to runs/001" in told.stderr
    found = json.loads((workspace / "out/compare.json").read_text())
    names = [row["name"] for row in found["rows"]]
    assert names == ["runs/001", "runs/again", *(method.name for method in METHODS.values())]
    same = found["rows"][1]
    assert same["zsl"]["differences"]["map"] == {"by": 0.0, "interval": [0.0, 0.0]}
    assert all(name in told.stdout for name in names)
    assert (workspace / "out/compare.md").read_text().count("\n") == 2 + len(names)
    alone = json.loads(zsmld("eval", "--gzsl", "--resamples", "20", "--json").stdout)
    for part in ("zsl", "gzsl"):
        assert {key: found["rows"][0][part][key] for key in alone[part]} == alone[part]


def test_the_first_run_knows_the_data(zsmld, workspace):
    assert zsmld("eval", "--gzsl").code == 0
    before = zsmld("compare", "runs/001", "--baselines", "eszsl", "--json").stdout
    (workspace / "zsmld.toml").write_text("")
    assert zsmld("compare", "runs/001", "--baselines", "eszsl", "--json").stdout == before
    (workspace / "runs/001/report.json").unlink()
    assert zsmld("compare", "runs/001").code == USAGE


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("compare", USAGE, "RUNS"),
        ("compare runs/nope", INPUT, "runs/nope: no such model folder"),
        ("compare runs/001 --baselines eszl", USAGE, "'eszl' is no baseline"),
        ("compare runs/001 --baselines clip", USAGE, "no CLIP model given"),
        ("compare runs/001 --unseen seen.txt", INPUT, "is also the seen label"),
        ("compare runs/001 --split val", INPUT, "no record has the split 'val'"),
    ],
)
def test_what_cannot_be_compared_is_told(arguments, code, says, zsmld):
    outcome = zsmld(*shlex.split(arguments))
    assert outcome.code == code and len(outcome.errors) == 1 and says in outcome.errors[0]


def test_runs_of_other_labels_are_refused(zsmld, workspace):
    (workspace / "some.txt").write_text("dog\ncat\nsea\n")
    assert zsmld("train", "--seen", "some.txt", "--run", "runs/other").code == 0
    outcome = zsmld("compare", "runs/001", "runs/other")
    assert outcome.code == USAGE and "was trained on other labels" in outcome.errors[0]
    assert zsmld("train", "--closed-set", "--run", "runs/closed").code == 0
    outcome = zsmld("compare", "runs/001", "runs/closed")
    assert outcome.code == USAGE and "closed-set" in outcome.errors[0]
