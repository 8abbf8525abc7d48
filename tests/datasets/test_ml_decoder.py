"""ML-Decoder's three files, under each other's names too."""

import itertools
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import as_jsonl, facts, photograph, read

from zsmld.cli import main
from zsmld.datasets.ml_decoder import bracketed, recognise
from zsmld.datasets.records import ImageRecord
from zsmld.errors import InputError

SEEN, UNSEEN = ["clouds", "old town", "dog"], ["sky", "animal"]
RECORDS = (
    ImageRecord("actor/1.jpg", ("clouds", "sky"), "train"),
    ImageRecord("actor/2.jpg", (), "train"),
    ImageRecord("zoo/1.jpg", ("dog", "old town", "animal"), "train"),
    ImageRecord("sea/1.jpg", ("sky", "dog"), "test"),
)
NAMES = ("data.csv", "benchmark_81_v0.json", "wordvec_array.pth")


def table_of(records, *, quoted=True, header="filepath,labels,split_name"):
    rows = [header]
    for record in records:
        listed = str(list(record.labels)) if quoted else f"[{', '.join(record.labels)}]"
        rows.append(f'{record.image},"{listed}",{ {"test": "val"}.get(record.split, record.split) }')
    return "\n".join(rows) + "\n"


def publish(root, records=RECORDS, seen=SEEN, unseen=UNSEEN, *, names=NAMES, quoted=True, width=6):
    """The three files, under `names`; vectors as `torch.save` wrote them."""
    torch = pytest.importorskip("torch")
    root.mkdir(parents=True, exist_ok=True)
    (root / names[0]).write_text(table_of(records, quoted=quoted))
    (root / names[1]).write_text(json.dumps({"train class": seen, "test class": unseen}))
    vectors = np.random.default_rng(0).normal(size=(width, len(seen) + len(unseen)))
    torch.save(torch.from_numpy(vectors.astype(np.float32)), root / names[2])
    return vectors


@pytest.fixture
def root(tmp_path):
    publish(tmp_path / "nus")
    return tmp_path / "nus"


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("names", list(itertools.permutations(NAMES)))
def test_each_is_what_it_holds_whatever_its_name(tmp_path, names, quoted):
    root = tmp_path / "nus"
    publish(root, names=names, quoted=quoted)
    layout = recognise(root)
    labels = [*SEEN, *UNSEEN]
    assert facts(read(layout), labels) == facts(as_jsonl(tmp_path / "j", RECORDS), labels)
    assert layout.lists == {"seen": tuple(SEEN), "unseen": tuple(UNSEEN), "labels": tuple(sorted(labels))}
    swapped = "\n".join(line for line in layout.told if "the links to them are swapped" in line)
    for name, proper in zip(names, NAMES, strict=True):
        assert (f"{name} holds what is called {proper}" in swapped) == (name != proper)


def test_the_table_itself_may_be_named(root):
    assert read(recognise(root / "data.csv")).digest() == read(recognise(root)).digest()
    renamed = shutil.copy(root / "data.csv", root / "my.csv")
    assert len(read(recognise(root / "my.csv"))) == len(RECORDS), renamed
    assert recognise(root / "benchmark_81_v0.json") is None


def test_val_is_test_unless_there_is_a_test(root):
    assert "split val of the table is test" in "\n".join(recognise(root).told)
    extra = ImageRecord("sea/9.jpg", (), "test")
    text = table_of(RECORDS) + 'sea/9.jpg,"[]",test\n'
    (root / "data.csv").write_text(text)
    splits = {record.image: record.split for record in read(recognise(root)).records()}
    assert splits["sea/1.jpg"] == "val" and splits[extra.image] == "test"


MISSING = [
    ("benchmark_81_v0.json", "write lists of seen and unseen labels yourself"),
    ("wordvec_array.pth", "any other source of label vectors"),
]


@pytest.mark.parametrize(("absent", "told"), MISSING)
def test_what_is_missing_is_told(root, absent, told):
    (root / absent).unlink()
    layout = recognise(root)
    assert told in "\n".join(layout.told) and len(read(layout)) == len(RECORDS)


def test_without_the_table_it_is_something_else(root):
    (root / "data.csv").unlink()
    assert recognise(root) is None


def test_without_train_class_only_the_unseen_are_known(root):
    (root / "benchmark_81_v0.json").write_text(json.dumps({"test class": UNSEEN}))
    layout = recognise(root)
    assert layout.lists == {"unseen": tuple(UNSEEN)} and "has no 'train class'" in "\n".join(layout.told)


def test_labels_of_no_list_and_of_no_image_are_told(root, capsys):
    (root / "benchmark_81_v0.json").write_text(json.dumps({"train class": ["clouds", "map"], "test class": UNSEEN}))
    read(recognise(root))
    told = capsys.readouterr().err
    assert "1 labels are those of no image: 'map'" in told
    assert "2 labels are neither seen nor unseen: 'dog', 'old town'" in told


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ({"train class": SEEN}, r"json: 'test class' is no list"),
        ({"train class": SEEN, "test class": []}, r"'test class' is no list"),
        ({"train class": "dog", "test class": UNSEEN}, r"'train class' is no list"),
        ({"train class": [1], "test class": UNSEEN}, r"'train class' is no list"),
        ({"train class": ["dog", "Dog"], "test class": UNSEEN}, r"'dog' and 'Dog' are one label"),
        ({"train class": ["dog"], "test class": ["dogs", "Dog"]}, r"'dog' and 'Dog' are one label"),
        ({"train class": [""], "test class": UNSEEN}, r"'' is no label"),
    ],
)  # fmt: skip
def test_lists_that_are_none(root, classes, problem):
    (root / "benchmark_81_v0.json").write_text(json.dumps(classes))
    with pytest.raises(InputError, match=problem):
        recognise(root)


