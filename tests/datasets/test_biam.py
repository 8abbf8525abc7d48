"""BiAM's features: read, trained on, measured; what is wrong with them is named with its image."""

import json
import pickle
from dataclasses import replace

import h5py
import numpy as np
import pytest
from biam_files import name_of, publish, write_part
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from layout_cases import as_jsonl, facts, photograph, read
from nus_wide_files import write_lines
from test_nus_wide import RECORDS, SEEN, UNSEEN

import zsmld
from zsmld.cli import main
from zsmld.datasets.biam import photograph as photograph_of
from zsmld.datasets.biam import read_names, recognise
from zsmld.datasets.reading import present
from zsmld.errors import EnvironmentFailure, InputError, UsageError

T, C = 6, 5
LABELS = [*SEEN, *UNSEEN]


def features(record):
    return np.random.default_rng(len(record.image) * 31 + ord(record.image[-5])).normal(size=(T, C)).astype(np.float32)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return publish(tmp_path / "BiAM", RECORDS, SEEN, UNSEEN, features)


@pytest.mark.parametrize("minus", [False, True])
@pytest.mark.parametrize("test_width", ["both", "seen"])
def test_labels_are_those_of_jsonl_and_tokens_those_written(tmp_path, minus, test_width):
    root = publish(tmp_path / "BiAM", RECORDS, SEEN, UNSEEN, features, minus=minus, test_width=test_width)
    layout = recognise(root)
    for _ in range(2):  # and again, out of the cache
        dataset = read(layout)
        assert facts(dataset, LABELS) == facts(as_jsonl(tmp_path / "j", RECORDS), LABELS)
        assert dataset.vocabulary == tuple(LABELS) and dataset.complete.all()
        by_name = {record.image: record for record in RECORDS}
        expected = np.stack([features(by_name[image]) for image in dataset.images])
        np.testing.assert_array_equal(dataset.features.read(range(len(dataset))), expected)
        rows = np.array([4, 0, 2])
        np.testing.assert_array_equal(dataset.take(rows).features.read([1, 2]), expected[[0, 2]])
    assert layout.lists == {"seen": tuple(SEEN), "unseen": tuple(UNSEEN)}
    assert present(dataset, allow_missing=False) is dataset
    assert (dataset.features.tokens, dataset.features.channels) == (T, C)


def test_zero_is_unknown_where_there_is_a_minus(root, capsys):
    path = root / "NUS-WIDE/features/nus_wide_train.h5"
    part = [record for record in RECORDS if record.split == "train"]
    write_part(path, part, SEEN, UNSEEN, features, minus=True, wide=False)
    with h5py.File(path, "r+") as file:
        file[f"{name_of(part[0])}-labels"][1] = 0
    dataset = read(recognise(root))
    assert "nus_wide_train.h5: it has -1, so that is false, and 0 unknown" in capsys.readouterr().err
    known = dataset.known(LABELS)
    row = dataset.images.index(part[0].image)
    assert known[row].tolist() == [True, False, True, True, True, True] and known.sum() == known.size - 1


def test_other_places_and_lists(root, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in root.rglob("*.*"):
        if path.is_file() and path.name != "TagList1k.txt":
            path.rename(flat / path.name)
    write_lines(flat / "Concepts925.txt", SEEN)
    assert facts(read(recognise(flat)), LABELS) == facts(as_jsonl(tmp_path / "j", RECORDS), LABELS)
    assert recognise(flat / "nus_wide_train.h5") is None


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ("features/nus_wide_test.h5", "no nus_wide_test.h5 below"),
        ("test_img_names.pkl", "no test_img_names.pkl below"),
        ("img_names.pkl", "so no train images"),
    ],
)
def test_half_of_it_can_be_read(root, absent, told):
    (root / "NUS-WIDE" / absent).unlink()
    layout = recognise(root)
    assert told in layout.told[-1]
    assert len({record.split for record in read(layout).records()}) == 1


@pytest.mark.parametrize("absent", ["ConceptsList/Concepts81.txt", "NUS_WID_Tags/TagList1k.txt"])
def test_without_the_order_of_labels_nothing_is_guessed(root, absent):
    (root / "NUS-WIDE" / absent).unlink()
    with pytest.raises(InputError, match="the order of the labels is in it"):
        read(recognise(root))


def changed(root, change, file="test"):
    with h5py.File(root / f"NUS-WIDE/features/nus_wide_{file}.h5", "r+") as opened:
        change(opened)


def put(key, value):
    def change(file):
        del file[key]
        file[key] = value

    return change


