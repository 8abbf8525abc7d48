"""CSV tables: labels in one cell or in one column each, and every way in which they can be wrong."""

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import CONTENT, LABELS, as_jsonl, facts, read

from zsmld.datasets.csv_tables import recognise
from zsmld.datasets.records import SPLITS, ImageRecord
from zsmld.errors import InputError


def write(folder, rows, delimiter=",", name="table.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return folder / name


def text(folder, content, name="table.csv"):
    (folder / name).write_text(content, "utf-8", "surrogateescape", newline="")
    return folder / name


@pytest.mark.parametrize("image", ["image", "Filename", "path"])
@pytest.mark.parametrize(("delimiter", "separator"), [(",", ";"), (",", "|"), (",", ","), (";", ","), ("\t", ";")])
def test_labels_in_one_cell_are_those_of_the_jsonl(tmp_path, image, delimiter, separator):
    rows = [(f" {separator}".join(r.labels), r.image, r.split, "note") for r in CONTENT]
    path = write(tmp_path, [("Labels", image, "split", "remark"), *rows], delimiter)
    layout = recognise(path)
    assert facts(read(layout)) == facts(as_jsonl(tmp_path / "jsonl", CONTENT))
    assert "labels are in the column 'Labels'" in layout.told
    assert "columns that are passed over: 'remark'" in layout.told


def test_labels_in_one_column_each_are_those_of_the_jsonl(tmp_path):
    records = [
        *CONTENT[:4],
        ImageRecord("test/5.jpg", ("sea",), "test", "day 1", 0, ("whale",)),
        ImageRecord("test/6.jpg", (), "test", "day 1", 0, ()),
    ]
    unknown = iter(["", "-1", "NaN", "-1.0", "nan", " "])
    rows = []
    for record in records:
        of = dict.fromkeys(record.labels, "1") | dict.fromkeys(record.negatives or (), "0.0")
        absent = (lambda: "0") if record.negatives is None else (lambda: next(unknown))
        rows.append([record.image, record.split, record.group or "", *(of.get(label) or absent() for label in LABELS)])
    path = write(tmp_path, [("image", "split", "group", *LABELS), *rows])
    layout = recognise(path)
    dataset = read(layout)
    assert facts(dataset) == facts(as_jsonl(tmp_path / "jsonl", records))
    assert layout.told[0].startswith("4 columns are labels")
    assert set(dataset.vocabulary) == set(LABELS)


def test_a_label_may_be_called_path(tmp_path):
    dataset = read(recognise(text(tmp_path, "path,image,dog\n1,a.jpg,0\n")))
    assert facts(dataset, ("path", "dog")) == {"a.jpg": ("train", None, [True, False], [True, True])}
    with pytest.raises(InputError, match=r":2: column 'path' is 'a\.jpg', expected 1, 0"):
        read(recognise(text(tmp_path, "path,image,dog\na.jpg,1,0\n")))


def test_without_a_split_the_name_of_the_file_or_train(tmp_path):
    rows = [("image", "labels"), ("a.jpg", "dog")]
    for name, split in (("table.csv", "train"), ("Test.csv", "test"), ("val2017.csv", "val")):
        layout = recognise(write(tmp_path, rows, name=name))
        assert [record.split for record in read(layout).records()] == [split]
        assert any(f"every image is {split}" in line for line in layout.told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("image,labels\na.jpg,dog;sea\n\nb.jpg,dog|sea\n", r":4: labels are separated by '\|', but by ';' in line 2"),
        ('image,labels\na.jpg,"dog;sea, calm"\n', r":2: labels are separated by"),
        ("image,labels\na.jpg,['dog']\n", r":2: labels are \"\['dog'\]\", a list in brackets"),
        ("image,labels\na.jpg,dog;;sea\n", r":2: '' is no label"),
        ("image,labels\na.jpg\n", r":2: has 1 cells, expected 2"),
        ("image,labels\n../a.jpg,dog\n", r":2: image '\.\./a\.jpg' leaves"),
        ("image,labels\nC:\\a.jpg,dog\n", r":2: .*backslash"),
        ("image,labels\nC:/a.jpg,dog\n", r":2: .*leaves"),
        ("image,labels\n/a.jpg,dog\n", r":2: .*leaves"),
        ("image,labels\n,dog\n", r":2: image is '', expected a path"),
        ("image,labels\na.jpg,dog\na.jpg,sea\n", r":3: image 'a\.jpg' stands in line 2 already"),
        ("image,labels,split\na.jpg,x,train\n./a.jpg,x,test\n", ":3: .* already, there as train, here as test"),
        ("image,labels,split\na.jpg,dog,dev\n", r":2: split is 'dev', expected one of train, val, test"),
        ("image,path,labels\na,b,c\n", r":1: the columns 'image' and 'path' both name images"),
        ("image,dog,Dog\na,1,0\n", r":1: columns 'dog' and 'Dog' are one label"),
        ("image,dog,\na,1,0\n", r":1: '' is no label"),
        ("image,dog,id\na.jpg,1,17\n", r":2: column 'id' is '17', expected 1, 0"),
        ("image,dog,sea\na.jpg,1,-1\n", "holds -1, but never 0"),
        ("image,labels\n", "holds no image"),
        ('image,labels\n"a.jpg,dog\n', r":2: is not CSV"),
        ("image,labels\na.jpg,\udcff\n", r":2: is not UTF-8 text \(byte 0xff\)"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, content, told):
    path = text(tmp_path, content)
    with pytest.raises(InputError, match=told) as caught:
        read(recognise(path))
    assert caught.value.path == path


def test_other_files_are_no_tables(tmp_path):
    for content in ("", "a,b\n1,2\n", "image\na.jpg\n", "image,split\na.jpg,test\n", "\udcff,image\n"):
        assert recognise(text(tmp_path, content)) is None
    assert recognise(text(tmp_path, "image,labels\na,b\n", "table.txt")) is None
    assert recognise(tmp_path) is None


letters = st.characters(categories=("L", "Nd"), include_characters=" -'\"")
words = st.text(letters, min_size=1, max_size=6).filter(str.strip)
row = st.tuples(st.lists(words, max_size=3), st.sampled_from(SPLITS), words | st.none())


@given(st.lists(row, min_size=1, max_size=5), st.sampled_from(";|,"), st.sampled_from(",;\t"))
def test_what_is_written_is_read(content, separator, delimiter):
    records = [ImageRecord(f"{at}.jpg", tuple(a), b, c and c.strip(), at) for at, (a, b, c) in enumerate(content)]
    with tempfile.TemporaryDirectory() as folder:
        table = [("image", "labels", "split", "group")]
        table += [(r.image, separator.join(r.labels), r.split, r.group or "") for r in records]
        dataset = read(recognise(write(Path(folder), table, delimiter)))
        labels = sorted({label.strip() for record in records for label in record.labels})
        assert facts(dataset, labels) == facts(as_jsonl(Path(folder) / "jsonl", records), labels)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        for start in (b"", b"image,labels\n", b"path;dog;sea\n"):
            path.write_bytes(start + data)
            try:
                layout = recognise(path)
                if layout is not None:
                    read(layout)
            except InputError as error:
                assert "\n" not in str(error)
