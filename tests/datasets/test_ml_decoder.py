"""The three files of ML-Decoder's zero-shot code: every permutation of their names, and every way to be wrong."""

import csv
import io
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import CONTENT, as_jsonl, facts, photograph, read

from zsmld.cli import run
from zsmld.datasets.bracketed_lists import bracketed
from zsmld.datasets.ml_decoder import read_benchmark, recognise
from zsmld.datasets.records import ImageRecord
from zsmld.errors import InputError
from zsmld.labels.embeddings import LabelEmbeddings

NAMES = ("data.csv", "benchmark_81_v0.json", "wordvec_array.pth")
# That code knows two splits only.
RECORDS = tuple(ImageRecord(r.image, r.labels, "train" if r.split == "train" else "test") for r in CONTENT)
LABELS = ("dog", "fire hydrant", "sea")
CLASSES = {"train class": ["sea", "dog"], "test class": ["fire hydrant"]}


def table(records, quoted=True):
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("filepath", "label", "split_name"))
    for record in records:
        labels = str(list(record.labels)) if quoted else f"[{', '.join(record.labels)}]"
        rows.writerow((record.image, labels, {"test": "val"}.get(record.split, record.split)))
    return stream.getvalue()


def array(columns):
    stream = io.BytesIO()
    torch.save(torch.from_numpy(np.random.default_rng(0).normal(size=(6, columns)).astype("f4")), stream)
    return stream.getvalue()


def publish(root, records=RECORDS, names=NAMES, *, classes=CLASSES, quoted=True, columns=3):
    """The three files in `root`, under the names: of the table, the benchmark and the array."""
    root.mkdir(parents=True, exist_ok=True)
    contents = (table(records, quoted).encode(), json.dumps(classes).encode(), array(columns))
    for name, content in zip(names, contents, strict=True):
        (root / name).write_bytes(content)
    return root


def rows(root, *lines, header="path,labels,split"):
    root.mkdir(exist_ok=True)
    (root / "data.csv").write_text("\n".join((header, *lines, "")), "utf-8")
    return root


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("names", list(itertools.permutations(NAMES)))
def test_content_decides_whatever_the_names(tmp_path, names, quoted):
    root = publish(tmp_path / "set", names=names, quoted=quoted)
    expected = facts(as_jsonl(tmp_path / "jsonl", RECORDS))
    for path in (root, root / names[0]):
        layout = recognise(path)
        assert facts(read(layout)) == expected
        assert layout.lists == {"sorted": LABELS, "seen": ("sea", "dog"), "unseen": ("fire hydrant",)}
        swapped = {line.split()[0] for line in layout.told if "two links swapped" in line}
        assert swapped == {name for name, own in zip(names, NAMES, strict=True) if name != own}
        assert "split val is read as test: it is what ML-Decoder's code reports its figures on" in layout.told
        assert any("has 3 columns, one for each label" in line for line in layout.told)
        assert "1 images have an empty list: no label of theirs is true" in layout.told


def test_without_train_class_all_others_are_seen(tmp_path):
    layout = recognise(publish(tmp_path, classes={"test class": ["sea"]}))
    assert layout.lists["seen"] == ("dog", "fire hydrant") and layout.lists["unseen"] == ("sea",)
    assert any("has no 'train class'" in line for line in layout.told)


def test_labels_of_one_file_alone_are_told(tmp_path):
    layout = recognise(publish(tmp_path, classes={"train class": ["dog", "yeti"], "test class": ["sea", "whale"]}))
    assert layout.lists["seen"] == ("dog",) and layout.lists["unseen"] == ("sea",)
    assert "2 labels of benchmark_81_v0.json are of no image, and are left out: 'yeti', 'whale'" in layout.told
    expected = "1 labels of images are neither seen nor unseen in benchmark_81_v0.json: 'fire hydrant'"
    assert expected in layout.told


@pytest.mark.parametrize("absent", NAMES[1:])
def test_what_is_missing_is_told(tmp_path, absent):
    (publish(tmp_path) / absent).unlink()
    layout = recognise(tmp_path)
    assert [line.split(":")[0] for line in layout.told if line.startswith("no ")] == [f"no {absent}"]
    assert len(read(layout)) == len(RECORDS)


