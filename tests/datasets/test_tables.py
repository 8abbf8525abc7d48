"""Annotations: what is written is read, and every malformed line is told with its number."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.datasets.records import SPLITS
from zsmld.datasets.tables import read_annotations
from zsmld.errors import InputError

GOOD = {"image": "a.jpg", "labels": ["dog"], "split": "train"}
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(str.strip)
names = st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?\.jpg", fullmatch=True)


def write(folder, *lines):
    path = folder / "a.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


@given(
    st.lists(
        st.fixed_dictionaries(
            {"image": names, "labels": st.lists(words, max_size=4), "split": st.sampled_from(SPLITS)},
            optional={"group": st.one_of(st.none(), st.integers(), words), "other": st.integers()},
        ),
        min_size=1, max_size=8, unique_by=lambda record: record["image"],
    )
)  # fmt: skip
def test_what_is_written_is_read(records):
    with tempfile.TemporaryDirectory() as folder:
        dataset = read_annotations(write(Path(folder), "", *records))
    assert [(r.image, list(r.labels), r.split) for r in dataset.records] == [
        (record["image"], record["labels"], record["split"]) for record in records
    ]
    assert [r.line for r in dataset.records] == list(range(2, len(records) + 2))
    groups = [record.get("group") for record in records]
    assert [r.group for r in dataset.records] == [None if group is None else str(group) for group in groups]


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(data)
        try:
            read_annotations(path)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r":2: is not JSON"),
        ("[1]", r":2: is a list, expected an object"),
        ({"image": "b.jpg", "labels": []}, r":2: lacks the key 'split'"),
        ({"imag": "b.jpg", "labels": [], "split": "test"}, r"lacks the key 'image'\. Did you mean 'imag'"),
        (GOOD | {"image": "b.jpg", "labels": "dog"}, "labels is not a list of words"),
        (GOOD | {"image": "b.jpg", "labels": [3]}, "labels is not a list of words"),
        (GOOD | {"image": "b.jpg", "labels": [" "]}, "labels is not a list of words"),
        (GOOD | {"image": "b.jpg", "split": "training"}, "split is 'training', expected one of train, val, test"),
        (GOOD | {"image": "../b.jpg"}, "leaves the images folder"),
        (GOOD | {"image": "/etc/passwd"}, "leaves the images folder"),
        (GOOD | {"image": ""}, "expected a path"),
        (GOOD | {"image": 7}, "expected a path"),
        (GOOD, r":2: image 'a\.jpg' stands in line 1 already"),
        (GOOD | {"image": "./a.jpg"}, "stands in line 1 already"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path, line, told):
    with pytest.raises(InputError, match=told):
        read_annotations(write(tmp_path, GOOD, line))


def test_an_empty_file_and_an_absent_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no record"):
        read_annotations(write(tmp_path, "", "  "))
    with pytest.raises(InputError, match="no such folder of images"):
        read_annotations(write(tmp_path, GOOD), tmp_path / "absent")


def test_parts_targets_and_digest(tmp_path):
    records = [
        {"image": "a.jpg", "labels": ["Polar_Bear", "sea", "unasked"], "split": "train"},
        {"image": "b.jpg", "labels": [], "split": "test"},
        {"image": "c.jpg", "labels": ["sea", "sea"], "split": "train"},
    ]
    dataset = read_annotations(write(tmp_path, *records))
    train = dataset.part("train")
    np.testing.assert_array_equal(train.targets(["sea", "polar bear"]), [[True, True], [True, False]])
    assert train.image_paths() == [tmp_path / "a.jpg", tmp_path / "c.jpg"]
    with pytest.raises(InputError, match="no record has the split 'val'; there are 1 test, 2 train"):
        dataset.part("val")
    again = read_annotations(write(tmp_path, *[record | {"other": 1} for record in records]))
    assert again.digest() == dataset.digest() != train.digest()
