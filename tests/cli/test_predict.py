"""Whole runs of `predict`, on a finished run of the workspace: outputs, records of errors, kills, closing lines."""

import csv
import io
import json
import math
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from zsmld.devices import multiplies_bfloat16


def records(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def spoilt(workspace):
    """Photographs of which some cannot be read, and files that are none."""
    for name, data in {"broken.jpg": b"\xff\xd8\xff", "empty.png": b"", "notes.txt": b"words"}.items():
        (workspace / "photos" / name).write_bytes(data)
    return workspace


def test_the_closing_line_adds_up(zsmld, spoilt):
    outcome = zsmld("predict", "photos", "--labels", "any.txt", "--format", "jsonl")
    assert outcome.code == 4
    assert "13 files: 10 tagged, 2 failed, 1 skipped" in outcome.stderr.splitlines()
    assert outcome.errors == ["zsmld: error: 2 of 12 photographs could not be read. See their records."]
    found = records(outcome.stdout)
    assert len(found) == 12 and [each["path"] for each in found if "error" in each] == [
        "photos/broken.jpg", "photos/empty.png"
    ]  # fmt: skip


def test_words_come_from_files_the_command_line_and_standard_input(zsmld):
    outcome = zsmld("predict", "photos/1.jpg", "--labels", "fish,dog", "--labels", "any.txt", "--format", "jsonl")
    assert outcome.code == 3 and "'fish' at position 3 is again" in outcome.stderr
    outcome = zsmld("predict", "photos/1.jpg", "--labels", "fish,dog", "--top-k", "0", "--format", "jsonl")
    assert {each["label"] for each in records(outcome.stdout)[0]["labels"]} == {"fish", "dog"}
    assert [each["seen"] for each in records(outcome.stdout)[0]["labels"] if each["label"] == "dog"] == [True]
    process = zsmld.start("predict", "-", "--labels", "fish,dog", "--format", "jsonl", stdin=-1)
    out, err = process.communicate("photos/1.jpg\nphotos/absent.jpg\n", timeout=60)
    assert process.returncode == 4 and "2 files: 1 tagged, 1 failed, 0 skipped" in err
    assert records(out)[1] == {"path": "photos/absent.jpg", "error": "no such file"}


def test_threshold_and_number(zsmld):
    def given(*more):
        outcome = zsmld("predict", "photos", "--labels", "labels.txt", "--format", "jsonl", *more)
        assert outcome.code == 0, outcome.stderr
        return records(outcome.stdout)

    everything = given("--top-k", "0")
    middle = sorted(label["score"] for each in everything for label in each["labels"])[30]
    for more, most in (((), None), (("--top-k", "1"), 1)):
        for all_labels, some in zip(everything, given("--threshold", str(middle), *more), strict=True):
            above = [label["label"] for label in all_labels["labels"] if label["score"] >= middle]
            assert [label["label"] for label in some["labels"]] == above[:most]
            assert {label["threshold"] for label in some["labels"]} <= {middle}
    learnt = given("--threshold", "auto")
    assert all(label["score"] >= label["threshold"] for each in learnt for label in each["labels"])


def test_csv_has_the_documented_columns(zsmld, spoilt):
    outcome = zsmld("predict", "photos", "--labels", "any.txt", "--format", "csv", "--top-k", "1", "--explain")
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    assert list(rows[0]) == ["path", "rank", "label", "score", "threshold", "seen", "nearest", "error"]
    assert len(rows) == 12 and sum(row["error"] != "" for row in rows) == 2
    assert all(row["nearest"] for row in rows if row["seen"] == "0")


def test_an_explanation_says_near_to_what(zsmld):
    plain = zsmld("predict", "photos/1.jpg", "--labels", "fish,dog", "--format", "jsonl")
    told = zsmld("predict", "photos/1.jpg", "--labels", "fish,dog", "--format", "jsonl", "--explain")
    (before,), (after,) = records(plain.stdout), records(told.stdout)
    for one, other in zip(before["labels"], after["labels"], strict=True):
        assert other.items() >= one.items()
        assert ("nearest" in other) == (other["label"] == "fish")
    assert len(next(each for each in after["labels"] if each["label"] == "fish")["nearest"]) == 3
    table = zsmld("predict", "photos/1.jpg", "--labels", "fish", "--explain")
    assert "(nearest trained on: " in table.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "often"], "neither a number from 0 to 1 nor auto"),
        (["--dry-run"], "--dry-run is for --xmp"),
        (["--resume"], "--resume needs a file or folder"),
        (["--index", "photographs.index"], "--index stands beside photographs"),
        (["--labels", "wrods.txt"], "no such label file"),
        (["--output", "labels.txt"], "exists already"),
        (["--gallery", "photos"], "exists already"),
        (["--model", "photos"], "holds no finished model"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(zsmld, arguments, message):
    outcome = zsmld("predict", "photos", "--labels", "any.txt", *arguments)
    assert outcome.code in (2, 3) and len(outcome.errors) == 1 and message in outcome.errors[0]
    assert outcome.stdout == ""


def test_many_photographs_are_told_what_is_faster(zsmld, monkeypatch):
    def told(*more):
        return "--precision bfloat16" in zsmld("predict", "photos", "--labels", "any.txt", *more).stderr

    monkeypatch.setattr("zsmld.prediction.run.multiplies_bfloat16", lambda _: True)
    assert not told()
    monkeypatch.setattr("zsmld.prediction.run._MANY", 10)
    assert told() and not told("--precision", "bfloat16")
    monkeypatch.setattr("zsmld.prediction.run.multiplies_bfloat16", lambda _: False)
    assert not told()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux tells its flags")
def test_a_processor_multiplies_bfloat16_if_it_has_the_instructions():
    flags = Path("/proc/cpuinfo").read_text().split()
    assert multiplies_bfloat16(torch.device("cpu")) == ("amx_bf16" in flags or "avx512_bf16" in flags)


def test_a_run_that_is_killed_goes_on_to_the_same_file(zsmld, workspace):
    names = [f"photos/{number}.jpg" for number in range(10)] * 30
    (workspace / "list.txt").write_text("\n".join(dict.fromkeys(names)))
    for copy in range(40):
        for number in range(10):
            os.link(workspace / f"photos/{number}.jpg", workspace / f"photos/{number}-{copy}.jpg")
    asked = ("predict", "photos", "--labels", "labels.txt", "--format", "jsonl", "--batch-size", "4", "--output")
    assert zsmld(*asked, "whole.jsonl").code == 0
    journal = workspace / "cut.jsonl.partial"
    process = zsmld.start(*asked, "cut.jsonl")
    until = time.monotonic() + 50
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 40):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (workspace / "cut.jsonl").exists()

    refused = zsmld(*asked, "cut.jsonl")
    assert refused.code == 2 and "Add --resume to go on or --force" in refused.stderr
    other = zsmld(*asked, "cut.jsonl", "--resume", "--top-k", "1")
    assert other.code == 2 and "is of a run with other selection" in other.stderr
    outcome = zsmld(*asked, "cut.jsonl", "--resume")
    assert outcome.code == 0 and "of 410 photographs are done" in outcome.stderr
    assert "410 files: 410 tagged, 0 failed, 0 skipped" in outcome.stderr
    assert (workspace / "cut.jsonl").read_bytes() == (workspace / "whole.jsonl").read_bytes()
    assert not journal.exists()