def test_a_broken_json_has_its_line(root):
    (root / "benchmark_81_v0.json").write_text('{"train class": [],\n "test class" }')
    with pytest.raises(InputError, match=r"benchmark_81_v0\.json:2"):
        recognise(root)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('a.jpg,"[dog",train', r"data\.csv:3: labels are '\[dog', expected a list in brackets"),
        ("a.jpg,\"['dog]\",train", r"data\.csv:3: .*quotes do not fit"),
        ("a.jpg,\"['dog', sea]\",train", r"data\.csv:3: .*quotes do not fit"),
        ("a.jpg,\"[dog, 'sea']\",train", r"data\.csv:3: .*quotes or brackets do not fit"),
        ('a.jpg,"[dog,, sea]",train', r"data\.csv:3: .*a label is empty"),
        ("a.jpg,\"['']\",train", r"data\.csv:3: '' is no label"),
        ('a.jpg,"[dog]",new', r"data\.csv:3: split is 'new'"),
        ('a.jpg,"[dog]"', r"data\.csv:3: has 2 cells, expected 3"),
        ('../a.jpg,"[dog]",train', r"data\.csv:3: image '\.\./a\.jpg' leaves"),
        ('/a.jpg,"[dog]",train', r"data\.csv:3: image '/a\.jpg' leaves"),
        ('actor/1.jpg,"[dog]",train', r"data\.csv:3: image 'actor/1\.jpg' stands in line 2 already"),
        ('actor/1.jpg,"[dog]",val', r"data\.csv:3: .*there as train, here as test"),
        ('a.jpg,"[do"g]",train', r"data\.csv:3: is not CSV"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_named(root, row, problem):
    lines = table_of(RECORDS).splitlines()
    (root / "data.csv").write_text("\n".join([*lines[:2], row, *lines[2:]]))
    with pytest.raises(InputError, match=problem):
        read(recognise(root))


def test_a_table_without_splits_needs_a_split_file(root, tmp_path):
    (root / "data.csv").write_text('path,labels\na.jpg,"[dog]"\nb.jpg,"[sky]"\n')
    with pytest.raises(InputError, match=r"has no column of splits\. Give --split-file"):
        read(recognise(root))
    (tmp_path / "splits").write_text("a.jpg,train\nb.jpg,test\n")
    dataset = read(recognise(root), split_file=tmp_path / "splits")
    assert [record.split for record in dataset.records()] == ["train", "test"]


WORDS = st.text("abc ü'\"\\,-", min_size=1, max_size=6).map(str.strip).filter(lambda word: word)


@given(st.lists(WORDS, max_size=5))
def test_lists_are_read_as_python_wrote_them(words):
    assert bracketed(str(words)) == words
    assert bracketed(f"  {json.dumps(words, ensure_ascii=False)} ") == words


@given(st.lists(st.text("abc ü-", min_size=1, max_size=6).map(str.strip).filter(bool), max_size=5))
def test_lists_without_quotes(words):
    assert bracketed(f"[{', '.join(words)}]") == words


@given(st.text("[]'\", ab\\", max_size=14))
def test_any_other_cell_is_refused_or_read_without_its_marks(cell):
    try:
        words = bracketed(cell)
    except InputError:
        return
    assert cell.strip()[0] == "[" and cell.strip()[-1] == "]"
    assert "".join(words).replace(" ", "").count("a") == cell.count("a")


def test_a_pickle_is_never_run(tmp_path):
    root = tmp_path / "nus"
    publish(root)

    class Evil:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    (root / "wordvec_array.pth").write_bytes(pickle.dumps(Evil()))
    read(recognise(root))
    with zipfile.ZipFile(root / "wordvec_array.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
    read(recognise(root))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("names", [NAMES, (NAMES[2], NAMES[1], NAMES[0])])
def test_from_the_three_files_to_label_embeddings(tmp_path, monkeypatch, names):
    """The commands of the documents; the vectors are those of the columns in alphabetical order."""
    vectors = publish(tmp_path / "nus", names=names)
    for record in RECORDS:
        photograph(tmp_path / "nus" / record.image)
    monkeypatch.chdir(tmp_path)
    source = f"nus/{names[2]}::words=converted/labels.txt::order=alphabetical"
    for command in (
        ["data", "check", "nus"],
        ["data", "convert", "nus", "converted"],
        ["embed-labels", "converted/labels.txt", "--source", source, "--output", "vectors.safetensors"],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    from zsmld.labels.embeddings import LabelEmbeddings

    table = LabelEmbeddings.load(tmp_path / "vectors.safetensors")
    for at, word in enumerate(sorted([*SEEN, *UNSEEN])):
        np.testing.assert_allclose(table.select([word]).vectors[0], vectors[:, at], rtol=1e-5)