NAME = "sea_0001_10.jpg"
WRONG = {
    "no features": (lambda f: f.__delitem__(f"{NAME}-features"), rf"_test\.h5: has no '{NAME}-features'.*'{NAME}'"),
    "no labels": (lambda f: f.__delitem__(f"{NAME}-labels"), rf"has no '{NAME}-labels': nothing for image '{NAME}'"),
    "no concepts": (lambda f: f.__delitem__(f"{NAME}-labels_81"), rf"has no '{NAME}-labels_81'"),
    "short": (put(f"{NAME}-labels", np.int8([1, 0])), rf"'{NAME}-labels' is of shape \(2,\), expected 3 or 6"),
    "matrix": (put(f"{NAME}-labels_81", np.zeros((3, 1))), rf"'{NAME}-labels_81' is of shape \(3, 1\)"),
    "values": (put(f"{NAME}-labels_81", np.int8([0, 2, 0])), rf"'{NAME}-labels_81' has other values than -1, 0 and 1"),
    "nan": (put(f"{NAME}-labels_81", np.full(3, np.nan)), "has other values than -1, 0 and 1"),
    "contradiction": (put(f"{NAME}-labels_81", np.int8([1, 1, 1])), rf"labels of image '{NAME}' contradict"),
    "a group": (lambda f: (f.__delitem__(f"{NAME}-labels"), f.create_group(f"{NAME}-labels")), rf"image '{NAME}'"),
    "text": (put(f"{NAME}-labels", "hello"), rf"'{NAME}-labels' is of shape \(\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_labels_that_are_wrong_name_their_image(root, name):
    change, problem = WRONG[name]
    changed(root, change)
    with pytest.raises(InputError, match=problem):
        read(recognise(root))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.zeros((T, C)), rf"image '{NAME}' are float64 of shape \(6, 5\), expected numbers of shape \(5, 6\)"),
        (np.full((C, T), np.inf), rf"features of image '{NAME}' are not all finite"),
        (np.zeros((C, T), dtype="S1"), rf"features of image '{NAME}' are"),
    ],
)  # fmt: skip
def test_features_that_are_wrong_name_their_image(root, value, problem):
    changed(root, put(f"{NAME}-features", value))
    dataset = read(recognise(root))
    with pytest.raises(InputError, match=problem):
        dataset.features.read([dataset.images.index("sea/0001_10.jpg")])


def test_files_that_are_no_whole_hdf5(root):
    path = root / "NUS-WIDE/features/nus_wide_train.h5"
    whole = path.read_bytes()
    for broken in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"nus_wide_train\.h5: is no whole HDF5 file|image"):
            read(recognise(root))


