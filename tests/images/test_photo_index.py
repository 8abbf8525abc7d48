"""An index of real photographs with a small real tower: what a reader finds after whatever was done to them."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from small_tower import count_computed, small_backbone

from zsmld import console, files
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.images import index_update, manifest, token_cache, token_store
from zsmld.images.index_update import update_index
from zsmld.images.manifest import Manifest
from zsmld.images.opening import ImageError, open_image
from zsmld.images.photo_index import PhotoIndex
from zsmld.tensors import read_tensors, write_tensors


@pytest.fixture(autouse=True)
def quiet():
    console.configure(quiet=True)
    yield
    console.configure()


@pytest.fixture
def folder(photographs, tmp_path, monkeypatch):
    """Ten photographs in `photos/`, six of them in `photos/below/`; their parent is the current folder."""
    monkeypatch.chdir(tmp_path)
    below = tmp_path / "photos" / "below"
    below.mkdir(parents=True)
    for number, path in enumerate(photographs[:10]):
        shutil.copy(path, below if number >= 4 else below.parent)
    return tmp_path


@pytest.fixture
def computed(monkeypatch, backbone):
    return count_computed(monkeypatch, backbone)


INDEX = Path("photographs.index")


def update(backbone, *inputs, index=INDEX, **options):
    """As `zsmld index` does."""
    inputs = [Path(each) for each in inputs or ("photos",)]
    paths = [path for each in inputs for path in ([each] if each.is_file() else sorted(each.rglob("*.jpg")))]
    return update_index(Path(index), backbone, paths, inputs=inputs, batch_size=4, **options)


def opened(backbone, index=INDEX):
    return PhotoIndex.open(
        Path(index), fingerprint=backbone.fingerprint, shape=(backbone.tokens, backbone.channels)
    )  # fmt: skip


def seen(index):
    """All that a reader finds."""
    good = [row for row in range(len(index)) if row not in index.errors]
    errors = {str(index.paths[row]): str(error) for row, error in index.errors.items()}
    tokens = dict(zip([str(index.paths[row]) for row in good], index.read(good), strict=True))
    return errors, tokens


def assert_same(one, other):
    assert one[0] == other[0] and list(one[1]) == list(other[1])
    assert all(np.array_equal(one[1][name], other[1][name]) for name in one[1])


def numbers(changes):
    return changes.added, changes.changed, changes.deleted, changes.unchanged, changes.failed


def test_an_index_holds_the_tokens_of_the_backbone_in_the_order_of_paths(backbone, folder):
    # In the order of bytes it would come before `below/`.
    Path("photos/00.jpg").rename("photos/below-1.jpg")
    changes = update(backbone)
    assert numbers(changes) == (10, 0, 0, 0, 0) and changes.computed == changes.given == 10
    index = opened(backbone)
    assert len(index) == 10 and index.errors == {} and index.finished
    assert list(index.paths) == sorted(Path("photos").rglob("*.jpg"))
    assert index.paths[2:4] == [index.paths[2], index.paths[3]]
    rows = [7, 0, 0, -1]
    images = [backbone.preprocess(open_image(index.paths[row])) for row in rows]
    read = index.read(rows)
    assert read.dtype == np.float32 and read.shape == (4, 4, 96)
    assert np.array_equal(read, backbone.encode(images, 4).half().float().numpy())


def test_what_was_done_to_a_folder_is_counted_and_what_is_new_is_computed(backbone, folder, computed, photographs):
    update(backbone)
    computed.clear()
    assert numbers(update(backbone)) == (0, 0, 0, 10, 0) and computed == []
    shutil.copy(photographs[12], "photos/below/new.jpg")
    shutil.copy(photographs[13], "photos/below/04.jpg")
    Path("photos/below/05.jpg").unlink()
    Path("photos/broken.jpg").write_bytes(b"no photograph")
    Path("photos/00.jpg").write_bytes(photographs[0].read_bytes())
    changes = update(backbone)
    assert numbers(changes) == (1, 1, 1, 8, 1) and sum(computed) == changes.computed == 2
    assert changes.told() == "added 1, changed 1, deleted 1, unchanged 8, failed 1"
    assert [error.path for error in changes.failures] == [Path("photos/broken.jpg")]
    after = seen(opened(backbone))
    update(backbone, index="at once.index")
    assert_same(after, seen(opened(backbone, "at once.index")))


def test_moved_and_copied_photographs_are_not_computed_again(backbone, folder, computed):
    update(backbone)
    before = opened(backbone).read(range(10))
    computed.clear()
    Path("photos/below").rename("photos/elsewhere")
    shutil.copy("photos/00.jpg", "photos/copy of 00.jpg")
    Path("photos/01.jpg").rename("photos/9.jpg")
    changes = update(backbone)
    assert numbers(changes) == (8, 0, 7, 3, 0) and computed == [] and changes.computed == 0
    index = opened(backbone)
    assert index.paths[:5] == [Path("photos", f"{name}.jpg") for name in ("00", "02", "03", "9", "copy of 00")]
    assert np.array_equal(index.read([0, 4, 3, 5]), before[[0, 0, 1, 4]])


def test_photographs_are_known_however_their_folder_is_named(backbone, folder, computed, monkeypatch):
    update(backbone)
    computed.clear()
    monkeypatch.setattr(token_cache, "read_image", None)
    (folder / "link").symlink_to("photos")
    for name in (folder / "photos", "link", "photos/../photos", folder / "link"):
        assert numbers(update(backbone, name)) == (0, 0, 0, 10, 0)
    assert numbers(update(backbone, "photos", "link/below", "photos/00.jpg")) == (0, 0, 0, 10, 0)
    monkeypatch.chdir(folder / "photos" / "below")
    assert numbers(update(backbone, ".", index="../../photographs.index")) == (0, 0, 0, 6, 0)
    assert opened(backbone, "../../photographs.index").paths[4:] == [Path(f"{row:02d}.jpg") for row in range(4, 10)]
    monkeypatch.chdir("/")
    paths = opened(backbone, folder / INDEX).paths
    assert paths[0] == folder / "photos/00.jpg" or paths[0] == (folder / "photos/00.jpg").relative_to("/")


def test_an_index_moves_along_with_its_photographs(backbone, folder, monkeypatch):
    (folder / "home").mkdir()
    for name in ("photos", INDEX):
        (folder / name).rename(folder / "home" / name) if (folder / name).exists() else None
    monkeypatch.chdir(folder / "home")
    update(backbone)
    monkeypatch.chdir(folder)
    Path("home").rename("abroad")
    monkeypatch.chdir(folder / "abroad")
    monkeypatch.setattr(token_cache, "read_image", None)
    assert opened(backbone).stale() == (0, 0)
    assert numbers(update(backbone)) == (0, 0, 0, 10, 0)


def test_only_what_was_below_the_given_folders_is_taken_for_deleted(backbone, folder):
    shutil.copytree("photos", "others")
    Path("others/scan.dat").write_bytes(Path("photos/00.jpg").read_bytes())
    update(backbone, "photos", "others", "others/scan.dat")
    for name in ("photos/00.jpg", "photos/below/04.jpg", "others/00.jpg"):
        Path(name).unlink()
    assert opened(backbone).stale() == (0, 3)
    assert numbers(update(backbone, "photos/01.jpg")) == (0, 0, 0, 1, 0)
    assert numbers(update(backbone, "photos/below")) == (0, 0, 1, 5, 0)
    assert numbers(update(backbone, "others")) == (0, 0, 1, 9, 0)
    index = opened(backbone)
    assert index.stale() == (0, 1) and Path("photos/00.jpg") in index.paths
    # No folder is searched for such names, but it is there.
    assert Path("others/scan.dat") in index.paths and index.read(range(len(index))).shape[0] == 19


def test_a_photograph_that_failed_is_tried_again_when_it_or_what_opens_it_has_changed(
    backbone, folder, photographs, monkeypatch
):
    for name in ("a", "b"):
        Path(f"photos/{name}.jpg").write_bytes(b"no photograph")
    assert numbers(update(backbone)) == (10, 0, 0, 0, 2)
    tried, real = [], token_cache.read_image
    monkeypatch.setattr(token_cache, "read_image", lambda path: (tried.append(path), real(path))[1])
    changes = update(backbone)
    assert numbers(changes) == (0, 0, 0, 10, 2) and tried == []
    assert str(changes.failures[0]).startswith("photos/a.jpg: is no image of a known format")
    shutil.copy(photographs[12], "photos/a.jpg")
    assert numbers(update(backbone)) == (0, 1, 0, 10, 1) and tried == [Path("photos/a.jpg")]
    monkeypatch.setattr(manifest, "opened_by", lambda: "another Pillow")
    assert opened(backbone).stale() == (1, 0)
    assert numbers(update(backbone)) == (0, 0, 0, 11, 1) and tried[1:] == [Path("photos/b.jpg")]
    assert opened(backbone).stale() == (0, 0)


def test_errors_are_told_by_row(backbone, folder):
    Path("photos/below/05.jpg").write_bytes(b"")
    update(backbone)
    index = opened(backbone)
    row = index.paths[:].index(Path("photos/below/05.jpg"))
    assert list(index.errors) == [row] and str(index.errors[row]) == "photos/below/05.jpg: is empty"
    with pytest.raises(ImageError, match="is empty"):
        index.read([0, row])


def test_a_photograph_that_is_gone_when_it_is_read_is_told_and_not_kept(backbone, folder):
    Path("photos/gone.jpg").symlink_to("nowhere")
    changes = update(backbone)
    assert numbers(changes) == (10, 0, 0, 0, 1) and "no such file" in str(changes.failures[0])
    assert len(opened(backbone)) == 10
    Path("photos/00.jpg").unlink()
    Path("photos/00.jpg").symlink_to("nowhere")
    assert numbers(update(backbone)) == (0, 0, 0, 9, 2)
    assert len(opened(backbone)) == 9


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", "übung.jpg".encode(), b"a\nb.jpg", b"  .jpg", b'"[0].jpg'])
def test_any_file_name_is_kept(name, backbone, folder):
    Path("photos/00.jpg").rename(os.fsdecode(b"photos/" + name))
    Path("photos/01.jpg").write_bytes(b"")
    update(backbone)
    index = opened(backbone)
    assert Path(os.fsdecode(b"photos/" + name)) in index.paths and index.stale() == (0, 0)
    assert numbers(update(backbone)) == (0, 0, 0, 9, 1)


def test_what_is_stale_is_counted_without_opening_anything(backbone, folder, monkeypatch):
    update(backbone)
    monkeypatch.setattr(token_cache, "read_image", None)
    os.utime("photos/00.jpg", (0, 0))
    Path("photos/01.jpg").write_bytes(b"another")
    Path("photos/02.jpg").unlink()
    shutil.copy("photos/03.jpg", "photos/new.jpg")
    assert opened(backbone).stale() == (2, 1)


def test_an_index_of_another_backbone_is_refused_and_can_be_replaced(backbone, folder):
    update(backbone)
    before = seen(opened(backbone))
    other = small_backbone(seed=1)
    for call in (opened, update):
        with pytest.raises(InputError, match="holds tokens of another backbone: 4 × 96") as caught:
            call(other)
        assert caught.value.path == INDEX and caught.value.remedy
    assert_same(seen(opened(backbone)), before)
    assert numbers(update(other, "photos/below", force=True)) == (6, 0, 0, 0, 0)
    assert len(opened(other)) == 6 and len(list(Path(INDEX, "tokens").glob("*.npy"))) == 1
    with pytest.raises(InputError, match="another backbone"):
        opened(backbone)


def test_a_folder_of_something_else_is_left_alone(backbone, folder):
    for name in ("00001.json", "00002.npy"):
        Path("photos", name).write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match="is no index of photographs, and not empty"):
            update(backbone, index="photos", force=force)
    assert len(list(Path("photos").rglob("*.*"))) == 12
    Path("empty").mkdir()
    Path("empty/.lock").touch()
    assert update(backbone, index="empty").added == 10
    Path("file").touch()
    with pytest.raises(EnvironmentFailure, match="is a file, a folder was expected"):
        update(backbone, index="file")


def test_where_there_is_no_index_the_reader_says_so(backbone, folder):
    for name in ("photos", "absent"):
        with pytest.raises(InputError, match=r"holds no index of photographs\. Make one with zsmld index"):
            opened(backbone, name)


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def of_another_version(path):
    arrays, about = read_tensors(path)
    write_tensors(path, arrays, about | {"format_version": "9"})


def of_another_kind(path):
    write_tensors(path, {"embeddings": np.zeros((2, 3))}, {"format_version": "1"})


def with_fewer_names(path):
    arrays, about = read_tensors(path)
    write_tensors(path, arrays | {"names": arrays["names"][:4]}, about)


@pytest.mark.parametrize("damage", [cut, flip, of_another_version, of_another_kind, with_fewer_names])
def test_a_damaged_manifest_is_told_and_the_index_made_anew(damage, backbone, folder):
    update(backbone)
    damage(INDEX / manifest.FILE_NAME)
    damaged = (INDEX / manifest.FILE_NAME).read_bytes()
    for call in (opened, update):
        with pytest.raises(InputError, match=r"zsmld index --force") as caught:
            call(backbone)
        assert caught.value.path == INDEX / manifest.FILE_NAME
    assert (INDEX / manifest.FILE_NAME).read_bytes() == damaged
    assert update(backbone, force=True).added == len(opened(backbone)) == 10


def test_a_damaged_shard_is_told_and_mended_as_the_message_says(backbone, folder, computed, monkeypatch):
    monkeypatch.setattr(token_store, "SHARD_IMAGES", 4)
    update(backbone)
    before = seen(opened(backbone))
    array, description = INDEX / "tokens/00001.npy", INDEX / "tokens/00001.json"
    flip(array)
    index = opened(backbone)
    with pytest.raises(InputError, match=r"Delete 00001.npy and 00001.json") as caught:
        index.read(range(10))
    assert caught.value.path == array
    cut(array)
    for call in (opened, update):
        with pytest.raises(InputError, match=r"00001.npy: has \d+ bytes"):
            call(backbone)
    array.unlink()
    description.unlink()
    with pytest.raises(InputError, match=r"lacks the tokens of 4 of 10 photographs\. Run zsmld index again"):
        opened(backbone)
    computed.clear()
    changes = update(backbone)
    assert numbers(changes) == (0, 0, 0, 10, 0) and sum(computed) == changes.computed == 4
    assert_same(seen(opened(backbone)), before)


def test_the_room_of_what_was_deleted_is_given_back(backbone, folder):
    update(backbone)
    (shard,) = Path(INDEX, "tokens").glob("*.npy")
    size = shard.stat().st_size
    Path("photos/00.jpg").unlink()
    update(backbone)
    assert shard.stat().st_size == size
    shutil.rmtree("photos/below")
    update(backbone)
    (shard,) = Path(INDEX, "tokens").glob("*.npy")
    assert shard.stat().st_size == (size - 128) * 3 / 10 + 128
    assert opened(backbone).read(range(3)).shape[0] == 3


def test_a_reader_whose_shards_another_process_wrote_anew_says_so(backbone, folder):
    update(backbone)
    index = opened(backbone)
    before = index.read(range(10))
    Path("photos/below/04.jpg").unlink()
    update(backbone)
    assert np.array_equal(index.read(range(10)), before)
    shutil.rmtree("photos/below")
    update(backbone)
    with pytest.raises(InputError, match=r"was brought up to date while it was read\. Run the command again") as caught:
        index.read([0])
    assert caught.value.path == INDEX
    assert np.array_equal(opened(backbone).read(range(4)), before[:4])


def test_a_full_disk_leaves_an_index_that_can_be_used(backbone, folder, photographs, monkeypatch):
    update(backbone, "photos/below")
    before = seen(opened(backbone))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFailure, match="no space left"):
        update(backbone)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert_same(seen(opened(backbone)), before)
    assert numbers(update(backbone)) == (4, 0, 0, 6, 0)
    assert not list(INDEX.rglob(".zsmld-*"))


def test_an_interrupted_run_keeps_what_it_computed(backbone, folder, monkeypatch):
    Path("photos/00.jpg").write_bytes(b"")
    encode, calls = type(backbone).encode, []

    def interrupted(self, images, batch_size):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(self, images, batch_size)

    monkeypatch.setattr(type(backbone), "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        update(backbone)
    monkeypatch.setattr(type(backbone), "encode", encode)
    index = opened(backbone)
    assert (len(index), index.finished) == (4, False) and index.read(range(4)).shape[0] == 4
    counts = count_computed(monkeypatch, backbone)
    assert numbers(update(backbone)) == (5, 0, 0, 4, 1) and sum(counts) == 5
    assert opened(backbone).finished


def test_what_a_killed_run_left_is_removed(backbone, folder):
    update(backbone, "photos/below")
    (INDEX / ".zsmld-0123456789abcdef.tmp").write_bytes(b"half a manifest")
    (INDEX / "tokens/.zsmld-0123456789abcdef.tmp").write_bytes(b"half a shard")
    (INDEX / "tokens/00001.npy").write_bytes(b"a shard without its description")
    assert numbers(update(backbone)) == (4, 0, 0, 6, 0)
    names = ["00000.json", "00000.npy", "00001.json", "00001.npy"]
    assert sorted(path.name for path in INDEX.rglob("*")) == [".lock", *names, manifest.FILE_NAME, index_update.TOKENS]


def test_another_process_is_waited_for(backbone, folder, monkeypatch, capfd):
    console.configure()
    monkeypatch.setattr(token_cache, "_SECONDS_BETWEEN_TRIES", 0.01)
    waiting, told = threading.Event(), []
    monkeypatch.setattr(console, "info", lambda line: (told.append(line), waiting.set()))

    def hold():
        with files.locked(INDEX):
            held.set()
            waiting.wait(10)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert update(backbone).added == 10
    holder.join()
    assert told == [f"waiting for another zsmld process that fills {INDEX}"]


def test_nothing_is_written_twice_for_the_same_photograph(backbone, folder):
    shutil.copytree("photos", "copies")
    changes = update(backbone, "photos", "copies")
    assert numbers(changes) == (20, 0, 0, 0, 0) and changes.computed == 10
    (description,) = Path(INDEX, "tokens").glob("*.json")
    assert len(json.loads(description.read_text())["images"]) == 10


def test_the_manifest_of_an_index_without_photographs_is_one(backbone, folder):
    update(backbone)
    shutil.rmtree("photos")
    Path("photos").mkdir()
    assert numbers(update(backbone)) == (0, 0, 10, 0, 0)
    index = opened(backbone)
    assert (len(index), list(index.paths), index.read([]).shape) == (0, [], (0, 4, 96))
    assert Manifest.read(INDEX).entries == {} and not list(Path(INDEX, "tokens").iterdir())


KILLING = """
import os, random, shutil, signal, sys, time, torch
from pathlib import Path
from zsmld.images import token_store
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.index_update import update_index
from zsmld.images.photo_index import PhotoIndex
token_store.SHARD_IMAGES = 4
torch.manual_seed(0)
torch.set_num_threads(1)
backbone = create_backbone(BackboneSpec("timm:test_resnet", "random", image_size=64))
photographs = [Path(each) for each in sys.argv[2:]]

