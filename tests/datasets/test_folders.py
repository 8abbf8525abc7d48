"""Folders of images: with a label file, or one folder a label; with splits, or without."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import CONTENT, as_jsonl, facts, photograph, read

from zsmld.datasets.folders import parse_line, recognise
from zsmld.datasets.records import ImageRecord
from zsmld.errors import InputError

SINGLE = (
    ImageRecord("train/dog/1.jpg", ("dog",), "train"),
    ImageRecord("train/fire_hydrant/1.JPG", ("fire hydrant",), "train"),
    ImageRecord("test/dog/3.png", ("dog",), "test"),
    ImageRecord("test/sea/4.webp", ("sea",), "test"),
)


def colon(image, labels):
    return f"{image}: {', '.join(labels)}\n"


def tabs(image, labels):
    return "\t".join((image, *labels, "\n"))


@pytest.mark.parametrize("line", [colon, tabs])
@pytest.mark.parametrize("each", [False, True])
def test_a_label_file_says_what_the_jsonl_says(tmp_path, line, each, capsys):
    root = tmp_path / "set"
    for record in CONTENT:
        photograph(root / record.image)
        part, name = record.image.split("/")
        file = root / part / "labels.txt" if each else root / "labels.txt"
        with file.open("a") as stream:
            stream.write(line(name if each else record.image, record.labels))
    layout = recognise(root)
    dataset = read(layout)
    assert facts(dataset) == facts(as_jsonl(tmp_path / "jsonl", CONTENT))
    assert all(path.is_file() for path in dataset.image_paths())
    assert [line for line in layout.told if line.endswith("/: val")] == ["val/: val"]
    assert capsys.readouterr().err == ""
    photograph(root / "test/new.jpg")
    read(layout)
    assert "1 images have no line in labels.txt, the first: test/new.jpg" in capsys.readouterr().err


def test_folders_are_labels(tmp_path):
    for record in SINGLE:
        photograph(tmp_path / "set" / record.image)
    (tmp_path / "set/train/empty").mkdir()
    (tmp_path / "set/train/dog/readme.md").touch()
    layout = recognise(tmp_path / "set")
    dataset = read(layout)
    assert layout.name == "one folder a label"
    assert facts(dataset) == facts(as_jsonl(tmp_path / "jsonl", SINGLE))
    assert all(path.is_file() for path in dataset.image_paths()) and "empty" in dataset.vocabulary


def test_without_splits_all_is_train_or_as_the_split_file_says(tmp_path):
    for image in ("dog/1.jpg", "sea/2.jpg"):
        photograph(tmp_path / "set" / image)
    layout = recognise(tmp_path / "set")
    assert any("every image is train" in line for line in layout.told)
    assert {record.split for record in read(layout).records()} == {"train"}
    (tmp_path / "split").write_text("sea/2.jpg\ttest\n")
    assert read(layout, split_file=tmp_path / "split").images == ("sea/2.jpg",)
    (tmp_path / "set").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="no such folder of images"):
        read(layout)
    assert len(read(layout, images=tmp_path / "moved")) == 2


def test_folders_that_are_no_labels_are_not_recognised(tmp_path):
    assert recognise(tmp_path) is None
    photograph(tmp_path / "a/images/1.jpg")
    photograph(tmp_path / "b/1.jpg")
    photograph(tmp_path / "b/dog/1.jpg")
    photograph(tmp_path / "c/train/1.jpg")
    photograph(tmp_path / "d/train/dog/1.jpg")
    photograph(tmp_path / "d/test/1.jpg")
    assert [recognise(tmp_path / name) for name in "abcd"] == [None] * 4
    assert recognise(tmp_path / "b/1.jpg") is None


def test_what_is_wrong_with_folders_is_told(tmp_path):
    photograph(tmp_path / "dog/1.jpg")
    photograph(tmp_path / "dog/deep/1.jpg")
    with pytest.raises(InputError, match="dog/deep: is a folder within that of a label"):
        read(recognise(tmp_path))
    photograph(tmp_path / "x/polar_bear/1.jpg")
    photograph(tmp_path / "x/Polar bear/1.jpg")
    with pytest.raises(InputError, match="are one label"):
        read(recognise(tmp_path / "x"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2.jpg dog", r":3: has neither a tab nor a colon"),
        ("2.jpg\tdog, sea", r":3: has tabs and commas"),
        ("2.jpg: dog,, sea", r":3: '' is no label"),
        ("2.jpg\tdog\t\tsea", r":3: '' is no label"),
        ("../2.jpg: dog", r":3: .*leaves the images folder"),
        ("a\\2.jpg: dog", r":3: .*backslash"),
        ("1.jpg: dog", r":3: image '1\.jpg' stands in line 2 already"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path, line, told):
    (tmp_path / "labels.txt").write_text(f"# mine\n1.jpg:\n{line}\n")
    with pytest.raises(InputError, match=told):
        read(recognise(tmp_path))


def test_images_stand_in_the_folder_of_a_split_where_there_are_some(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "labels.txt").write_text("test/1.jpg: dog\n1.jpg: dog\n")
    with pytest.raises(InputError, match=r"labels\.txt:2: image '1\.jpg' is in none of the folders"):
        read(recognise(tmp_path))


words = st.from_regex(r"[a-z]{1,4}( [a-z]{1,4})?", fullmatch=True)


@given(st.lists(words, max_size=4), st.sampled_from([colon, tabs]))
def test_what_is_written_is_read(labels, line):
    assert parse_line(line("a/1.jpg", labels).rstrip("\n")) == ("a/1.jpg", tuple(labels))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "labels.txt").write_bytes(data)
        try:
            read(recognise(Path(folder)))
        except InputError as error:
            assert "\n" not in str(error)
