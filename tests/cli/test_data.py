"""`zsmld data`: what is there is said, and written as annotations."""

import json
from pathlib import Path

import pytest


def test_check_says_what_is_there(zsmld):
    told = zsmld("data", "check", "annotations.jsonl")
    assert (told.code, told.stderr) == (0, "")
    assert told.stdout.splitlines()[:2] == ["JSONL annotations", "10 images: 7 train, 3 test"]
    Path("photos/3.jpg").unlink()
    told = zsmld("data", "check", "annotations.jsonl")
    assert told.code == 4 and "1 of 10 images are not below" in told.errors[0]


def test_convert_writes_annotations_that_say_the_same(zsmld, workspace):
    assert zsmld("data", "convert", "annotations.jsonl", "out").code == 0
    written = [json.loads(line) for line in Path("out/annotations.jsonl").read_text().splitlines()]
    # Some of the records have a label twice.
    records = [json.loads(line) for line in Path("annotations.jsonl").read_text().splitlines()]
    assert written == [record | {"labels": list(dict.fromkeys(record["labels"]))} for record in records]
    told = zsmld("data", "convert", "annotations.jsonl", "out")
    assert told.code == 2 and "exists already" in told.errors[0]
    assert zsmld("data", "convert", "annotations.jsonl", "out", "--force").code == 0
    before = zsmld("eval", "--gzsl", "--json").stdout
    after = zsmld("eval", "--gzsl", "--json", "--annotations", "out/annotations.jsonl", "--images", ".").stdout
    assert json.loads(before)["gzsl"] == json.loads(after)["gzsl"]


@pytest.mark.parametrize("command", ["train", "eval --gzsl"])
def test_missing_photographs_are_left_out_where_that_is_allowed(zsmld, command):
    for number in (0, 9):
        Path(f"photos/{number}.jpg").unlink()
    told = zsmld(*command.split())
    assert told.code == 3 and "1 of " in told.errors[0] and "--allow-missing" in told.errors[0]
    told = zsmld(*command.split(), "--allow-missing")
    assert told.code == 0 and "warning: " in told.stderr and "left out, 1 of" in told.stderr