def test_what_can_be_read_is_the_same_whatever_stands_beside_it(zsmld, spoilt):
    asked = ("predict", "photos", "--labels", "labels.txt", "--format", "jsonl", "--batch-size", "3")
    spoilt_too = [line for line in zsmld(*asked).stdout.splitlines() if '"error"' not in line]
    for name in ("broken.jpg", "empty.png"):
        (spoilt / "photos" / name).unlink()
    assert zsmld(*asked).stdout.splitlines() == spoilt_too


def test_an_index_is_scored_as_its_photographs_are(zsmld, spoilt):
    """But for tokens being kept in half precision; and it says what it does not know."""
    asked = ("--labels", "labels.txt", "--top-k", "0", "--format", "jsonl", "--explain")
    assert zsmld("index", "photos").code == 4
    direct = zsmld("predict", "photos", *asked)
    indexed = zsmld("predict", "--index", "photographs.index", *asked)
    assert direct.code == indexed.code == 4 and "warning" not in indexed.stderr
    assert "12 files: 10 tagged, 2 failed, 0 skipped" in indexed.stderr
    for one, other in zip(records(direct.stdout), records(indexed.stdout), strict=True):
        assert one["path"] == other["path"] and one.get("error") == other.get("error")
        scores = [{each["label"]: each["score"] for each in record.get("labels", ())} for record in (one, other)]
        assert scores[0].keys() == scores[1].keys()
        assert all(abs(scores[0][label] - scores[1][label]) < 2e-3 for label in scores[0])
    (spoilt / "photos/0.jpg").write_bytes((spoilt / "photos/1.jpg").read_bytes())
    (spoilt / "photos/2.jpg").unlink()
    told = zsmld("predict", "--index", "photographs.index", "--labels", "labels.txt")
    assert told.code == 4 and "1 of its photographs have changed, 1 of its photographs are gone" in told.stderr
    refused = zsmld(
        "predict", "--index", "photographs.index", "--labels", "labels.txt", "--xmp", "full", "--output", "seen.txt"
    )
    assert refused.code == 2 and "exists already" in refused.stderr


