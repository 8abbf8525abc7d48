"""The atomic writer, digests, locks and readers."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld import files
from zsmld.errors import EnvironmentFailure, InputError, UsageError


def test_writes_whole_with_the_mode_that_the_umask_leaves(tmp_path):
    old = os.umask(0o027)
    try:
        files.write_text(tmp_path / "deep" / "a.txt", "é")
    finally:
        os.umask(old)
    path = tmp_path / "deep" / "a.txt"
    assert path.read_bytes() == "é".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    files.write_text(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


def test_a_failure_inside_the_block_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic_writer(path) as stream:
        stream.write(b"half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file_and_a_leftover_that_is_removed(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    code = (
        "import os, sys; from zsmld import files\n"
        "with files.atomic_writer(sys.argv[1]) as s: s.write(b'new'); s.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_without_force_what_exists_stays(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(UsageError, match="--force"):
        files.write_text(path, "new", force=False)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError):
        files.write_text(tmp_path / "dangling", "new", force=False)
    assert path.read_text() == "old"


def test_what_cannot_be_written_is_an_environment_failure_that_names_the_file(tmp_path):
    files.write_text(tmp_path / "file", "x")
    (tmp_path / "folder").mkdir()
    for path, named in ((tmp_path / "file" / "below", "file"), (tmp_path / "folder", "folder")):
        with pytest.raises(EnvironmentFailure, match=named):
            files.write_text(path, "x")
    assert (tmp_path / "file").read_text() == "x"
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_full_disk_is_an_environment_failure():
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        files.write_text("/dev/full/x", "x")


def test_many_writers_of_one_file_never_mix(tmp_path):
    path = tmp_path / "a.txt"
    texts = [str(n) * 100_000 for n in range(8)]
    threads = [threading.Thread(target=files.write_text, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts


def test_pipes_folders_and_absent_files_are_input_errors_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, told in (("pipe", "regular"), ("", "folder"), ("absent", "no such file"), ("nul\0", "cannot be read")):
        with pytest.raises(InputError, match=told):
            files.read_bytes(f"{tmp_path}/{name}")


def test_text_with_byte_order_mark_and_text_in_another_encoding(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfdog\n")
    assert files.read_text(path) == "dog\n"
    path.write_bytes("eins\nB\u00e4r\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt:2: is not UTF-8"):
        files.read_text(path)


@given(st.binary())
def test_digests_of_bytes_and_of_files_agree(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("digest") / "a"
    files.write_bytes(path, data)
    assert files.digest_file(path) == files.digest_bytes(data)
    assert len(files.digest_bytes(data)) == len("sha256:") + 64


def test_a_folder_is_locked_for_others_until_the_holder_ends(tmp_path):
    code = "import sys; from pathlib import Path; from zsmld import files\nwith files.locked(Path(sys.argv[1])): pass"

    def other():
        return subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)

    with files.locked(tmp_path):
        assert "another zsmld process" in other().stderr
    assert other().returncode == 0


def test_latest_points_at_the_newest_and_never_replaces_a_folder(tmp_path):
    for name in ("001", "002"):
        (tmp_path / name).mkdir()
        files.point_latest(tmp_path / "latest", tmp_path / name)
    assert (tmp_path / "latest").resolve() == (tmp_path / "002").resolve()
    (tmp_path / "real").mkdir()
    with pytest.raises(UsageError):
        files.point_latest(tmp_path / "real", tmp_path / "001")


def test_json_refuses_nan_and_reads_back_with_the_line_of_an_error(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.to_json(float("nan"))
    files.write_json(tmp_path / "a.json", {"ü": 1})
    assert files.read_json(tmp_path / "a.json") == {"ü": 1}
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": }')
    with pytest.raises(InputError, match=r"a\.json:2"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(InputError, match="nested"):
        files.read_json(tmp_path / "a.json")


def test_the_cache_folder_is_found(monkeypatch):
    monkeypatch.delenv("ZSMLD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    assert files.cache_folder() == Path("/home/me/.cache/zsmld")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert files.cache_folder() == Path("/caches/zsmld")
    monkeypatch.setenv("ZSMLD_CACHE", "~/tokens")
    assert files.cache_folder() == Path("/home/me/tokens")
