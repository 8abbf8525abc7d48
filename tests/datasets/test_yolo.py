"""YOLO's text files: their classes are labels, wherever the splits are, and whatever the names are written in."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import CONTENT, LABELS, as_jsonl, facts, photograph, read

from zsmld.datasets.records import ImageRecord
from zsmld.datasets.yolo import parse_line, read_names, recognise
from zsmld.errors import InputError

NAMES = {
    "classes.txt": "".join(f"{label}\n" for label in LABELS),
    "data.yaml": f"path: /elsewhere\ntrain: ../train/images\nnc: 4\nnames: {list(LABELS)}\n",
    "coco.yml": "names:\n" + "".join(f"  {at}: {label}\n" for at, label in enumerate(LABELS)),
}


def publish(root, names="classes.txt", inside_out=False):
    """`images/train/1.jpg` and `labels/train/1.txt`; inside out, `train/images/1.jpg` and `train/labels/1.txt`."""
    records = []
    for record in CONTENT:
        split, name = record.image.split("/")
        place = (f"{split}/images", f"{split}/labels") if inside_out else (f"images/{split}", f"labels/{split}")
        photograph(root / place[0] / name)
        records.append(ImageRecord(f"{place[0]}/{name}", record.labels, record.split))
        text = root / place[1] / f"{Path(name).stem}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{LABELS.index(label)} 0.5 0.5 0.25 1\n" for label in (*record.labels, *record.labels)]
        if record.labels or not inside_out:
            text.write_text("".join(lines) + "\n")
    (root / names).write_text(NAMES[names])
    return records


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("inside_out", [False, True])
def test_the_same_content_as_jsonl_gives_the_same_data_set(tmp_path, names, inside_out):
    records = publish(tmp_path / "yolo", names, inside_out)
    layout = recognise(tmp_path / "yolo")
    dataset = read(layout)
    assert facts(dataset) == facts(as_jsonl(tmp_path / "jsonl", records))
    assert all(path.is_file() for path in dataset.image_paths())
    assert f"names of the classes: {names}" in layout.told and "whale" in dataset.vocabulary
    if names != "classes.txt":
        assert facts(read(recognise(tmp_path / "yolo" / names))) == facts(dataset)


def test_without_splits_all_is_train(tmp_path):
    photograph(tmp_path / "images/1.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").write_text("2 0 0 0 0\n")
    (tmp_path / "labels/classes.txt").write_text(NAMES["classes.txt"])
    layout = recognise(tmp_path)
    assert any("every image is train" in line for line in layout.told)
    assert facts(read(layout)) == {"images/1.png": ("train", None, [False, False, True, False], [True] * 4)}


def test_images_may_lie_elsewhere(tmp_path):
    publish(tmp_path / "yolo")
    (tmp_path / "yolo/images").rename(tmp_path / "photos")
    dataset = read(recognise(tmp_path / "yolo"), images=tmp_path / "photos")
    assert len(dataset) == len(CONTENT) and all(path.is_file() for path in dataset.image_paths())


def test_a_missing_image_is_among_the_images(tmp_path):
    publish(tmp_path)
    (tmp_path / "images/test/5.jpg").unlink()
    dataset = read(recognise(tmp_path))
    assert [path.is_file() for path in dataset.image_paths()].count(False) == 1 and len(dataset) == len(CONTENT)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("4 0.5 0.5 0.5 0.5", r"1\.txt:2: class is 4, but there are names for 4"),
        ("99999999999 0.5 0.5 0.5 0.5", "class is 99999999999, but"),
        ("-1 0.5 0.5 0.5 0.5", r":2: class is '-1', expected a whole number"),
        ("dog 0.5 0.5 0.5 0.5", r":2: class is 'dog'"),
        ("1 0.5 0.5 0.5", ":2: expected a class and x, y"),
        ("1 0.5 0.5 0.5 0.5 0.9", ":2: expected a class and x, y"),
        ("1 0.5 0.5 0.5 nan", ":2: expected a class and x, y"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path, line, told):
    publish(tmp_path)
    (tmp_path / "labels/train/1.txt").write_text(f"0 0.1 0.1 0.1 0.1 0.2 0.2\n{line}\n")
    with pytest.raises(InputError, match=told):
        read(recognise(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("classes.txt", "", "'' is no label"),
        ("classes.txt", "dog\n\nsea\n", "'' is no label"),
        ("classes.txt", "dog\nDog\n", "classes 'dog' and 'Dog' are one label"),
        ("a.yaml", "names: [dog", r"a\.yaml:1: is not YAML"),
        ("a.yaml", "nc: 3", "has no names"),
        ("a.yaml", "names: []", "has no names"),
        ("a.yaml", "names: {0: dog, 2: sea}", "without gaps"),
        ("a.yaml", "names: [[dog]]", "has no names"),
        ("a.yaml", "names: !!python/object/apply:os.getcwd []", "has no names"),
        ("a.yaml", "names: &a [*a]", "is not YAML: found unconstructable recursive node"),
        ("a.yaml", "names: " + "[" * 5000, "is not YAML"),
        ("a.yaml", "names: [dog]\n" + "#" * (1 << 22), "larger than a list of classes"),
    ],
)
def test_bad_names_are_refused(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told):
        read_names(tmp_path / name)


def test_words_of_yaml_stay_words(tmp_path):
    (tmp_path / "a.yaml").write_text("names: [no, on, 12, null]")
    assert read_names(tmp_path / "a.yaml") == ("no", "on", "12", "null")


def test_names_that_are_absent_or_several_are_told(tmp_path):
    publish(tmp_path)
    (tmp_path / "classes.txt").unlink()
    layout = recognise(tmp_path)
    assert any("names of the classes: not there" in line for line in layout.told)
    with pytest.raises(InputError, match=r"not there. Write them to classes\.txt"):
        read(layout)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("names: [dog]")
    with pytest.raises(InputError, match=r"there are a\.yaml, b\.yaml, keep one"):
        read(recognise(tmp_path))


def test_other_folders_are_not_yolo(tmp_path):
    photograph(tmp_path / "images/1.jpg")
    (tmp_path / "labels").mkdir()
    assert recognise(tmp_path) is None
    assert recognise(tmp_path / "images/1.jpg") is recognise(tmp_path / "absent.yaml") is None


numbers = st.floats(0, 1).map(str)


@given(st.integers(0, 79), st.lists(numbers, min_size=4, max_size=4) | st.lists(numbers, min_size=3, max_size=6))
def test_what_is_written_is_read(number, values):
    line = " ".join((str(number), *values))
    if len(values) % 2:
        with pytest.raises(InputError):
            parse_line(line, 80)
    else:
        assert parse_line(line, 80) == number


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_in_one_line(names, labels):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photograph(root / "images/1.jpg")
        (root / "labels").mkdir()
        (root / "labels/1.txt").write_bytes(labels)
        for name, content in (("a.yaml", b"names: " + names), ("classes.txt", names or b"dog")):
            (root / name).write_bytes(content)
            try:
                read(recognise(root))
            except InputError as error:
                assert "\n" not in str(error)