def dying(function, step):
    def counted(path, *given, **named):
        global steps
        if path.suffix != ".tmp" or given:
            if steps == step:
                os._exit(9)
            steps += 1
        return function(path, *given, **named)
    return counted

def run(index, seconds=None, step=None):
    global steps
    started, child = time.monotonic(), os.fork()
    if not child:
        steps = 0
        if step is not None:
            for name in ("replace", "unlink"):
                setattr(Path, name, dying(getattr(Path, name), step))
        paths = sorted(Path("photos").iterdir())
        update_index(Path(index), backbone, paths, inputs=[Path("photos")], batch_size=2)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL, 9 << 8), status
    return time.monotonic() - started if step is None else status == 0

def view(index):
    found = PhotoIndex.open(
        Path(index), fingerprint=backbone.fingerprint, shape=(backbone.tokens, backbone.channels)
    )
    good = [row for row in range(len(found)) if row not in found.errors]
    return list(found.paths), list(found.errors), found.read(good).tobytes()

def put(source, name):
    shutil.copy(source, Path("photos", name))

os.chdir(sys.argv[1])
Path("photos").mkdir()
for number in range(12):
    put(photographs[number], f"{number}.jpg")
run("broken")
shutil.copytree("broken", "before")
for number in range(6):
    put(photographs[number + 12], f"{number}.jpg")
