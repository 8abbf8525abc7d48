"""Annotations: what is written is read, and every malformed line is told with its number."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.datasets.records import SPLITS, Dataset, ImageRecord
from zsmld.datasets.tables import read_annotations
from zsmld.errors import InputError
from zsmld.labels.vocabulary import canonical

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
    read = list(dataset.records())
    assert [(r.image, r.split) for r in read] == [(record["image"], record["split"]) for record in records]
    for r, record in zip(read, records, strict=True):
        assert {canonical(label) for label in r.labels} == {canonical(label) for label in record["labels"]}
    assert [r.line for r in read] == list(range(2, len(records) + 2))
    groups = [record.get("group") for record in records]
    assert [r.group for r in read] == [None if group is None else str(group) for group in groups]


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
        (GOOD | {"image": "b.jpg", "negatives": "dog"}, "negatives is not a list of words"),
        (GOOD | {"image": "b.jpg", "negatives": ["sea", "Dog"]}, "'dog' is in labels and in negatives"),
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


def test_partial_labels_are_known_or_not(tmp_path):
    records = [
        {"image": "a.jpg", "labels": ["dog"], "negatives": ["Sea"], "split": "train"},
        {"image": "b.jpg", "labels": ["sky"], "negatives": [], "split": "train"},
        {"image": "c.jpg", "labels": ["sea"], "split": "train"},
    ]
    dataset = read_annotations(write(tmp_path, *records))
    labels = ["sky", "sea", "dog", "whale"]
    known = dataset.known(labels)
    assert known is not None and known.tolist() == [
        [False, True, True, False], [True, False, False, False], [True, True, True, True],
    ]  # fmt: skip
    assert dataset.targets(labels).tolist() == [
        [False, False, True, False], [True, False, False, False], [False, True, False, False],
    ]  # fmt: skip
    assert dataset.take(np.array([2])).known(labels) is None
    assert [record.negatives for record in dataset.records()] == [("Sea",), (), None]
    complete = read_annotations(write(tmp_path, *[{**record, "negatives": None} for record in records]))
    assert complete.known(labels) is None and complete.digest() != dataset.digest()


@given(st.lists(st.tuples(st.lists(words, max_size=4), st.none() | st.lists(words, max_size=3)), max_size=6), st.data())
def test_columns_say_what_the_records_say(content, data):
    records = [
        ImageRecord(f"{n}.jpg", tuple(labels), "train", None, n, None if no is None else tuple(no))
        for n, (labels, no) in enumerate(content)
    ]
    dataset = Dataset.of(records, Path("a"), Path())
    asked = data.draw(st.lists(words, max_size=4, unique_by=canonical)) + [
        x for record in records for x in record.labels[:1]
    ]
    truth, known = dataset.targets(asked), dataset.known(asked)
    for row, record in enumerate(records):
        positive = {canonical(label) for label in record.labels}
        negative = None if record.negatives is None else {canonical(label) for label in record.negatives}
        for at, label in enumerate(asked):
            assert truth[row, at] == (canonical(label) in positive)
            expected = negative is None or canonical(label) in positive | negative
            assert (True if known is None else known[row, at]) == expected
