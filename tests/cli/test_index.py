"""`zsmld index`: what it says, where it writes, and what is left when it cannot."""

import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

INDEX = "photographs.index"


@contextmanager
def no_space_left():
    """No file may grow beyond a kilobyte: as on a full disk, a write fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_it_says_what_has_changed_and_writes_nothing_else(zsmld, workspace):
    before = content(workspace)
    told = zsmld("index", "photos")
    counts = "added 10, changed 0, deleted 0, unchanged 0, failed 0"
    assert (told.code, told.stdout, told.stderr) == (0, "", f"{workspace / INDEX}: {counts}\n")
    shutil.copy("photos/0.jpg", "photos/copy.jpg")
    Path("photos/9.jpg").unlink()
    told = zsmld("index", "photos")
    assert told.stderr.endswith(": added 1, changed 0, deleted 1, unchanged 9, failed 0\n")
    Path("photos/copy.jpg").unlink()
    new = {str(path.relative_to(workspace)) for path in content(workspace).keys() - before.keys()}
    assert {name.split("/")[0] for name in new} == {INDEX}
    assert zsmld("index", "photos", "--quiet").stderr == ""


def test_it_is_found_from_below_the_workspace_and_may_lie_elsewhere(zsmld, workspace, monkeypatch, tmp_path):
    assert zsmld("index", "photos").code == 0
    monkeypatch.chdir(workspace / "photos")
    assert "unchanged 1," in zsmld("index", "0.jpg").stderr
    assert "unchanged 10," in zsmld("index", ".").stderr
    assert zsmld("index", ".", "--index", str(tmp_path / "other")).stderr.startswith(f"{tmp_path / 'other'}: added 10")
    monkeypatch.setenv("ZSMLD_INDEX", str(tmp_path / "other"))
    assert "other: added 0, changed 0, deleted 0, unchanged 10" in zsmld("index", ".").stderr


def test_photographs_that_cannot_be_read_are_told_again_and_again(zsmld, workspace):
    for number in range(7):
        Path(f"photos/{number}.jpg").write_bytes(b"no photograph")
    for unchanged in (0, 3):
        told = zsmld("index", "photos", "--quiet")
        assert told.code == 4 and told.stdout == ""
        lines = told.stderr.splitlines()
        assert len(lines) == 7 and lines[0].startswith("zsmld: warning: photos/0.jpg: is no image of a known format")
        assert lines[5] == "zsmld: warning: and 2 more that cannot be read"
        assert lines[6] == (
            "zsmld: error: 7 of 10 photographs could not be read. The others are in the index."
        )  # fmt: skip
        assert f"unchanged {unchanged}, failed 7" in zsmld("index", "photos").stderr or not unchanged


def test_a_closed_set_model_and_a_new_run_of_the_same_backbone_share_an_index(zsmld, workspace):
    assert zsmld("index", "photos").code == 0
    assert zsmld("train", "--closed-set", "--run", "runs/closed").code == 0
    assert "unchanged 10," in zsmld("index", "photos", "--model", "runs/closed").stderr
    assert zsmld("train", "--image-size", "64", "--run", "runs/larger").code == 0
    before = content(INDEX)
    told = zsmld("index", "photos", "--model", "runs/larger")
    assert told.code == 3 and "holds tokens of another backbone" in told.errors[0] and "--force" in told.errors[0]
    assert content(INDEX) == before
    assert "added 10," in zsmld("index", "photos", "--model", "runs/larger", "--force").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "no photograph given"),
        (("nope",), 3, "nope: no such file or folder"),
        (("photos", "--model", "nope"), 3, "nope: no such model folder"),
        (("photos", "--index", "photos"), 2, "photos: is no index of photographs, and not empty"),
        (("photos", "--index", "seen.txt"), 5, "seen.txt"),
        (("photos", "--batch-size", "0"), 2, "--batch-size"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(arguments, code, says, zsmld, workspace):
    before = content(workspace)
    told = zsmld("index", *arguments)
    assert told.code == code and len(told.errors) == 1 and says in told.errors[0]
    assert content(workspace) == before


def test_a_full_disk_leaves_the_index_as_it_was(zsmld, workspace):
    assert zsmld("index", "photos/0.jpg", "photos/1.jpg").code == 0
    before = content(INDEX)
    with no_space_left():
        told = zsmld("index", "photos")
    assert told.code == 5 and len(told.errors) == 1 and "file too large" in told.errors[0]
    assert content(INDEX) == before
    assert "added 8, changed 0, deleted 0, unchanged 2" in zsmld("index", "photos").stderr
