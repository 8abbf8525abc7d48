"""Journals: cut anywhere, they go on to what they would have been; others' are refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.images.opening import ImageError
from zsmld.prediction.journal import Journal
from zsmld.prediction.results import Prediction, ScoredLabel

JOB = {"model": "sha256:1", "labels": ["a"], "size": 3}


def predictions(count):
    for number in range(count):
        path = Path(f"{number}\udcff.jpg")
        if number % 4 == 3:
            yield Prediction(path, error=ImageError("is empty", path=path))
        else:
            yield Prediction(path, (ScoredLabel("sea", number / 100),))


def told(found):
    return [(each.path, each.labels, each.error and each.error.problem) for each in found]


def whole(path, count=10):
    journal = Journal(path, JOB, batch_size=3)
    assert journal.begin(resume=False, force=False) == 0
    assert told(journal.append(predictions(count))) == told(predictions(count))
    return journal


def test_what_was_written_is_read_as_often_as_asked(tmp_path):
    journal = whole(tmp_path / "j.partial")
    assert told(journal.read()) == told(journal.read()) == told(predictions(10))
    journal.remove()
    assert not journal.path.exists()


@given(st.data())
def test_cut_anywhere_it_goes_on_to_the_same_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    journal = whole(folder / "j")
    content = journal.path.read_bytes()
    header = content.index(b"\n") + 1
    at = data.draw(st.integers(header, len(content)))
    journal.path.write_bytes(content[:at])
    done = journal.begin(resume=True, force=False)
    assert done % 3 == 0 and done == content[header:at].count(b"\n") // 3 * 3
    rest = list(predictions(10))[done:]
    list(journal.append(rest))
    assert journal.path.read_bytes() == content


def test_a_journal_that_is_there_is_neither_taken_nor_lost_unasked(tmp_path):
    journal = whole(tmp_path / "j")
    before = journal.path.read_bytes()
    with pytest.raises(UsageError, match=r"cut\. Add --resume to go on or --force"):
        journal.begin(resume=False, force=False)
    with pytest.raises(UsageError, match="of a run with other size"):
        replace(journal, job=JOB | {"size": 4}).begin(resume=True, force=False)
    with pytest.raises(UsageError, match="of a run with other labels, more"):
        replace(journal, job=JOB | {"labels": [], "more": 1}).begin(resume=True, force=False)
    assert journal.path.read_bytes() == before
    assert replace(journal, job=JOB | {"size": 4}).begin(resume=False, force=True) == 0
    assert len(journal.path.read_bytes()) < 200


@pytest.mark.parametrize("content", [b"{}\n", b"\xff\n", b"[]\n", b"no\n", json.dumps({"format_version": 9}).encode()])
def test_what_is_no_journal_is_refused(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no journal of this zsmld"):
        Journal(path, JOB, 3).begin(resume=True, force=False)
    assert path.read_bytes() == content


def test_a_damaged_line_is_named(tmp_path):
    journal = whole(tmp_path / "j")
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"score", b"scare")
    journal.path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="j:3: is damaged"):
        list(journal.read())


def test_two_processes_do_not_write_one_journal(tmp_path):
    path = tmp_path / "j"
    script = (
        "import sys, time; from pathlib import Path; from zsmld import files\n"
        f"with files.growing(Path({str(path)!r})): print('held', flush=True); time.sleep(30)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(EnvironmentFailure, match="another zsmld process is writing here"):
            Journal(path, JOB, 3).begin(resume=True, force=False)
    finally:
        holder.kill()
        holder.communicate()