@pytest.mark.parametrize(
    "value",
    [["a"], {"names": ["a"]}, {"img_names": []}, {"img_names": [1]}, {"img_names": "a"}, {"img_names": ("a",)}, 3],
)
def test_pickles_of_something_else(tmp_path, value):
    (tmp_path / "img_names.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match=r"img_names\.pkl: is no pickle of"):
        read_names(tmp_path / "img_names.pkl")


def test_a_pickle_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    (tmp_path / "img_names.pkl").write_bytes(pickle.dumps({"img_names": [Evil()]}))
    with pytest.raises(InputError):
        read_names(tmp_path / "img_names.pkl")
    assert not (tmp_path / "ran").exists()


def test_names_twice(root):
    folder = root / "NUS-WIDE"
    (folder / "img_names.pkl").write_bytes(pickle.dumps({"img_names": ["a_1_2.jpg", "a_1_2.jpg"]}))
    with pytest.raises(InputError, match=r"img_names\.pkl: the images 'a_1_2.jpg' and 'a_1_2.jpg'"):
        read(recognise(root))
    (folder / "img_names.pkl").write_bytes(pickle.dumps({"img_names": [NAME]}))

    def add(file):
        for key, value in (
            ("labels", np.int8([0] * 3)),
            ("labels_81", np.int8([0] * 3)),
            ("features", np.zeros((C, T))),
        ):
            file[f"{NAME}-{key}"] = value

    changed(root, add, "train")
    with pytest.raises(
        InputError, match=rf"test_img_names\.pkl: image '{NAME}' \(number 1\) is also in img_names\.pkl"
    ):
        read(recognise(root))


@given(st.text("ab_./\\:", min_size=1, max_size=12))
def test_photographs_of_names(name):
    path = photograph_of(name)
    assert path.replace("/", "_") == name.replace("/", "_")


def test_where_nus_wide_has_the_photograph():
    assert photograph_of("polar_bear_0001_2124494179.jpg") == "polar_bear/0001_2124494179.jpg"
    assert photograph_of("a.jpg") == "a.jpg" and photograph_of("1_2.jpg") == "1_2.jpg"


def test_without_h5py_it_is_said_what_to_install(root, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(EnvironmentFailure, match=r"pip install 'zsmld\[data\]'"):
        read(recognise(root))


# Training and evaluation.


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Forty images whose tokens tell their labels, and vectors of the labels."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    records = []
    for at in range(40):
        labels = tuple(word for word in LABELS if generator.random() < 0.4)
        records.append(
            replace(RECORDS[0], image=f"x/{at:04d}_1.jpg", labels=labels, split="train" if at < 30 else "test")
        )
    directions = {word: generator.normal(size=C) for word in LABELS}

    def tokens(record):
        told = sum((directions[word] for word in record.labels), np.zeros(C))
        return np.tile(told, (T, 1)).astype(np.float16).astype(np.float32)

    publish(tmp_path / "BiAM", records, SEEN, UNSEEN, tokens)
    rows = [f"{word} " + " ".join(f"{number:.4f}" for number in generator.normal(size=4)) for word in LABELS]
    (tmp_path / "glove.txt").write_text("\n".join(rows) + "\n")
    zsmld.embed_labels(LABELS, source=tmp_path / "glove.txt").save("embeddings.safetensors")
    for name, words in (("seen", SEEN), ("unseen", UNSEEN)):
        write_lines(tmp_path / f"{name}.txt", words)
    return records, tokens


SETTINGS = {
    "annotations": "BiAM", "seen": "seen.txt", "embeddings": "embeddings.safetensors", "width": 16, "heads": 2,
    "feed_forward": 16, "batch_size": 8, "epochs": 2, "validation_fraction": 0.0,
}  # fmt: skip


def test_train_and_evaluate_without_a_backbone(workspace, capsys):
    run = zsmld.train(**SETTINGS)
    report = zsmld.evaluate(model=run, annotations="BiAM", unseen="unseen.txt", gzsl=True)
    figures = report.to_json()
    assert figures["zsl"]["labels"] == 3 and 0 < figures["gzsl"]["map"] <= 1
    assert json.loads((run / "config.json").read_text())["backbone"] == {"name": "features", "tokens": T, "channels": C}
    assert "no backbone" in (run / "README.md").read_text()
    # Scores by hand: the head on the tokens.
    import torch

    from zsmld.decoder.model_folder import load_model
    from zsmld.evaluation.metrics import average_precision

    trained = load_model(run)
    records, tokens = workspace
    test = [record for record in records if record.split == "test"]
    with torch.inference_mode():
        vectors = torch.from_numpy(trained.labels.select(UNSEEN).vectors)
        logits = trained.model.head(torch.from_numpy(np.stack([tokens(record) for record in test])), vectors)
    truth = np.array([[word in record.labels for word in UNSEEN] for record in test])
    expected = np.nanmean(average_precision(logits.numpy(), truth))
    assert figures["zsl"]["map"] == pytest.approx(expected, abs=1e-6)


def test_training_resumes_and_sees_other_features(workspace, tmp_path):
    run = zsmld.train(**SETTINGS, run=tmp_path / "run")
    assert zsmld.train(**SETTINGS, run=tmp_path / "run", resume=True) == run
    first = read(recognise(tmp_path / "BiAM")).digest()
    records, tokens = workspace
    part = [record for record in records if record.split == "train"]
    path = tmp_path / "BiAM/NUS-WIDE/features/nus_wide_train.h5"
    write_part(path, part, SEEN, UNSEEN, lambda record: np.tile(tokens(record), (2, 1)), minus=False, wide=False)
    assert read(recognise(tmp_path / "BiAM")).digest() != first


def test_what_does_not_go_together_is_refused(workspace, tmp_path):
    with pytest.raises(UsageError, match="there is no backbone to train along"):
        zsmld.train(**SETTINGS, train_backbone=True)
    run = zsmld.train(**SETTINGS)
    photograph(tmp_path / "photos/1.jpg")
    write_lines(tmp_path / "a.jsonl", [json.dumps({"image": "photos/1.jpg", "labels": ["sky"], "split": "test"})])
    with pytest.raises(InputError, match="was trained on ready-made features, and takes no photographs"):
        zsmld.evaluate(model=run, annotations="a.jsonl", unseen="unseen.txt")
    done = CliRunner().invoke(main, ["predict", "photos/1.jpg", "--labels", "unseen.txt", "--model", str(run)])
    assert isinstance(done.exception, InputError) and "takes no photographs" in str(done.exception)
    write_lines(tmp_path / "b.jsonl", [json.dumps({"image": "photos/1.jpg", "labels": ["dog"], "split": "train"})])
    tower = {"backbone": "timm:test_convnext", "backbone_weights": "random", "image_size": 64}
    with_backbone = zsmld.train(**SETTINGS | {"annotations": "b.jsonl", **tower})
    with pytest.raises(InputError, match="has a backbone, and takes no ready-made features"):
        zsmld.evaluate(model=with_backbone, annotations="BiAM", unseen="unseen.txt")
    records, _ = workspace
    publish(tmp_path / "wider", records, SEEN, UNSEEN, lambda _: np.ones((T, C + 1), np.float32))
    with pytest.raises(InputError, match=r"has tokens of 6 numbers, the model takes 5"):
        zsmld.evaluate(model=run, annotations="wider", unseen="unseen.txt")
    publish(tmp_path / "longer", records, SEEN, UNSEEN, lambda _: np.ones((T + 3, C), np.float32))
    zsmld.evaluate(model=run, annotations="longer", unseen="unseen.txt")


def test_check_and_convert(root, tmp_path):
    done = CliRunner().invoke(main, ["data", "check", str(root)])
    assert (
        done.exit_code == 0 and "features, no backbone: nus_wide_train.h5, train images of img_names.pkl" in done.output
    )
    done = CliRunner().invoke(main, ["data", "convert", str(root), str(tmp_path / "out")])
    assert done.exit_code == 0 and "the features stay behind" in done.output
    lines = (tmp_path / "out/annotations.jsonl").read_text().splitlines()
    assert {json.loads(line)["image"] for line in lines} == {record.image for record in RECORDS}
