"""Folders that appear whole or not at all."""

import pytest

from zsmld.errors import EnvironmentFailure, UsageError
from zsmld.folders import whole_folder

KNOWN = ("a", "b")


def fill(path, text="new", **options):
    with whole_folder(path, replaces=KNOWN, **{"force": False} | options) as filled:
        (filled / "a").write_text(text)
    return path


def below(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_takes_its_name_at_the_end(tmp_path, there):
    path = tmp_path / "more" / "out"
    if there:
        path.mkdir(parents=True)
    with whole_folder(path, replaces=KNOWN, force=False) as filled:
        (filled / "a").write_text("x")
        assert not path.exists() or below(path) == []
    assert below(path) == ["a"] and below(path.parent) == ["out"]


def test_what_fails_leaves_nothing_and_what_was_there_stays(tmp_path):
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out", replaces=KNOWN, force=False) as filled:
        (filled / "a").write_text("half")
        1 / 0  # noqa: B018
    assert below(tmp_path) == []
    fill(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", replaces=KNOWN, force=True):
        raise KeyboardInterrupt
    assert below(tmp_path) == ["out"] and (tmp_path / "out/a").read_text() == "old"


def test_a_folder_is_replaced_as_a_whole_and_only_with_force(tmp_path):
    out = fill(tmp_path / "out", "old")
    (out / "b").touch()
    with pytest.raises(UsageError, match=r"exists already.*--force"):
        fill(out)
    assert below(fill(out, force=True)) == ["a"] and (out / "a").read_text() == "new" and below(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["photo.jpg", ".git", "more"])
def test_what_is_none_of_the_known_files_is_never_lost(tmp_path, name):
    out = fill(tmp_path / "out", "old")
    (out / name).mkdir()
    with pytest.raises(UsageError, match=f"no part of a model: {name}"):
        fill(out, force=True)
    assert below(out) == sorted(["a", name])


def test_files_that_come_while_the_folder_is_filled_stay_too(tmp_path):
    out = fill(tmp_path / "out", "old")
    with pytest.raises(UsageError, match="no part of a model"), whole_folder(out, replaces=KNOWN, force=True):
        (out / "photo.jpg").touch()
    assert below(out) == ["a", "photo.jpg"]


def test_files_and_links_are_no_folders(tmp_path):
    fill(tmp_path / "out")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("out")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="is no folder"):
            fill(tmp_path / name, force=True)
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        fill(tmp_path / "file" / "out")
