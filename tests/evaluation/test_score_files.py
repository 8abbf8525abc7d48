"""Tables of scores and truth in every form, and what is wrong with them told by place."""

import csv
import subprocess
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from zsmld import evaluate_scores
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.evaluation.score_files import read_numbers, truth_of

LABELS = ("dog", "polar bear", "sea")
VALUES = np.array([[0.5, -1.25, 3], [0, 1e-7, -2]], dtype=np.float32)


def written(path, values=VALUES, labels=None, images=None):
    """The file `path` in the form of its name's ending."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, scores=values, names=np.array(["not", "numbers"]))
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file({"scores": np.ascontiguousarray(values)}, path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            if labels:
                writer.writerow([*(["image"] if images else []), *labels])
            for at, row in enumerate(values.tolist()):
                writer.writerow([*([images[at]] if images else []), *row])
    else:
        columns = {"image": list(images)} if images else {}
        columns |= {label: values[:, at] for at, label in enumerate(labels or LABELS)}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "csv", "parquet"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.bool_])
def test_every_form_gives_the_same_numbers(tmp_path, kind, dtype):
    values = VALUES.astype(dtype)
    if kind == "csv":
        values = values.astype(np.float32)  # CSV has no truth values
    found = read_numbers(written(tmp_path / f"t.{kind}", values), labels=LABELS)
    assert np.array_equal(np.asarray(found.values, dtype=np.float32), values.astype(np.float32))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("images", [None, ("a.jpg", "b,c.jpg")])
def test_names_of_columns_and_rows_are_read(tmp_path, kind, images):
    spelt = ("Dog", "polar_bear", "sea")
    found = read_numbers(written(tmp_path / f"t.{kind}", labels=spelt, images=images), labels=LABELS)
    assert found.names == spelt and found.images == images and np.array_equal(found.values, VALUES)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_in_another_order_are_refused(tmp_path, kind):
    path = written(tmp_path / f"t.{kind}", labels=("dog", "sea", "polar bear"))
    with pytest.raises(InputError, match="column 2 is 'sea', label 2 is 'polar bear'"):
        read_numbers(path, labels=LABELS)


def test_labels_that_are_numbers_are_no_line_of_numbers(tmp_path):
    for images in (None, ("a.jpg", "b.jpg")):
        path = written(tmp_path / "t.csv", labels=("1990", "2000", "2010"), images=images)
        found = read_numbers(path, labels=("1990", "2000", "2010"))
        assert np.array_equal(found.values, VALUES) and found.images == images


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=9)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_csv_comes_back_as_it_was_written(tmp_path_factory, data):
    width, height = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    values = np.array([[data.draw(NUMBERS) for _ in range(width)] for _ in range(height)], dtype=np.float32)
    labels = tuple(f"label {at}" for at in range(width))
    with_images = data.draw(st.booleans())
    images = tuple("i" + data.draw(NAMES) for _ in range(height)) if with_images else None
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    written(path, values, labels=labels if data.draw(st.booleans()) else None, images=images)
    found = read_numbers(path, labels=labels)
    assert np.array_equal(found.values, values) and found.images == images


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('0123456789.,-eE"\n\r naif;\t'), max_size=60))
def test_no_text_is_worse_than_an_error_of_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text(text, "utf-8", newline="")
    try:
        found = read_numbers(path, labels=LABELS)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert found.values.shape[1] == 3 and len(found.values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no line of numbers"),
        ("dog,polar bear,sea\n", "holds no line of numbers"),
        ("1,2,3\n1,x,3\n", r":2: 'x' is no number"),
        ("1,2,3\n1,2\n", r":2: has 2 cells, unlike the lines before"),
        ("a.jpg,1,2,3\n1,2,3\n", r":2: has 3 cells, unlike"),
        ("a.jpg\nb.jpg\n", r"holds no line of numbers|:2: 'b.jpg' is no number"),
        ("1,2\n3,4\n5,6\n", r"is a table of 3 × 2, expected 3 columns, one a label.*It may be turned"),
        ("1,2,3,4\n", r"is a table of 1 × 4, expected 3 columns"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told_by_line(tmp_path, text, says):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_numbers(path, labels=LABELS)


def test_text_that_is_not_utf_8_is_told_by_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"1,2,3\n1,\xff,3\n")
    with pytest.raises(InputError, match=r"t\.csv.*is not UTF-8 text"):
        read_numbers(path, labels=LABELS)


def test_files_without_one_table_of_numbers_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES)
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "objects.npy", np.array([[None]]), allow_pickle=True)
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x"], "b": ["y"]}), tmp_path / "t.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"a": [[1]], "b": [[2]]}), tmp_path / "lists.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    for name, says in {
        "two.npz": "there is 'a .*, 'b ",
        "words.npy": "expected one table of numbers",
        "objects.npy": "objects",
        "t.parquet": "expected a column of numbers a label",
        "lists.parquet": "column 'a' holds list",
        "cut.parquet": "is no whole Parquet file",
        "absent.npy": "no such file",
    }.items():
        with pytest.raises(InputError, match=says) as caught:
            read_numbers(tmp_path / name, labels=LABELS)
        assert str(tmp_path / name) in str(caught.value)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = written(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EnvironmentFailure, match=r"needs pyarrow.*zsmld"):
        read_numbers(path, labels=LABELS)


def test_truth_is_read_as_people_write_it():
    def read(values):
        true, known = truth_of(np.array(values), None)
        return true.tolist(), None if known is None else known.tolist()

    assert read([[1, 0]]) == ([[True, False]], None)
    assert read([[True, False]]) == ([[True, False]], None)
    assert read([[1, -1]]) == ([[True, False]], None)
    assert read([[1, -1, 0]]) == ([[True, False, False]], [[True, True, False]])
    assert read([[1.0, np.nan, 0.0]]) == ([[True, False, False]], [[True, False, True]])
    with pytest.raises(InputError, match="holds 2, expected 1 for true"):
        read([[1, 2]])


def test_files_and_arrays_give_the_same_report_in_any_order_of_labels(tmp_path):
    draw = np.random.default_rng(0)
    labels = ["dog", "cat", "sea", "boats", "boat"]
    truth = draw.random((80, 5)) < 0.3
    scores = (draw.normal(size=truth.shape) + truth).astype(np.float32)
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    (tmp_path / "seen.txt").write_text("sea\nDog\nboats\n")
    files = [written(tmp_path / "s.npy", scores), written(tmp_path / "t.safetensors", truth.astype(np.int8))]
    from_files = evaluate_scores(*files, tmp_path / "labels.txt", tmp_path / "seen.txt", resamples=50)
    order = [4, 2, 0, 3, 1]
    turned = evaluate_scores(
        scores[:, order], truth[:, order].astype(float), [labels[at] for at in order], ["dog", "sea", "boats"],
        resamples=50,
    )  # fmt: skip
    assert [each.label for each in from_files.labels] == ["dog", "sea", "boats", "cat", "boat"]
    for name, figures in from_files.sets.items():
        assert turned.sets[name] == pytest.approx(figures)
        assert turned.intervals[name]["f1@3"] == pytest.approx(from_files.intervals[name]["f1@3"])
    assert set(from_files.sets) == {"zsl", "gzsl", "seen", "zsl_without_twins"}
    assert from_files.details["twins"] == {"boat": "boats"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"targets": np.zeros((3, 3))}, "has 3 rows, the scores have 2"),
        ({"scores": VALUES[:, :2]}, r"scores of shape \(2, 2\), expected \(images, 3\)"),
        ({"scores": np.where(VALUES == 3, np.nan, VALUES)}, "row 1, column 3: a score that is no number"),
        ({"targets": VALUES}, "expected 1 for true"),
        ({"seen": ["dog", "cow"]}, "seen label 'cow' is none of the 3 labels"),
        ({"labels": ["dog", "Dog", "sea"]}, "same label"),
    ],
)
def test_what_does_not_go_together_is_refused(change, says):
    given = {"scores": VALUES, "targets": np.eye(2, 3), "labels": LABELS, "seen": ["dog"]} | change
    with pytest.raises(InputError, match=says):
        evaluate_scores(**given)


def test_images_in_another_order_are_refused(tmp_path):
    scores = written(tmp_path / "s.csv", images=("a.jpg", "b.jpg"))
    targets = written(tmp_path / "t.parquet", np.eye(2, 3, dtype=np.float32), images=("b.jpg", "a.jpg"))
    with pytest.raises(InputError, match=r"row 1 is image 'b\.jpg', in the scores 'a\.jpg'"):
        evaluate_scores(scores, targets, LABELS, ["dog"])


def test_partial_truth_is_said(capsys):
    report = evaluate_scores(VALUES, np.array([[1, -1, 0], [0, 1, -1]]), LABELS, ["dog"], resamples=0)
    assert "66.7 % of the truth is known" in capsys.readouterr().err
    assert report.sets["gzsl"]["known"] == pytest.approx(4 / 6)


@pytest.mark.parametrize("way", ["python", "command line"])
def test_torch_is_not_imported(tmp_path, way):
    written(tmp_path / "s.npy")
    written(tmp_path / "t.npy", np.eye(2, 3))
    (tmp_path / "l.txt").write_text("\n".join(LABELS))
    (tmp_path / "seen.txt").write_text("dog\n")
    called = {
        "python": "zsmld.evaluate_scores('s.npy', 't.npy', 'l.txt', 'seen.txt').write(Path('r'))",
        "command line": "assert not zsmld.cli.run('eval --gzsl --scores s.npy --targets t.npy --labels l.txt "
        "--seen seen.txt --report r'.split())",
    }[way]
    code = f"import sys, zsmld, zsmld.cli; from pathlib import Path; {called}; assert 'torch' not in sys.modules"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["report.html", "report.json", "report.md"]
