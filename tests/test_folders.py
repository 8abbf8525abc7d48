"""A folder appears whole or not at all, and nobody's folder is replaced."""

import os
import subprocess
import sys

import pytest

from zsmld import files, folders
from zsmld.errors import EnvironmentFailure, UsageError
from zsmld.folders import Kind, whole_folder

KIND = Kind("album", "album.json", ("album.json", "*.txt", "pages/*.txt"))


def write(path, text="new", *, force=False):
    with whole_folder(path, KIND, force=force) as unfinished:
        unfinished.write("pages/1.txt", text.encode())
        unfinished.write("album.json", b'{"kind": "album"}')


def inside(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_at_the_end_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "deep" / "a"
    with whole_folder(path, KIND, force=False) as unfinished:
        unfinished.write("pages/1.txt", b"one")
        unfinished.write("album.json", b"{}")
        assert not path.exists()
    assert inside(path) == {"pages/1.txt", "album.json"} and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    def fail(path, force):
        with pytest.raises(error), whole_folder(path, KIND, force=force) as unfinished:
            unfinished.write("pages/2.txt", b"half")
            raise error

    fail(tmp_path / "a", force=False)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a", "old")
    fail(tmp_path / "a", force=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"] and inside(tmp_path / "a") == {"pages/1.txt", "album.json"}


def test_a_folder_of_the_kind_is_replaced_with_force_only(tmp_path):
    path = tmp_path / "a"
    write(path, "old")
    (path / "pages" / "2.txt").write_text("of the old one")
    (path / ".DS_Store").write_text("of somebody who looked at it")
    with pytest.raises(UsageError, match="exists already"):
        write(path)
    write(path, force=True)
    assert (path / "pages" / "1.txt").read_text() == "new" and inside(path) == {"pages/1.txt", "album.json"}
    assert list(tmp_path.iterdir()) == [path]


def somebodys(path):
    path.mkdir()
    (path / "letter.txt").write_text("dear")


def of_another_kind(path):
    somebodys(path)
    (path / "album.json").write_text('{"kind": "photo album"}')


def with_a_broken_marker(path):
    somebodys(path)
    (path / "album.json").write_text('["kind"')


def with_a_foreign_file(path):
    write(path)
    (path / "pages" / "letter.doc").write_text("dear")


def with_a_linked_folder(path):
    write(path)
    somebodys(path.parent / "b")
    (path / "more").symlink_to(path.parent / "b")


def as_a_link(path):
    write(path.parent / "b")
    path.symlink_to(path.parent / "b")


def as_a_file(path):
    path.write_text("dear")


FOREIGN = (
    somebodys, of_another_kind, with_a_broken_marker, with_a_foreign_file, with_a_linked_folder, as_a_link, as_a_file,
)  # fmt: skip


@pytest.mark.parametrize("make", FOREIGN)
def test_what_is_somebodys_is_never_replaced(tmp_path, make):
    make(tmp_path / "a")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="not replaced"):
        write(tmp_path / "a", force=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_somebody_makes_meanwhile_is_not_replaced_either(tmp_path, force):
    with pytest.raises(UsageError), whole_folder(tmp_path / "a", KIND, force=force):
        somebodys(tmp_path / "a")
    assert inside(tmp_path) == {"a/letter.txt"}


KILLED = """
import os, sys
from pathlib import Path
from zsmld import folders
kind = folders.Kind("album", "album.json", ("album.json", "*.txt", "pages/*.txt"))
renames = 0
rename = Path.rename
def killed(path, target):
    global renames
    renames += 1
    if renames == int(sys.argv[2]):
        os._exit(9)
    return rename(path, target)
Path.rename = killed
with folders.whole_folder(Path(sys.argv[1]), kind, force=True) as unfinished:
    unfinished.write("pages/2.txt", b"half")
    unfinished.write("album.json", b'{"kind": "album"}')
    if sys.argv[2] == "0":
        os._exit(9)
"""


def kill(path, at):
    """Run a writer that dies while it writes (0), or before its first or second rename."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), str(at)], timeout=60)
    assert ended.returncode == 9


@pytest.mark.parametrize("at", [0, 1])
def test_a_killed_writer_leaves_no_half_folder_and_the_next_one_cleans_up(tmp_path, at):
    path = tmp_path / "a"
    kill(path, at)
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1
    write(path)
    assert list(tmp_path.iterdir()) == [path] and inside(path) == {"pages/1.txt", "album.json"}


def test_a_folder_that_was_moved_aside_by_a_killed_writer_comes_back(tmp_path):
    path = tmp_path / "a"
    write(path, "old")
    kill(path, 2)
    assert not path.exists()
    with pytest.raises(UsageError, match="exists already"):
        write(path)
    assert (path / "pages" / "1.txt").read_text() == "old" and list(tmp_path.iterdir()) == [path]
    kill(path, 2)
    write(path, force=True)
    assert (path / "pages" / "1.txt").read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_former_folder_that_was_not_removed_is_removed(tmp_path):
    path = tmp_path / "a"
    write(path)
    write(tmp_path / "b")
    (tmp_path / "b").rename(folders._former(path))
    write(path, force=True)
    assert list(tmp_path.iterdir()) == [path]


def test_where_the_rename_fails_the_old_folder_is_back(tmp_path, monkeypatch):
    path, rename = tmp_path / "a", type(tmp_path).rename
    write(path, "old")

    def full(source, target):
        if source.suffix == ".new":
            raise OSError(28, "No space left on device")
        return rename(source, target)

    monkeypatch.setattr(type(tmp_path), "rename", full)
    with pytest.raises(EnvironmentFailure, match="no space left"):
        write(path, force=True)
    assert (path / "pages" / "1.txt").read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_folder_do_not_meet(tmp_path):
    with whole_folder(tmp_path / "a", KIND, force=True) as unfinished:
        unfinished.write("album.json", b'{"kind": "album"}')
        with pytest.raises(EnvironmentFailure, match="another zsmld process"):
            write(tmp_path / "a", force=True)
        write(tmp_path / "b")
    assert inside(tmp_path) == {"a/album.json", "b/album.json", "b/pages/1.txt"}


def test_a_file_that_cannot_be_written_is_told_by_its_final_name(tmp_path):
    with (
        pytest.raises(EnvironmentFailure) as caught,
        whole_folder(tmp_path / "a", KIND, force=False) as unfinished,
    ):
        unfinished.write("pages", b"")
        unfinished.write("pages/1.txt", b"")
    assert caught.value.path == tmp_path / "a" / "pages" / "1.txt"


def test_a_link_in_the_place_of_the_temporary_folder_is_not_followed(tmp_path):
    somebodys(tmp_path / "b")
    folders._beside(tmp_path / "a", "new").symlink_to(tmp_path / "b")
    with pytest.raises(UsageError, match="is a link"):
        write(tmp_path / "a")
    assert inside(tmp_path / "b") == {"letter.txt"}


def test_every_file_is_synced_before_the_folder_has_its_name(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino) or fsync(descriptor))
    write(tmp_path / "a")
    for path in [tmp_path / "a", *(tmp_path / "a").rglob("*")]:
        assert path.stat().st_ino in synced
    assert files.read_json(tmp_path / "a" / "album.json") == {"kind": "album"}