def test_without_the_table_it_is_an_error(tmp_path):
    (publish(tmp_path) / "data.csv").unlink()
    with pytest.raises(InputError, match=r"has benchmark_81_v0.json, .* but no data.csv"):
        recognise(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    assert recognise(tmp_path) is None


def test_two_tables_are_an_error_and_one_of_them_is_not(tmp_path):
    publish(tmp_path)
    (tmp_path / "more.csv").write_text(table(RECORDS))
    with pytest.raises(InputError, match=r"data.csv and more.csv all hold the table"):
        recognise(tmp_path)
    assert len(read(recognise(tmp_path / "more.csv"))) == len(RECORDS)


def test_an_array_that_does_not_fit_is_told(tmp_path):
    told = recognise(publish(tmp_path, columns=4)).told[-1]
    assert told.startswith("wordvec_array.pth is '6 × 4', expected 3 columns")
    (tmp_path / NAMES[2]).write_bytes(array(3)[:-40])
    assert recognise(tmp_path).told[-1].startswith("wordvec_array.pth cannot be read: ")


def test_columns_are_sorted_as_that_code_does(tmp_path):
    # With its quote `sea'` comes after `sea `, without it before.
    records = [ImageRecord("1.jpg", ("sea", "sea lion", "Sea-gull"), "train")]
    classes = {"test class": ["sea"]}
    assert recognise(publish(tmp_path / "a", records, classes=classes)).lists["sorted"][1:] == ("sea lion", "sea")
    plain = recognise(publish(tmp_path / "b", records, classes=classes, quoted=False))
    assert plain.lists["sorted"] == ("Sea-gull", "sea", "sea lion")


@pytest.mark.parametrize("header", ["path,labels,split,note", "path"])
def test_other_columns_are_an_error(tmp_path, header):
    with pytest.raises(InputError, match=r"columns, expected image, labels and split") as caught:
        recognise(rows(tmp_path, "a.jpg,[dog],train,x", header=header))
    assert caught.value.line == 1


def test_without_a_third_column_every_image_is_train(tmp_path):
    layout = recognise(rows(tmp_path, "a.jpg,[dog]", header="path,labels"))
    assert [record.split for record in read(layout).records()] == ["train"]
    assert any(line.startswith("no third column") for line in layout.told)


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        (["a.jpg,[dog,train"], 2, "expected a list in brackets"),
        (["a.jpg,[dog],train", "b.jpg,dog],train"], 3, "expected a list in brackets"),
        (["a.jpg,[dog],train", "b.jpg,,train"], 3, "expected a list in brackets"),
        (["a.jpg,[[dog]],train"], 2, "has a bracket"),
        (["a.jpg,\"['dog, 'sea']\",train"], 2, "quotes that do not fit"),
        (["a.jpg,\"['dog', sea]\",train"], 2, "some in quotes and some not"),
        (["a.jpg,\"['dog, sea']\",train"], 2, "quotes that do not fit"),
        (["a.jpg,['dog'],train", "b.jpg,[sea],train"], 3, "without quotes, but in quotes in line 2"),
        (['a.jpg,"[dog, ]",train'], 2, "is empty"),
        (['a.jpg,"[dog,  sea]",train'], 2, "white space"),
        (['a.jpg,"[dog,sea]",train'], 2, "a comma without a space"),
        (["a.jpg,[''],train"], 2, "is empty"),
        (["a.jpg,[do\x01g],train"], 2, "is no label"),
        (["a.jpg,[dog],test"], 2, "split is 'test', expected train or val"),
        (["a.jpg,[dog],"], 2, "split is '', expected train or val"),
        (["a.jpg,[dog],train,x"], 2, "has 4 cells, expected 3"),
        (["../a.jpg,[dog],train"], 2, "leaves the images folder"),
        (["/a.jpg,[dog],train"], 2, "leaves the images folder"),
        (["Flickr\\a.jpg,[dog],train"], 2, "has a backslash"),
        ([",[dog],train"], 2, "expected a path"),
        (["a.jpg,[dog],train", "a.jpg,[sea],train"], 3, "stands in line 2 already"),
        (["a.jpg,[dog],train", "a.jpg,[dog],val"], 3, "there as train, here as test"),
        (["a.jpg,[dog],train", "b.jpg,[Dog],train"], None, "are one label"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, lines, line, problem):
    with pytest.raises(InputError) as caught:
        read(recognise(rows(tmp_path, *lines)))
    assert problem in caught.value.problem
    assert (caught.value.path, caught.value.line) == (tmp_path / "data.csv", line)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"train class": ["a"], "test class": ["b"', "is not JSON"),
        ('["train class", "test class"]', "is not JSON"),
        ('{"train class": ["a"]}', "has no labels in 'test class'"),
        ('{"test class": []}', "has no labels in 'test class'"),
        ('{"test class": "a"}', "has no labels in 'test class'"),
        ('{"test class": [1]}', "is no text"),
        ('{"test class": [["a"]]}', "is no text"),
        ('{"test class": ["a", "b", "A"]}', "label 'A' of 'test class' is in 'test class' already"),
        ('{"train class": ["a"], "test class": ["a"]}', "label 'a' of 'test class' is in 'train class' already"),
        ('{"test class": [" "]}', "is no label"),
    ],
)
def test_a_benchmark_that_is_wrong_is_named(tmp_path, text, problem):
    path = tmp_path / "benchmark_81_v0.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_benchmark(path)
    assert problem in caught.value.problem and caught.value.path == path


