"""Data sets are recognised by what they hold; what is missing is an error, or counted."""

import json

import numpy as np
import pytest

from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import describe, on_disk, present, read_dataset, recognise
from zsmld.datasets.tables import read_annotations, write_annotations
from zsmld.errors import InputError, UsageError

RECORDS = [
    {"image": "a/1.jpg", "labels": ["dog", "sea"], "split": "train", "group": "one"},
    {"image": "2.jpg", "labels": [], "split": "val", "negatives": ["dog"]},
    {"image": "3.jpg", "labels": ["sky"], "split": "test", "negatives": []},
]


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / "annotations.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def test_annotations_are_recognised_by_name_or_content(annotations, tmp_path):
    assert recognise(annotations).name == "JSONL annotations"
    renamed = annotations.rename(tmp_path / "photos")
    assert recognise(renamed).name == "JSONL annotations"
    assert read_dataset(renamed, ReadOptions(images=tmp_path)).images == ("a/1.jpg", "2.jpg", "3.jpg")


def test_what_is_written_is_read_again(annotations, tmp_path):
    once = read_annotations(annotations)
    write_annotations(once, tmp_path / "again.jsonl")
    again = read_annotations(tmp_path / "again.jsonl")
    assert list(again.records()) == list(once.records()) and again.digest() == once.digest()
    assert [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()] == RECORDS
    with pytest.raises(UsageError, match="exists already"):
        write_annotations(once, tmp_path / "again.jsonl")


def test_what_is_nothing_known_is_refused(tmp_path):
    for content in (b"", b"hello\n", b"\x00" * 9):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(InputError, match=r"no data set that zsmld knows.*datasets\.md"):
            recognise(tmp_path / "x")
    with pytest.raises(InputError, match="no such file"):
        recognise(tmp_path / "absent")


def test_links_count_if_what_they_point_at_is_there(annotations, tmp_path):
    (tmp_path / "photo").touch()
    (tmp_path / "a").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "1.jpg").symlink_to(tmp_path / "photo")
    (tmp_path / "2.jpg").symlink_to(tmp_path / "gone")
    assert on_disk(read_annotations(annotations)).tolist() == [True, False, False]


def test_missing_images_are_counted(annotations, tmp_path, capsys):
    dataset = read_annotations(annotations)
    with pytest.raises(InputError, match=r"3 of 3 images are not there, the first: \S*a/1\.jpg"):
        present(dataset, allow_missing=True)
    (tmp_path / "2.jpg").touch()
    with pytest.raises(InputError, match=r"2 of 3 .*--allow-missing"):
        present(dataset, allow_missing=False)
    assert present(dataset, allow_missing=True).images == ("2.jpg",)
    assert "left out, 2 of 3 images" in capsys.readouterr().err


def test_a_data_set_is_told_in_a_few_lines(annotations):
    dataset = read_annotations(annotations)
    assert describe(dataset) == [
        "3 images: 1 train, 1 val, 1 test",
        "3 labels, 3 times true",
        "partial labels: 1 times false, and unknown elsewhere in 2 images",
    ]
    assert "1 labels without any image: 'sky'" in describe(dataset.take(np.array([0, 1])))
