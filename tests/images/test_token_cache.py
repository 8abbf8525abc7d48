"""The cache with real photographs and a small real tower: what it computes, when, and what a killed run leaves."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tower import count_computed, small_backbone

from zsmld import console, files
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.images import known_files, token_cache, token_store
from zsmld.images.opening import ImageError, open_image
from zsmld.images.token_cache import TokenCache


@pytest.fixture
def own_photographs(photographs, tmp_path):
    return [Path(shutil.copy(path, tmp_path)) for path in photographs[:6]]


@pytest.fixture(autouse=True)
def quiet():
    console.configure(quiet=True)
    yield
    console.configure()


def shard_files(root):
    return {path.name: path.read_bytes() for path in root.glob("*/0*")}


def test_tokens_are_those_of_the_backbone(backbone, photographs, tmp_path):
    store = TokenCache(tmp_path, backbone).fill(photographs, batch_size=8)
    assert (len(store), store.tokens, store.channels) == (20, 4, 96)
    assert store.errors == {}
    rows = [13, 0, 0, 19, -1]
    images = [backbone.preprocess(open_image(photographs[row])) for row in rows]
    expected = backbone.encode(images, 8).half().float().numpy()
    read = store.read(rows)
    assert read.dtype == np.float32
    assert np.array_equal(read, expected)
    assert np.array_equal(store.read(np.array(rows)), expected)
    assert store.read([]).shape == (0, 4, 96)


def test_an_index_out_of_range_is_an_error(backbone, photographs, tmp_path):
    with pytest.raises(IndexError):
        TokenCache(tmp_path, backbone).fill(photographs[:2]).read([2])


def test_no_photographs_give_an_empty_store(backbone, tmp_path):
    store = TokenCache(tmp_path, backbone).fill([])
    assert (len(store), store.tokens, store.read([]).shape) == (0, 4, (0, 4, 96))


def test_nothing_is_computed_twice(backbone, photographs, tmp_path, monkeypatch):
    counts = count_computed(monkeypatch, backbone)
    cache = TokenCache(tmp_path / "cache", backbone)
    first = cache.fill([*photographs[:5], photographs[0]], batch_size=4)
    assert sum(counts) == 5
    assert np.array_equal(first.read([5]), first.read([0]))
    renamed = [Path(shutil.copy(path, tmp_path / f"copy of {path.name}")) for path in photographs[3:7]]
    second = TokenCache(tmp_path / "cache", small_backbone()).fill(renamed, batch_size=4)
    assert sum(counts) == 7
    assert np.array_equal(second.read([0, 1]), first.read([3, 4]))


def test_unchanged_files_are_not_read_again(backbone, own_photographs, tmp_path, monkeypatch):
    cache = TokenCache(tmp_path / "cache", backbone)
    before = cache.fill(own_photographs)
    read = []
    real = token_cache.read_image
    monkeypatch.setattr(token_cache, "read_image", lambda path: (read.append(path), real(path))[1])
    assert np.array_equal(cache.fill(own_photographs).read(range(6)), before.read(range(6)))
    assert read == []
    # Another photograph of the same size and date.
    status = own_photographs[0].stat()
    data = bytearray(own_photographs[0].read_bytes())
    data[-20] ^= 1
    own_photographs[0].write_bytes(data)
    os.utime(own_photographs[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    cache.fill(own_photographs)
    assert read == [own_photographs[0]]


def test_a_file_name_that_is_no_text_is_remembered(backbone, own_photographs, tmp_path, monkeypatch):
    odd = own_photographs[0].rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    cache = TokenCache(tmp_path / "cache", backbone)
    before = cache.fill([odd]).read([0])
    monkeypatch.setattr(token_cache, "read_image", None)
    assert np.array_equal(cache.fill([odd]).read([0]), before)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1, 2]}', '{"a": ["x", "y", 3]}', "\udcff"])
def test_a_damaged_list_of_known_files_costs_time_only(content, backbone, photographs, tmp_path):
    cache = TokenCache(tmp_path, backbone)
    cache.fill(photographs[:2])
    (tmp_path / known_files.FILE_NAME).write_text(content, errors="surrogateescape")
    assert len(cache.fill(photographs[:2])) == 2
    assert len(json.loads((tmp_path / known_files.FILE_NAME).read_text())) == 2


def test_backbones_do_not_share_tokens(backbone, photographs, tmp_path):
    stores = [TokenCache(tmp_path, each).fill(photographs[:2]) for each in (backbone, small_backbone(seed=1))]
    assert len(list(tmp_path.glob("*/00000.npy"))) == 2
    assert not np.array_equal(stores[0].read([0]), stores[1].read([0]))


def bad_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no photograph")
    return [tmp_path / "empty.jpg", tmp_path / "absent.jpg", tmp_path / "text.jpg"]


def test_bad_photographs_are_told_after_the_good_ones_are_kept(backbone, photographs, tmp_path, monkeypatch):
    bad = bad_files(tmp_path)
    counts = count_computed(monkeypatch, backbone)
    cache = TokenCache(tmp_path / "cache", backbone)
    with pytest.raises(InputError) as caught:
        cache.fill([photographs[0], *bad, photographs[1]])
    assert str(caught.value).startswith(f"{bad[0]}: is empty (and 2 more like it). ")
    assert sum(counts) == 2
    cache.fill(photographs[:2])
    assert sum(counts) == 2


def test_bad_photographs_can_be_skipped(backbone, photographs, tmp_path):
    bad = bad_files(tmp_path)
    store = TokenCache(tmp_path / "cache", backbone).fill([photographs[0], *bad, photographs[1]], on_error="skip")
    assert [store.errors[row].path for row in (1, 2, 3)] == bad
    assert len(store) == 5
    alone = TokenCache(tmp_path / "cache", backbone).fill(photographs[:2])
    assert np.array_equal(store.read([0, 4]), alone.read([0, 1]))
    for rows in ([0, 2], [-3]):
        with pytest.raises(ImageError, match="no such file"):
            store.read(rows)
    only_bad = TokenCache(tmp_path / "cache", backbone).fill(bad, on_error="skip")
    assert len(only_bad) == len(only_bad.errors) == 3


def test_a_file_that_changes_while_it_is_read_gets_its_own_tokens(backbone, own_photographs, tmp_path, monkeypatch):
    """The digest is that of the bytes which were decoded, whatever stands in the file a moment later."""
    real = token_cache.read_image

    def changing(path):
        data = real(path)
        shutil.copy(own_photographs[1], path)
        return data

    monkeypatch.setattr(token_cache, "read_image", changing)
    cache = TokenCache(tmp_path / "cache", backbone)
    first = cache.fill(own_photographs[:1])
    monkeypatch.undo()
    again = cache.fill(own_photographs[:2])
    assert not np.array_equal(first.read([0]), again.read([0]))
    assert np.array_equal(again.read([0]), again.read([1]))


def test_tokens_that_are_no_numbers_are_refused(photographs, tmp_path):
    backbone = small_backbone()
    with torch.no_grad():
        backbone.tower.conv1[0].weight.fill_(1e30)
    with pytest.raises(InputError, match="half precision") as caught:
        TokenCache(tmp_path, backbone).fill(photographs[:2])
    assert caught.value.path == photographs[0]


def test_shards_are_cut_by_number_and_by_time(backbone, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(token_store, "SHARD_IMAGES", 10)
    store = TokenCache(tmp_path / "a", backbone).fill(photographs, batch_size=4)
    assert len(list((tmp_path / "a").glob("*/*.npy"))) == 3
    monkeypatch.setattr(token_cache, "SECONDS_BETWEEN_SHARDS", 0.0)
    every = TokenCache(tmp_path / "b", backbone).fill(photographs, batch_size=4)
    assert len(list((tmp_path / "b").glob("*/*.npy"))) == 5
    mixed = np.random.default_rng(0).permutation(20)
    assert np.array_equal(store.read(mixed), every.read(mixed))


def filled(tmp_path, backbone, photographs):
    cache = TokenCache(tmp_path / "cache", backbone)
    store = cache.fill(photographs[:4])
    return cache, store, cache.folder / "00000.npy", cache.folder / "00000.json"


def test_a_flipped_bit_is_found_when_it_is_read(backbone, photographs, tmp_path):
    _, store, array, _ = filled(tmp_path, backbone, photographs)
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    array.write_bytes(data)
    store.read([0, 1, 2])
    with pytest.raises(InputError) as caught:
        store.read([3])
    assert str(caught.value).startswith(f"{array}: is damaged: ")
    assert str(caught.value).endswith("Delete 00000.npy and 00000.json; their tokens are computed again.")


def test_a_shard_that_is_cut_short_or_gone_is_refused(backbone, photographs, tmp_path):
    cache, store, array, _ = filled(tmp_path, backbone, photographs)
    array.write_bytes(array.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"00000.npy: has \d+ bytes, expected \d+"):
        cache.fill(photographs[:4])
    with pytest.raises(InputError, match="is damaged"):
        store.read([3])
    array.unlink()
    with pytest.raises(InputError, match="has 0 bytes"):
        cache.fill(photographs[:4])
    with pytest.raises(InputError, match="no such file"):
        store.read([3])


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("fingerprint", "sha256:of another", "another backbone"),
        ("shape", [4, 95], "another backbone"),
        ("format_version", 1, "another version"),
        ("images", ["one"], "does not name"),
        ("images", None, "does not name"),
        ("checksums", [1.5, 2, 3, 4], "does not name"),
    ],
)
def test_foreign_shards_are_refused(key, value, reason, backbone, photographs, tmp_path):
    cache, _, _, description = filled(tmp_path, backbone, photographs)
    files.write_json(description, files.read_json(description) | {key: value})
    with pytest.raises(InputError, match=reason) as caught:
        cache.fill(photographs[:4])
    assert caught.value.path == description


ANY_JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda part: st.lists(part), max_leaves=5)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    made = token_store.Shards(tmp_path_factory.mktemp("shards"), "sha256:it", (2, 3))
    made.write(["a", "b"], np.zeros((2, 2, 3), dtype=np.float16))
    return made


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from(["fingerprint", "shape", "images", "checksums", "format_version"]), value=ANY_JSON)
def test_any_description_is_read_or_an_input_error(shards, key, value):
    path = shards.folder / "00000.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {key: value}))
    try:
        shards.read_index()
    except InputError as error:
        assert str(error).startswith(str(shards.folder))
    finally:
        path.write_text(whole)


def test_a_failed_write_keeps_what_was_there(backbone, photographs, tmp_path, monkeypatch):
    cache, _, _, _ = filled(tmp_path, backbone, photographs)
    before = shard_files(tmp_path / "cache")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFailure, match="no space left"):
        cache.fill(photographs)
    monkeypatch.undo()
    assert shard_files(tmp_path / "cache") == before
    assert len(cache.fill(photographs)) == 20


def test_a_damaged_shard_is_mended_as_the_message_says(backbone, photographs, tmp_path):
    cache, store, array, description = filled(tmp_path, backbone, photographs)
    before = store.read(range(4))
    description.write_text("{")
    with pytest.raises(InputError, match=r"Delete 00000.npy and 00000.json") as caught:
        cache.fill(photographs[:4])
    assert caught.value.path == description
    array.unlink()
    description.unlink()
    assert np.array_equal(cache.fill(photographs[:4]).read(range(4)), before)


def test_a_shard_of_large_images_has_fewer_of_them(backbone, photographs, tmp_path, monkeypatch):
    """What waits to be written is held in memory."""
    monkeypatch.setattr(token_store, "SHARD_BYTES", 10 * 4 * 96 * 2 + 1)
    cache = TokenCache(tmp_path, backbone)
    cache.fill(photographs, batch_size=5)
    assert sorted(path.stat().st_size - 128 for path in cache.folder.glob("*.npy")) == [10 * 4 * 96 * 2] * 2
    monkeypatch.setattr(token_store, "SHARD_BYTES", 1)
    assert cache.shards.capacity == 1


def test_an_interrupted_run_keeps_what_it_computed(backbone, photographs, tmp_path, monkeypatch):
    cache = TokenCache(tmp_path, backbone)
    encode = type(backbone).encode
    calls = []

    def interrupted(self, images, batch_size):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(self, images, batch_size)

    monkeypatch.setattr(type(backbone), "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.fill(photographs, batch_size=4)
    monkeypatch.setattr(type(backbone), "encode", encode)
    counts = count_computed(monkeypatch, backbone)
    cache.fill(photographs, batch_size=4)
    assert sum(counts) == 12


def test_another_process_is_waited_for(backbone, photographs, tmp_path, capfd, monkeypatch):
    console.configure()
    monkeypatch.setattr(token_cache, "_SECONDS_BETWEEN_TRIES", 0.01)
    cache = TokenCache(tmp_path, backbone)
    held = threading.Event()

    def hold():
        with files.locked(cache.folder):
            held.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    started = time.monotonic()
    assert len(cache.fill(photographs[:2])) == 2
    assert time.monotonic() - started > 0.2
    holder.join()
    assert capfd.readouterr().err.count("waiting for another zsmld process") == 1


def test_a_folder_that_cannot_be_written_is_not_waited_for(backbone, photographs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        TokenCache(tmp_path / "file", backbone).fill(photographs[:2])


def test_what_a_killed_run_left_is_removed(backbone, photographs, tmp_path):
    cache = TokenCache(tmp_path, backbone)
    cache.folder.mkdir()
    (cache.folder / "00000.npy").write_bytes(b"a shard without its description")
    (cache.folder / ".zsmld-0123456789abcdef.tmp").write_bytes(b"half a file")
    (tmp_path / ".zsmld-0123456789abcdef.tmp").write_bytes(b"half a list")
    store = cache.fill(photographs[:2])
    assert store.read([0, 1]).shape == (2, 4, 96)
    assert sorted(path.name for path in cache.folder.iterdir()) == [".lock", "00000.json", "00000.npy"]
    assert not list(tmp_path.glob(".zsmld-*"))


KILLING = """
import os, random, signal, sys, time, torch
from pathlib import Path
from zsmld.images import token_cache, token_store
from zsmld.images.backbones import BackboneSpec, create_backbone
token_store.SHARD_IMAGES = 4
torch.manual_seed(0)
torch.set_num_threads(1)
backbone = create_backbone(BackboneSpec("timm:test_resnet", "random", image_size=64))

def run(root, seconds=None):
    started, child = time.monotonic(), os.fork()
    if not child:
        token_cache.TokenCache(Path(root), backbone).fill([Path(each) for each in sys.argv[3:]], batch_size=2)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return time.monotonic() - started

seconds = run(sys.argv[1])
random.seed(0)
for _ in range(5):
    shards = len(list(Path(sys.argv[2]).glob("*/*.json")))
    run(sys.argv[2], random.uniform(0.0, 0.4) * seconds)
    assert len(list(Path(sys.argv[2]).glob("*/*.json"))) >= shards
    print(shards)
run(sys.argv[2])
"""


def test_killed_at_any_moment_and_resumed_gives_the_same_tokens(photographs, tmp_path):
    """Killed by the system some milliseconds in, five times; the sixth run goes on where they stopped."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = subprocess.run([sys.executable, "-c", KILLING, whole, broken, *photographs], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert len(shard_files(whole)) == 10
    assert shard_files(broken) == shard_files(whole)