@pytest.mark.parametrize("text", ["image,labels\na.jpg,dog\n", "image,labels\n", "", "a\n[b]\n", '"a\n'])
def test_other_tables_are_left_to_others(tmp_path, text):
    (tmp_path / "data.csv").write_text(text)
    assert recognise(tmp_path) is None and recognise(tmp_path / "data.csv") is None


def of_that_code(cell):
    """What the published code makes of a cell, then quotes off."""
    words = cell.replace("[", "").replace("]", "").split(", ")
    quoted = [len(word) > 1 and word[0] in "'\"" and word[0] == word[-1] for word in words]
    return [word[1:-1] if off else word for word, off in zip(words, quoted, strict=True)]


WORDS = st.text("abc'é -", min_size=1, max_size=6).map(str.strip)
WORD = WORDS.filter(lambda word: word and "'" not in (word[0], word[-1]))


@given(st.lists(WORD, min_size=1, max_size=4), st.booleans())
def test_lists_come_back_as_they_were_written(words, quoted):
    cell = str(words) if quoted else f"[{', '.join(words)}]"
    assert bracketed(cell) == (tuple(words), quoted)
    assert of_that_code(cell) == words


@given(st.text("[]'\", ab\\", max_size=12))
def test_what_is_read_is_what_that_code_reads(cell):
    try:
        labels, quoted = bracketed(cell)
    except InputError:
        return
    assert (quoted is None) == (not labels)
    if labels:
        assert list(labels) == of_that_code(cell.strip())


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_an_input_error_or_read(data):
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            (Path(folder) / name).write_bytes(b"path,labels,split\na.jpg,[" + data if name == NAMES[0] else data)
        try:
            layout = recognise(Path(folder))
            if layout is not None:
                read(layout)
        except InputError as error:
            assert error.path is not None


def test_from_the_files_to_figures(tmp_path, monkeypatch, capsys):
    """The commands of docs/datasets/ml_decoder.md; the array lies there under the name of the table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    publish(tmp_path / "nus", names=(NAMES[2], NAMES[1], NAMES[0]))
    for shade, record in enumerate(RECORDS):
        photograph(tmp_path / "nus" / record.image, 40 * shade)
    small = "--backbone timm:test_convnext --image-size 64 --backbone-weights random --width 16 --heads 2"
    for line in (
        "data check nus",
        "data convert nus out",
        "embed-labels out/sorted.txt --source nus/data.csv::words=out/sorted.txt",
        f"train --annotations nus --seen out/seen.txt {small} --feed-forward 16 --epochs 1 --validation-fraction 0",
        "eval --annotations nus --unseen out/unseen.txt --gzsl",
    ):
        assert run(line.split()) == 0, capsys.readouterr()
    assert Path("out/sorted.txt").read_text() == "dog\nfire hydrant\nsea\n"
    assert Path("out/unseen.txt").read_text() == "fire hydrant\n"
    stored = LabelEmbeddings.load("embeddings.safetensors")
    expected = torch.load(io.BytesIO(array(3)), weights_only=True).T
    assert stored.labels == LABELS and np.allclose(stored.vectors, expected)