for number in (6, 7):
    Path(f"photos/{number}.jpg").unlink()
for number in (18, 19, 0):
    put(photographs[number], f"{number}.jpeg")
Path("photos/bad.jpg").write_bytes(b"")
seconds = run("whole")
random.seed(0)
for _ in range(6):
    run("broken", random.uniform(0.0, 0.4) * seconds)
run("broken")
step, is_whole = 0, False
while not is_whole:
    shutil.rmtree("stepped", ignore_errors=True)
    shutil.copytree("before", "stepped")
    is_whole = run("stepped", step=step)
    view("stepped")
    run("stepped")
    assert view("stepped") == view("whole"), step
    step += 1
print(step)
"""


def test_killed_at_any_moment_and_resumed_gives_the_same_index(backbone, photographs, tmp_path, monkeypatch):
    """Of a folder that has changed since the last run: killed some milliseconds in, six times, then left to finish; and
    killed before each renaming and removal in turn, after which it can be read, and finished."""
    done = subprocess.run([sys.executable, "-c", KILLING, tmp_path, *photographs], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) > 10
    monkeypatch.chdir(tmp_path)
    errors, tokens = seen(opened(backbone, "broken"))
    assert list(errors) == ["photos/bad.jpg"] and len(tokens) == 13
    assert_same((errors, tokens), seen(opened(backbone, "whole")))
    index = opened(backbone, "broken")
    assert index.finished and index.stale() == (0, 0)
    rows = [digest for _, held in index._store.shards.each() for digest in held]
    assert len(rows) <= 13 / 0.75 and not list(tmp_path.rglob(".zsmld-*"))
    assert index_update.TOKENS in {path.name for path in Path("broken").iterdir()}