def test_sidecars_are_written_beside_photographs_that_stay_as_they_are(zsmld, workspace):
    photos = sorted((workspace / "photos").glob("*.jpg"))
    before = [path.read_bytes() for path in photos]
    asked = ("predict", "photos", "--labels", "sea,dog", "--threshold", "0", "--xmp", "full")
    dry = zsmld(*asked, "--dry-run")
    assert dry.code == 0 and "sidecars: 10 would be written, 0 as they are, 0 failed" in dry.stderr
    assert all(line.startswith("photos/") and "+sea" in line and "+dog" in line for line in dry.stdout.splitlines())
    assert len(dry.stdout.splitlines()) == 10 and not list((workspace / "photos").glob("*.xmp"))
    assert zsmld(*asked).stdout == ""
    assert "sidecars: 0 written, 10 as they are, 0 failed" in zsmld(*asked).stderr
    broken = workspace / "photos/3.jpg.xmp"
    broken.write_text("<x:xmpmeta")
    outcome = zsmld(*asked[:-4], "--threshold", "1", "--xmp", "full", "--format", "csv", "--output", "tags.csv")
    assert outcome.code == 4 and "sidecars: 9 written, 0 as they are, 1 failed" in outcome.stderr
    assert outcome.errors == ["zsmld: error: 1 sidecars could not be written"]
    assert "photos/3.jpg.xmp" in outcome.stderr and broken.read_text() == "<x:xmpmeta"
    assert "sea" not in (workspace / "photos/2.jpg.xmp").read_text()
    assert len((workspace / "tags.csv").read_text().splitlines()) == 1
    assert [path.read_bytes() for path in photos] == before


def test_thresholds_that_training_measured_are_used_and_told(zsmld, workspace):
    curve = {"scale": 2.0, "shift": 1.0, "labels": 4, "positives": 12}
    record = {
        "format_version": 1, "thresholds": {"dog": 0.75},
        "seen": curve | {"threshold": 0.25}, "unseen": curve | {"scale": 0.5, "threshold": 0.125},
    }  # fmt: skip
    (workspace / "runs/001/probabilities.json").unlink(missing_ok=True)
    plain = zsmld("predict", "photos/1.jpg", "--labels", "dog,sea,wolf", "--top-k", "0", "--format", "jsonl")
    (workspace / "runs/001/probabilities.json").write_text(json.dumps(record))
    asked = ("predict", "photos/1.jpg", "--labels", "dog,sea,wolf", "--format", "jsonl")
    told = zsmld(*asked, "--top-k", "0")
    before, after = (
        {each["label"]: each for each in records(outcome.stdout)[0]["labels"]} for outcome in (plain, told)
    )
    assert {label: each["threshold"] for label, each in after.items()} == {"dog": 0.75, "sea": 0.25, "wolf": 0.125}
    for label, scale in (("dog", 2.0), ("sea", 2.0), ("wolf", 0.5)):
        logit = math.log(before[label]["score"] / (1 - before[label]["score"]))
        assert abs(after[label]["score"] - 1 / (1 + math.exp(-scale * logit - 1))) < 1e-4
    auto = zsmld(*asked, "--threshold", "auto")
    assert "thresholds: labels trained on: measured on 12 true pairs of 4 labels" in auto.stderr
    expected = [each["label"] for each in records(told.stdout)[0]["labels"] if each["score"] >= each["threshold"]]
    assert [each["label"] for each in records(auto.stdout)[0]["labels"]] == expected
