"""Real folders with links, hidden files and names that are no UTF-8; each photograph once, and the count adds up."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zsmld.errors import InputError, UsageError
from zsmld.images.opening import IMAGE_SUFFIXES
from zsmld.prediction.inputs import Photographs, find_images


@pytest.fixture
def at(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def link(target, name):
    Path(name).symlink_to(target)


def found(*inputs):
    return [path.as_posix() for path in find_images(inputs).paths]


def listed(monkeypatch, data, *inputs):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return find_images(inputs or ["-"]).paths


def test_folders_are_walked_in_the_order_of_their_parts(at):
    touch("p/b/2.JPG", "p/b/1.png", "p/a.webp", "p/b.jpg", "p/b c/3.heic", "p/b/notes.txt", "p/B/0.avif")
    photographs = find_images(["p"])
    expected = ["p/B/0.avif", "p/a.webp", "p/b/1.png", "p/b/2.JPG", "p/b c/3.heic", "p/b.jpg"]
    assert [path.as_posix() for path in photographs.paths] == expected
    assert photographs.skipped == 1
    assert sorted(photographs.paths) == list(photographs.paths)


def test_every_suffix_is_found(at):
    touch(*(f"p/{number}{suffix.upper()}" for number, suffix in enumerate(IMAGE_SUFFIXES)))
    assert len(found("p")) == len(IMAGE_SUFFIXES)


def test_each_photograph_once_in_the_order_of_the_inputs(at):
    touch("p/a.jpg", "p/b.jpg", "q/c.jpg", "p/notes.txt")
    assert found("q", "p/b.jpg", "./p//", "p/b.jpg", "q/c.jpg") == ["q/c.jpg", "p/b.jpg", "p/a.jpg"]
    assert find_images(["p", "p/notes.txt"]) == Photographs((Path("p/a.jpg"), Path("p/b.jpg"), Path("p/notes.txt")))
    # The second holds nothing that the first has not, and is no mistake.
    assert found("p", "p/../p", str(at / "p")) == ["p/a.jpg", "p/b.jpg"]
    touch("deep/er/d.jpg")
    assert found("deep/er", "deep") == found("deep", "deep/er") == ["deep/er/d.jpg"]


def test_the_current_folder(at):
    touch("a.jpg", "b/c.jpg", "notes.txt")
    assert found(".") == ["a.jpg", "b/c.jpg"]
    assert find_images([".", "notes.txt"]).skipped == 0


def test_a_named_file_is_taken_whatever_it_is_called(at):
    touch("scan.dat", ".hidden.jpg", "[a].jpg", "a.jpg", "-")
    assert found("scan.dat", ".hidden.jpg", "./-") == ["scan.dat", ".hidden.jpg", "-"]
    # It is no pattern: a file has that name.
    assert found("[a].jpg") == ["[a].jpg"]
    link("nowhere", "dangling.jpg")
    assert found("dangling.jpg") == ["dangling.jpg"]


def test_hidden_files_are_skipped_and_hidden_folders_not_entered(at):
    touch("p/a.jpg", "p/._a.jpg", "p/.DS_Store", "p/.thumbnails/a.jpg", "p/.thumbnails/b.txt")
    assert find_images(["p"]) == Photographs((Path("p/a.jpg"),), skipped=2)
    assert found("p/.thumbnails") == ["p/.thumbnails/a.jpg"]


def test_thumbnails_of_a_gallery_are_no_photographs(at):
    touch("a.jpg", "gallery/zsmld-gallery.json", "gallery/thumbnails/0.jpg", "trip/b.jpg")
    assert find_images(["."]) == Photographs((Path("a.jpg"), Path("trip/b.jpg")), skipped=0)
    # Asked for by its name it is a folder like any other.
    assert find_images(["gallery"]).paths == (Path("gallery/thumbnails/0.jpg"),)


def test_links_to_folders_are_followed_once(at):
    touch("album/1.jpg", "elsewhere/2.jpg", "elsewhere/below/3.jpg")
    link("../elsewhere", "album/more")
    link("..", "elsewhere/loop")
    link(".", "album/self")
    link("self-loop", "album/self-loop")
    assert found("album") == ["album/1.jpg", "album/more/2.jpg", "album/more/below/3.jpg"]
    # Under its own name where that is asked for too, whatever the order.
    assert found("album", "elsewhere") == ["album/1.jpg", "elsewhere/2.jpg", "elsewhere/below/3.jpg"]
    link("album", "link")
    assert found("link") == ["link/1.jpg", "link/more/2.jpg", "link/more/below/3.jpg"]


def test_names_without_links_come_first(at):
    touch("p/z/1.jpg")
    link("z", "p/a")
    assert found("p") == ["p/z/1.jpg"]


def test_a_file_that_links_lead_to_is_listed_once(at):
    touch("p/z/1.jpg", "other/2.jpg", "other/3.dat", "p/z/notes.txt")
    link("z/1.jpg", "p/first.jpg")
    link("../other/2.jpg", "p/second.jpg")
    link("../other/2.jpg", "p/third.jpg")
    link("../other/3.dat", "p/fourth.jpg")
    link("gone.jpg", "p/dangling.jpg")
    link("circle.jpg", "p/circle.jpg")
    link("z/notes.txt", "p/notes.jpg")
    expected = ["p/circle.jpg", "p/dangling.jpg", "p/fourth.jpg", "p/notes.jpg", "p/second.jpg", "p/z/1.jpg"]
    assert found("p") == expected
    assert found("p", "other") == [name for name in expected if name != "p/second.jpg"] + ["other/2.jpg"]
    (at / "q").mkdir()
    link("../other/2.jpg", "q/only.jpg")
    assert found("q", "other") == ["other/2.jpg"]


def test_patterns(at):
    touch("p/1.jpg", "p/a/2.jpg", "p/a/b/3.jpg", "p/a/b/4.png", "p/a/b/notes.txt", "p/.c/5.jpg", "p/a/.6.jpg", "7.jpg")
    assert found("p/**/*.jpg") == ["p/1.jpg", "p/a/2.jpg", "p/a/b/3.jpg"]
    assert found("p/**/**/*.jpg") == found("p//**/./[1-3].jpg") == found("p/**/*.jpg")
    assert found("**/b/?.png") == ["p/a/b/4.png"]
    assert found("*.jpg") == ["7.jpg"]
    assert found("p/*/2.jpg") == ["p/a/2.jpg"]
    assert found("p/.*/*.jpg") == ["p/.c/5.jpg"]
    assert found(f"{at}/p/[!x]/*.jpg") == [f"{at.as_posix()}/p/a/2.jpg"]
    # Folders that it matches are searched, and what is no image is counted, once.
    assert find_images(["p/*"]) == Photographs(tuple(map(Path, found("p"))), skipped=2)
    assert find_images(["p/**"]) == find_images(["p/**/*"]) == find_images(["p/*"])
    assert found("7.jpg", "p/*.jpg", "*.jpg") == ["7.jpg", "p/1.jpg"]


def test_patterns_among_links(at):
    touch("o/p/1.jpg", "o/q/2.jpg", "o/q/3.jpg")
    link("..", "o/p/up")
    link("../p", "o/p/self")
    link("../q", "o/p/also")
    link("../q/2.jpg", "o/p/a.jpg")
    # Loops end, and a file that is matched under several names is listed once.
    assert found("o/p/**/*.jpg") == ["o/p/1.jpg", "o/p/also/2.jpg", "o/p/also/3.jpg"]
    assert found("o/*/[12].jpg") == ["o/p/1.jpg", "o/q/2.jpg"]
    assert found("o/p/*.jpg", "o/p/also/*.jpg") == ["o/p/1.jpg", "o/p/also/2.jpg", "o/p/also/3.jpg"]
    assert found("o/p/also/*.jpg", "o") == ["o/p/1.jpg", "o/q/2.jpg", "o/q/3.jpg"]
    assert found("o/p/a.*", "o/p/1.*") == ["o/p/a.jpg", "o/p/1.jpg"]
    link("q", "o/before")
    link("q", "o/behind")
    assert found("o/[bq]*") == ["o/q/2.jpg", "o/q/3.jpg"]
    assert found("o/b*") == ["o/before/2.jpg", "o/before/3.jpg"]
    # What one input has already is no reason to refuse another.
    assert found("o/q/2.jpg", "o/q/*.jpg", "o/p/a.*", "o/q/2.*") == ["o/q/2.jpg", "o/q/3.jpg"]


def test_files_on_the_way_of_a_pattern_are_no_unreadable_folders(at, capsys):
    touch("p/1.jpg", "p/a/2.jpg")
    assert found("p/*/*.jpg", "p/*/**/*.jpg") == ["p/a/2.jpg"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "pattern", ["p/*.gif", "q/**/*.jpg", "p/[", "p/1.jpg/*", "p/*/*.jpg", "p/*.txt", "p/*.jpg/**/x"]
)
def test_a_pattern_that_matches_no_image_is_bad_input(at, pattern):
    touch("p/1.jpg", "p/notes.txt")
    with pytest.raises(InputError) as caught:
        find_images([pattern])
    assert str(caught.value).startswith(f"{pattern}: is no file or folder, and as a pattern matches no image (.apng, ")


@pytest.mark.parametrize("inputs", [[], [""], ["p", ""]])
def test_nothing_is_refused(at, inputs):
    touch("p/1.jpg")
    with pytest.raises(UsageError, match="no photograph given"):
        find_images(inputs)


def test_folders_without_images_and_absent_paths_are_bad_input(at):
    touch("p/notes.txt", "p/.1.jpg", "q/1.jpg")
    link(".", "p/self")
    with pytest.raises(InputError, match=r"^p: holds no image \(\.apng, "):
        find_images(["q", "p"])
    for name in ("absent.jpg", "q/1.jpg/x", "a\0b", "x" * 300):
        with pytest.raises(InputError, match="no such file or folder"):
            find_images([name])


def test_a_list_names_one_path_a_line(at, monkeypatch):
    touch("p/1.jpg")
    text = "p/1.jpg\n\n  \nabsent.jpg\r\n p/with space .jpg \np\n./p/1.jpg\n*.jpg\n/x/ü.jpg"
    expected = ["p/1.jpg", "absent.jpg", " p/with space .jpg ", "p", "*.jpg", "/x/ü.jpg"]
    assert listed(monkeypatch, text.encode()) == tuple(map(Path, expected))
    assert listed(monkeypatch, b"\xef\xbb\xbfa.jpg\n") == (Path("a.jpg"),)
    assert listed(monkeypatch, b"p/1.jpg", "-", "-", "p") == (Path("p/1.jpg"),)


def test_a_list_may_be_separated_by_nul(at, monkeypatch):
    assert listed(monkeypatch, b"a\nb.jpg\0c.jpg\0\0 \0") == (Path("a\nb.jpg"), Path("c.jpg"))


def test_names_that_are_no_utf_8_survive(at, monkeypatch):
    name = b"p/caf\xe9.jpg"
    touch(os.fsdecode(name))
    for paths in (listed(monkeypatch, name + b"\n"), listed(monkeypatch, name + b"\0"), find_images(["p"]).paths):
        assert [os.fsencode(path) for path in paths] == [name]
        assert paths[0].exists()


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\0"])
def test_an_empty_list_is_bad_input(monkeypatch, data):
    with pytest.raises(InputError, match="standard input lists no path"):
        listed(monkeypatch, data)


def test_a_closed_standard_input_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        find_images(["-"])


def test_a_list_through_a_real_pipe(at):
    touch("p/1.jpg", "q/2.jpg")
    code = "from zsmld.prediction.inputs import find_images; print(*find_images(['q', '-']).paths)"
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"p/1.jpg\ngone.jpg\n", capture_output=True, check=True
    )  # fmt: skip
    assert done.stdout.split() == [b"q/2.jpg", b"p/1.jpg", b"gone.jpg"]


def test_folders_that_cannot_be_read_are_told(unprivileged, capsys):
    touch(unprivileged / "p/1.jpg", unprivileged / "p/shut/2.jpg", unprivileged / "p/closed/3.jpg")
    for name, mode in (("shut", 0), ("closed", 0o300)):
        (unprivileged / "p" / name).chmod(mode)
    try:
        told = f"{unprivileged}/p/closed, {unprivileged}/p/shut\n"
        for name in ("p", "p*", "p/**/*.jpg"):
            assert find_images([f"{unprivileged}/{name}"]).paths == (unprivileged / "p/1.jpg",)
            warning = capsys.readouterr().err
            assert warning.startswith("zsmld: warning: folders that cannot be read are left out: ")
            assert sorted(warning.split(": ")[-1].strip().split(", ")) == told.strip().split(", ")
        with pytest.raises(InputError, match=r"shut: cannot be read: permission denied"):
            find_images([f"{unprivileged}/p/shut"])
        with pytest.raises(InputError, match="as a pattern matches no image"):
            find_images([f"{unprivileged}/p/sh*"])
    finally:
        for name in ("shut", "closed"):
            (unprivileged / "p" / name).chmod(0o700)


def test_folders_too_deep_to_open_are_told(at, capsys):
    """A name longer than what the system takes: made from inside, as `cd` and `mkdir` can."""
    touch("p/1.jpg")
    folder = os.open("p", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 240, dir_fd=folder)
        below = os.open("d" * 240, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    assert found("p") == ["p/1.jpg"]
    assert "folders that cannot be read are left out: p/ddd" in capsys.readouterr().err


def test_many_unreadable_folders_are_one_short_line(unprivileged, capsys):
    touch(unprivileged / "1.jpg")
    for number in range(12):
        (unprivileged / f"{number:02}").mkdir(mode=0)
    find_images([str(unprivileged)])
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert warning.endswith(", ...\n")
    assert sum(f"{unprivileged}/{number:02}" in warning for number in range(12)) == 10


NAMES = st.sampled_from(["a.jpg", "b.PNG", "c.txt", ".d.jpg", "e", "é.jpg", "[x].jpg", "f g.jpg"])
FOLDERS = st.sampled_from(["", "k", "k/l", "k l", ".m", "k/.n", "o"])


@settings(max_examples=60)
@example(files={(".m", "a.jpg"), ("k", "a.jpg")}, links=[("", "y", ".m"), ("k", "y", ".m")])
@given(
    files=st.sets(st.tuples(FOLDERS, NAMES), max_size=12),
    links=st.lists(st.tuples(FOLDERS, st.sampled_from(["y", "z.jpg"]), st.one_of(FOLDERS, NAMES)), max_size=4),
)
def test_whatever_the_tree_each_file_counts_once(files, links):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder, file in files:
            touch(root / folder / file)
        touch(root / "always.jpg")
        for folder, last, target in links:
            if (root / folder).is_dir() and not os.path.lexists(root / folder / last):
                link(root / target, root / folder / last)
        photographs = find_images([name])
        paths = photographs.paths
        real = [os.path.realpath(path) for path in paths]
        assert len(set(real)) == len(real)
        assert list(paths) == sorted(paths)
        visible = {root / folder / file for folder, file in files if not any(p[:1] == "." for p in folder.split("/"))}
        images = {path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."}
        assert images <= set(paths)
        assert {os.path.realpath(path) for path in images} <= set(real)
        assert photographs.skipped >= len(visible - images)
        if any(root / "k" in path.parents for path in images):
            assert find_images([name, f"{name}/k"]) == photographs
            # What only links lead to has the name that the first input finds it under.
            again = find_images([f"{name}/k", name]).paths
            assert sorted(map(os.path.realpath, again)) == sorted(real)
            assert images <= set(again)
