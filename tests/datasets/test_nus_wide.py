"""NUS-WIDE as its publishers give it: which file is whose truth, names, and what is refused."""

import gzip
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from layout_cases import as_jsonl, facts, photograph, read
from nus_wide_files import publish, write_lines
from sklearn.metrics import average_precision_score, f1_score

from zsmld.cli import main
from zsmld.datasets.nus_wide import recognise
from zsmld.datasets.reading import present
from zsmld.datasets.records import ImageRecord
from zsmld.errors import InputError, PartialFailure
from zsmld.evaluation.metrics import average_precision, top_k
from zsmld.labels.vocabulary import read_vocabulary

SEEN, UNSEEN = ["clouds", "dog", "nature"], ["animal", "dogs", "sky"]
RECORDS = (
    ImageRecord("actor/0001_212.jpg", ("clouds", "sky"), "train"),
    ImageRecord("actor/0002_213.jpg", (), "train"),
    ImageRecord("Zoo/0001_9.jpg", ("dog", "nature", "animal", "dogs"), "train"),
    ImageRecord("sea/0001_10.jpg", ("sky", "nature"), "test"),
    ImageRecord("sea/0007_11.jpg", ("animal",), "test"),
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    return publish(tmp_path / "NUS", RECORDS, SEEN, UNSEEN)


def photographs(folder, images=tuple(record.image for record in RECORDS)):
    for image in images:
        photograph(folder / image)


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("suffix", [".txt", ".dat"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_form_gives_what_jsonl_gives(tmp_path, halves, suffix, ending):
    root = publish(tmp_path / "NUS", RECORDS, SEEN, UNSEEN, halves=halves, suffix=suffix, ending=ending)
    photographs(root / "Flickr")
    layout = recognise(root)
    dataset = read(layout)
    assert facts(dataset, [*SEEN, *UNSEEN]) == facts(as_jsonl(tmp_path / "j", RECORDS), [*SEEN, *UNSEEN])
    assert dataset.vocabulary == (*SEEN, *UNSEEN)
    assert layout.lists == {"seen": tuple(SEEN), "unseen": tuple(UNSEEN)}
    # Again, out of the cache.
    again = read(recognise(root))
    assert again.digest() == dataset.digest() and again.lines.tolist() == dataset.lines.tolist()


def test_it_is_told_whose_truth_is_which(root):
    told = "\n".join(recognise(root).told)
    assert "truth of the 3 concepts: people's, Groundtruth/AllLabels/Labels_*.txt" in told
    assert "truth of the 3 other labels: Flickr's tags, NUS_WID_Tags/AllTags1k.txt" in told
    assert "passed over: tags of the concepts (1 columns of Tags1k" in told


def test_files_may_lie_at_the_top_and_in_other_cases(root, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in root.rglob("*.txt"):
        shutil.copy(path, flat / path.name.upper().replace(".TXT", ".txt"))
    assert read(recognise(flat)).digest() == read(recognise(root)).digest()


def test_folders_of_archives_may_be_nested_and_lower(root):
    (root / "Groundtruth").rename(root / "groundtruth")
    (root / "ImageList").rename(root / "x")
    (root / "imagelist").mkdir()
    (root / "x").rename(root / "imagelist" / "ImageList")
    assert len(read(recognise(root))) == 5


@pytest.mark.parametrize("kept", ["ImageList", "Groundtruth", "NUS_WID_Tags", "ConceptsList"])
def test_without_lists_or_tables_it_is_something_else(root, tmp_path, kept):
    shutil.copytree(root / kept, tmp_path / "other" / kept)
    assert recognise(tmp_path / "other") is None
    assert recognise(root / TAGS) is None


def test_without_tags_the_concepts_are_left(root):
    shutil.rmtree(root / "NUS_WID_Tags")
    layout = recognise(root)
    assert "no AllTags1k" in layout.told[-1] and "NUS_WID_Tags.zip" in layout.told[-1] and layout.lists == {}
    assert read(layout).vocabulary == tuple(UNSEEN)


def test_without_ground_truth_nothing_is_guessed(root):
    shutil.rmtree(root / "Groundtruth")
    done = CliRunner().invoke(main, ["data", "check", str(root)])
    assert "Groundtruth.zip" in done.output and isinstance(done.exception, InputError)
    layout = recognise(root)
    assert "Groundtruth.zip" in layout.told[-1]
    with pytest.raises(InputError, match=r"no Groundtruth/AllLabels/Labels_\*.txt"):
        read(layout)


def test_without_the_lists_of_words(root):
    (root / "ConceptsList/Concepts81.txt").unlink()
    with pytest.raises(InputError, match=r"no Concepts81.txt .*ConceptsList.zip"):
        read(recognise(root))


def test_without_halves_a_split_file_has_to_tell(root, tmp_path):
    for name in ("Train", "Test"):
        (root / f"ImageList/{name}Imagelist.txt").unlink()
    layout = recognise(root)
    assert "give --split-file" in layout.told[-1]
    with pytest.raises(InputError, match="tells no training and test images"):
        read(layout)
    (tmp_path / "splits.csv").write_text("sea/0001_10.jpg,train\nactor/0001_212.jpg,test\n")
    dataset = read(layout, split_file=tmp_path / "splits.csv")
    assert {r.image: (r.split, r.labels) for r in dataset.records()} == {
        "sea/0001_10.jpg": ("train", ("nature", "sky")), "actor/0001_212.jpg": ("test", ("clouds", "sky")),
    }  # fmt: skip


def lines_of(path):
    return path.read_text().splitlines()


def replaced(path, line, text):
    lines = lines_of(path)
    lines[line - 1] = text
    write_lines(path, lines)


TAGS, TRAIN, TEST, ALL = (
    "NUS_WID_Tags/AllTags1k.txt", "ImageList/TrainImagelist.txt", "ImageList/TestImagelist.txt",
    "ImageList/Imagelist.txt",
)  # fmt: skip
SKY = "Groundtruth/AllLabels/Labels_sky.txt"


@pytest.mark.parametrize(
    ("path", "line", "text", "problem"),
    [
        (TAGS, 2, "0\t0\t0\t", r"AllTags1k\.txt:2: has 3 values, expected 4"),
        (TAGS, 3, "0\t0\t0\t2\t", r"AllTags1k\.txt:3: has the value '2', expected 0 or 1"),
        (TAGS, 3, "0\t0\t01\t0\t", r"AllTags1k\.txt:3: has the value '01'"),
        (TAGS, 3, "", r"AllTags1k\.txt:3: is empty, but rows follow"),
        (SKY, 5, "1\n1", r"Labels_sky\.txt: has 6 rows, but Labels_animal\.txt has 5"),
        (SKY, 1, "-1", r"Labels_sky\.txt:1: has the value '-1'"),
        (TRAIN, 2, r"..\..\etc\passwd.jpg", r"TrainImagelist\.txt:2: image '\.\./\.\./etc/passwd\.jpg' leaves"),
        (TRAIN, 2, r"C:\actor\1.jpg", r"TrainImagelist\.txt:2: image 'C:/actor/1\.jpg' leaves"),
        (TRAIN, 2, r"ACTOR\0001_212.JPG", r"TrainImagelist\.txt:2: .* stands in line 1 already"),
        (TEST, 2, r"Actor\0001_212.jpg", r"TestImagelist\.txt:2: .*training image too, in line 1 of TrainImagelist"),
        (TEST, 2, r"sea\0009_1.jpg", r"Imagelist\.txt: has no image 'sea/0009_1\.jpg'"),
        (ALL, 5, "", r"has 5 rows, but Imagelist\.txt names 4 images"),
        ("ConceptsList/Concepts81.txt", 2, "cats", r"AllLabels: has no 'Labels_cats\.txt'"),
        ("NUS_WID_Tags/TagList1k.txt", 2, "Clouds", r"TagList1k\.txt:2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(root, path, line, text, problem):
    replaced(root / path, line, text)
    with pytest.raises(InputError, match=problem):
        read(recognise(root))


def test_two_files_of_one_name_are_not_chosen_between(root):
    shutil.copy(root / TAGS, root / "AllTags1k.dat")
    with pytest.raises(InputError, match=r"stands there twice, also as AllTags1k\.(dat|txt)"):
        recognise(root)
    (root / "AllTags1k.dat").unlink()
    shutil.copy(root / TAGS, root / "alltags1k.txt")
    with pytest.raises(InputError, match="stands there twice"):
        recognise(root)


def test_images_of_no_half_are_counted(root, capsys):
    write_lines(root / TRAIN, lines_of(root / TRAIN)[:2])
    assert len(read(recognise(root))) == 4
    assert "1 images are neither for training nor for testing" in capsys.readouterr().err


PLACES = (
    "Flickr/{folder}/{name}", "Flickr/{FOLDER}/{NAME}", "Flickr/{folder}_{name}", "images/{name}", "{folder}/{name}",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_photographs_are_found_in_folders_or_flat_whatever_the_case(root, place):
    # 0001_… of actor, Zoo and sea differ behind the number.
    for record in RECORDS:
        folder, name = record.image.split("/")
        photograph(root / place.format(folder=folder, name=name, FOLDER=folder.upper(), NAME=name.upper()))
    dataset = present(read(recognise(root)), allow_missing=False)
    assert len(dataset) == 5 and all(path.is_file() for path in dataset.image_paths())


def test_missing_photographs_are_counted(root, capsys):
    photographs(root / "Flickr", [record.image for record in RECORDS[:-1]])
    dataset = read(recognise(root))
    with pytest.raises(InputError, match=r"1 of 5 images are not there, the first: .*sea/0007_11\.jpg"):
        present(dataset, allow_missing=False)
    assert len(present(dataset, allow_missing=True)) == 4
    assert "left out, 1 of 5 images" in capsys.readouterr().err
    done = CliRunner().invoke(main, ["data", "check", str(root)])
    assert isinstance(done.exception, PartialFailure) and "3 seen labels follow from it" in done.output


def test_it_converts_to_what_it_is(root, tmp_path):
    photographs(root / "Flickr")
    done = CliRunner().invoke(main, ["data", "convert", str(root), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    from zsmld.datasets.tables import read_annotations

    converted = read_annotations(tmp_path / "out/annotations.jsonl", root / "Flickr")
    assert facts(converted, [*SEEN, *UNSEEN]) == facts(read(recognise(root)), [*SEEN, *UNSEEN])
    assert lines_of(tmp_path / "out/seen.txt") == SEEN and lines_of(tmp_path / "out/unseen.txt") == UNSEEN


@pytest.mark.realdata
def test_the_real_lists_give_925_and_81(shared_data, tmp_path):
    real = shared_data / "nus_wide"
    root = publish(tmp_path / "NUS", RECORDS, ["x"], ["y"])
    concepts = read_vocabulary(real / "Concepts81.txt").labels
    shutil.copy(real / "TagList1k.txt", root / "NUS_WID_Tags/TagList1k.txt")
    shutil.copy(real / "Concepts81.txt", root / "ConceptsList/Concepts81.txt")
    write_lines(root / TAGS, ["0\t" * 1000] * 5)
    for word in concepts:
        write_lines(root / f"Groundtruth/AllLabels/Labels_{word}.txt", ["0"] * 5)
    layout = recognise(root)
    assert {name: len(labels) for name, labels in layout.lists.items()} == {"seen": 925, "unseen": 81}
    assert layout.lists["unseen"] == concepts
    assert any("passed over: tags of the concepts (75 columns" in line for line in layout.told)
    assert len(read(layout).vocabulary) == 1006


@pytest.mark.realdata
def test_real_ground_truth_goes_through_the_metrics(shared_data, tmp_path):
    """15,000 real images with what people said of them, written as published, against scikit-learn."""
    real = shared_data / "nus_wide"
    concepts = read_vocabulary(real / "Concepts81.txt").labels
    assert list(concepts) == sorted(concepts)  # the columns of the files are in alphabetical order
    records = []
    for split in ("train", "test"):
        with gzip.open(real / f"concepts81_{split}.txt.gz", "rt") as stream:
            for line in stream:
                name, *values = line.split()
                labels = tuple(word for word, value in zip(concepts, values, strict=True) if value == "1")
                records.append(ImageRecord(name.replace("images/", "Flickr/"), labels, split))
    root = publish(tmp_path / "NUS", records, ["seen"], list(concepts), shared=0)
    dataset = read(recognise(root))
    assert len(dataset) == 15_000
    assert facts(dataset.take(np.arange(50)), concepts) == facts(as_jsonl(tmp_path / "j", records[:50]), concepts)
    truth = dataset.part("test").targets(concepts)
    expected = np.array([[word in record.labels for word in concepts] for record in records if record.split == "test"])
    assert (truth == expected).all() and truth.sum() > 5_000
    scores = np.random.default_rng(0).normal(size=truth.shape).astype(np.float32) + truth
    of_each = average_precision(scores, truth)
    judged = [average_precision_score(truth[:, at], scores[:, at]) for at in np.flatnonzero(truth.any(axis=0))]
    np.testing.assert_allclose(of_each[truth.any(axis=0)], judged, atol=1e-6)
    assert np.isnan(of_each[~truth.any(axis=0)]).all()
    for k in (3, 5):
        predicted = np.zeros_like(truth)
        np.put_along_axis(predicted, np.argsort(-scores, axis=1)[:, :k], True, axis=1)
        assert top_k(scores, truth, k).f1 == pytest.approx(f1_score(truth, predicted, average="micro"), abs=1e-6)
