"""`zsmld.train(closed_set=True)` end to end: several labels an image, one label an image, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

import zsmld
from zsmld.cli import run as command
from zsmld.decoder.model_folder import load_model
from zsmld.decoder.probabilities import Probabilities
from zsmld.errors import InputError, UsageError
from zsmld.training import objective as objectives

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 60, 220), "Dark Yellow": (230, 220, 40)}
CLASSES = ("blue", "Dark Yellow", "green", "red")  # alphabetical, whatever the case
SETTINGS = {
    "annotations": "annotations.jsonl", "backbone": "timm:test_convnext", "image_size": 32,
    "backbone_weights": "random", "width": 16, "heads": 2, "feed_forward": 16, "batch_size": 4, "epochs": 2,
    "closed_set": True, "device": "cpu",
}  # fmt: skip


def write_records(records):
    Path("annotations.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def read_records():
    return [json.loads(line) for line in Path("annotations.jsonl").read_text().splitlines()]


@pytest.fixture(params=[1, 2])
def labels_an_image(request):
    return request.param


@pytest.fixture
def workspace(tmp_path, monkeypatch, labels_an_image):
    """Forty little photographs of one or two colours each."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(40):
        names = rng.choice(list(COLOURS), size=labels_an_image, replace=False)
        pixels = rng.integers(0, 40, size=(32, 32, 3))
        for half, name in zip((slice(16), slice(16, 32)), np.resize(names, 2), strict=True):
            pixels[:, half] += COLOURS[name]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        split = "train" if number < 30 else "test"
        records.append({"image": f"{number}.png", "labels": sorted(names), "split": split})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    write_records(records)
    return tmp_path


one_label = pytest.mark.parametrize("labels_an_image", [1], indirect=True)
two_labels = pytest.mark.parametrize("labels_an_image", [2], indirect=True)


@two_labels
def test_its_classes_are_the_labels_of_training_images_and_eval_and_predict_use_them(workspace):
    records = read_records()
    records[39]["labels"].append("sunset")  # a test image's alone
    write_records(records)
    run = zsmld.train(**SETTINGS, groups=3)
    trained = load_model(run)
    assert trained.seen == CLASSES and trained.closed_set and not trained.single_label
    assert trained.model.head.sizes["groups"] == 3 and trained.model.head.sizes["num_classes"] == 4
    assert not (run / "labels.safetensors").exists()
    report = zsmld.evaluate(annotations="annotations.jsonl", model=run)
    assert set(report.sets) == {"closed_set"} and report.sets["closed_set"]["labels"] == 4
    assert json.loads((run / "report.json").read_text())["closed_set"] == report.to_json()["closed_set"]

    tagger = zsmld.ZeroShotTagger.from_pretrained(run, device="cpu")
    (found,) = tagger.predict(["39.png"], top_k=0)
    store = trained.model.backbone.preprocess(Image.open("39.png").convert("RGB"))
    with torch.inference_mode():
        logits = trained.model(store[None], None)[0]
    expected = dict(zip(CLASSES, torch.sigmoid(logits).tolist(), strict=True))
    assert {each.label: each.score for each in found.labels} == pytest.approx(expected, abs=1e-5)
    (some,) = tagger.predict(["39.png"], ["RED", "dark_yellow"], top_k=0)
    assert {each.label for each in some.labels} == {"red", "Dark Yellow"}
    assert {each.label: each.score for each in some.labels}["red"] == pytest.approx(expected["red"], abs=1e-5)


@one_label
def test_one_label_an_image_is_learned_and_its_probabilities_add_up(workspace):
    run = zsmld.train(**SETTINGS | {"epochs": 30, "learning_rate": 1e-2}, single_label=True, train_backbone=True)
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert max(record["validation_accuracy"] for record in history) == 1.0
    figures = zsmld.evaluate(annotations="annotations.jsonl", model=run).sets["closed_set"]
    assert figures["accuracy@1"] >= 0.9 and figures["accuracy@5"] == 1.0
    tagger = zsmld.ZeroShotTagger.from_pretrained(run, device="cpu")
    (whole,) = tagger.predict(["39.png"], top_k=0)
    assert sum(each.score for each in whole.labels) == pytest.approx(1, abs=1e-6)
    (part,) = tagger.predict(["39.png"], ["red"], top_k=0)
    assert part.labels[0] in whole.labels  # other classes still have their share


@one_label
def test_the_figures_of_one_label_an_image_are_those_of_its_probabilities(workspace):
    run = zsmld.train(**SETTINGS, single_label=True)
    figures = zsmld.evaluate(annotations="annotations.jsonl", model=run).sets["closed_set"]
    tests = [record for record in read_records() if record["split"] == "test"]
    found = zsmld.ZeroShotTagger.from_pretrained(run, device="cpu").predict([each["image"] for each in tests], top_k=0)
    scores = np.array([[{s.label: s.score for s in each.labels}[name] for name in CLASSES] for each in found])
    truth = np.array([[name in each["labels"] for name in CLASSES] for each in tests])
    expected = [average_precision_score(truth[:, at], scores[:, at]) for at in range(4) if truth[:, at].any()]
    assert figures["map"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert figures["accuracy@1"] == pytest.approx(np.mean(truth[np.arange(10), scores.argmax(1)]))


@one_label
def test_its_loss_is_the_cross_entropy_of_the_class(workspace):
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]])
    expected = [np.log(np.exp(row).sum()) - row[at] for row, at in zip(logits.numpy(), (1, 2), strict=True)]
    cost = objectives.SingleLabel().cost(logits, torch.tensor([[0.0, 1, 0], [0, 0, 1]]), None, None)
    assert float(cost) == pytest.approx(np.mean(expected))


@one_label
def test_a_run_that_was_cut_ends_with_the_same_bits(workspace):
    whole = zsmld.train(**SETTINGS, single_label=True)
    cut = zsmld.train(**SETTINGS, single_label=True)
    for name in ("config.json", "model.safetensors"):
        (cut / name).unlink()
    again = zsmld.train(**SETTINGS, single_label=True, resume=True, run=cut)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="--single-label"):
        (cut / "config.json").unlink()
        zsmld.train(**SETTINGS, resume=True, run=cut)


@two_labels
def test_test_records_have_no_say_in_classes_and_weights(workspace):
    before = (zsmld.train(**SETTINGS) / "model.safetensors").read_bytes()
    records = [{"image": "absent.png", "labels": ["aardvark"], "split": "test"}, *read_records()[:30]]
    write_records(records)
    assert (zsmld.train(**SETTINGS) / "model.safetensors").read_bytes() == before


@two_labels
def test_probabilities_are_measured_on_validation_images(workspace):
    few = zsmld.train(**SETTINGS)  # three of them
    assert Probabilities.load(few) == Probabilities() and "not measured" in (few / "README.md").read_text()
    run = zsmld.train(**SETTINGS | {"epochs": 12, "learning_rate": 1e-2}, validation_fraction=0.5)
    found = Probabilities.load(run)
    assert found.seen.is_measured and not found.unseen.is_measured and found.seen.positives == 30
    report = zsmld.evaluate(annotations="annotations.jsonl", model=run)
    assert report.details["probabilities"] == found.told()
    bins = report.details["calibration_error"]["closed_set"]["bins"]
    assert sum(each["pairs"] for each in bins) == 40


@one_label
def test_one_label_an_image_has_its_softmax_and_no_curve(workspace):
    run = zsmld.train(**SETTINGS, single_label=True, validation_fraction=0.5)
    assert not (run / "probabilities.json").exists() and "probabilities" not in (run / "README.md").read_text()


@two_labels
def test_a_label_of_validation_images_alone_is_no_class(workspace):
    records = read_records()
    records[29] |= {"labels": ["sunset", "red"], "split": "val"}
    write_records(records)
    assert load_model(zsmld.train(**SETTINGS)).seen == CLASSES


@two_labels
def test_a_label_file_names_the_classes(workspace):
    (workspace / "some.txt").write_text("red\ngreen\n")
    assert load_model(zsmld.train(**SETTINGS, seen="some.txt")).seen == ("red", "green")


@two_labels
def test_force_leaves_nothing_of_a_zero_shot_model(workspace):
    run = zsmld.train(**SETTINGS, run="runs/a")
    (run / "labels.safetensors").write_bytes(b"of another model")
    zsmld.train(**SETTINGS, run="runs/a", force=True)
    assert not (run / "labels.safetensors").exists()


def flags(**values):
    merged = {name: value for name, value in SETTINGS.items() if name != "closed_set"} | values
    return [part for name, value in merged.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@two_labels
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--single-label"], "--single-label belongs to a closed-set head. Add --closed-set."),
        (["--groups", "3"], "--groups belongs to a closed-set head. Add --closed-set."),
        (["--closed-set", "--groups", "0"], "--groups: '0' is not at least 1"),
        (["--closed-set", "--label-sample", "3"], "--label-sample has no part in --closed-set"),
        (["--closed-set", "--control", "shuffled-embeddings"], "--control has no part in --closed-set"),
        (["--closed-set", "--label-vectors", "raw"], "--label-vectors has no part in --closed-set"),
        (["--closed-set", "--single-label"], r"annotations.jsonl:1: image '0.png' has 2 of the 4 classes, expected"),
    ],
)
def test_what_does_not_fit_is_one_line(workspace, capsys, arguments, problem):
    assert command(["train", *flags(), *arguments]) in (2, 3)
    told = capsys.readouterr().err.strip()
    assert problem in told and len(told.splitlines()) == 1
    assert not (workspace / "runs").exists()


@one_label
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"labels": []}, "has none of the 4 classes"),
        ({"labels": ["red"], "negatives": ["green"]}, "is not known to have or to lack each of the 4 classes"),
    ],
)
def test_each_image_must_have_its_class(workspace, change, problem):
    records = read_records()
    records[7].pop("labels")
    records[7] |= change
    write_records(records)
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        zsmld.train(**SETTINGS, single_label=True)
    assert caught.value.line == 8


@two_labels
def test_what_needs_vectors_says_that_there_are_none(workspace, capsys):
    run = zsmld.train(**SETTINGS, run="runs/a")
    (workspace / "words.txt").write_text("red\n\ngren\n")
    for arguments, problem in {
        ("eval", "--annotations", "annotations.jsonl", "--gzsl"): "a closed-set model knows no unseen labels",
        (
            "predict",
            "39.png",
            "--labels",
            "words.txt",
        ): "words.txt:3: 'gren' is none of the 4 classes of the closed-set model. Did you mean 'green'?",
        ("predict", "39.png", "--source", "v.txt"): "is a closed-set model: it scores its 4 classes and no other words",
        ("predict", "39.png", "--short-list", "on"): "is a closed-set model",
        ("short-list", "39.png"): "is a closed-set model",
    }.items():
        capsys.readouterr()
        assert command([*arguments, "--model", str(run)]) in (2, 3), arguments
        told = capsys.readouterr().err
        assert problem in told and "Traceback" not in told


@two_labels
def test_words_that_are_no_classes_can_be_skipped_and_all_classes_are_the_default(workspace, capsys):
    run = zsmld.train(**SETTINGS, run="runs/a")
    (workspace / "words.txt").write_text("gren\nred\n")
    shared = ["predict", "39.png", "--model", str(run), "--format", "jsonl"]
    assert command([*shared, "--labels", "words.txt", "--missing", "skip"]) == 0
    told = capsys.readouterr()
    assert [each["label"] for each in json.loads(told.out)["labels"]] == ["red"] and "'gren'" in told.err
    assert command([*shared, "--top-k", "0"]) == 0
    assert {each["label"] for each in json.loads(capsys.readouterr().out)["labels"]} == set(CLASSES)


@two_labels
def test_eval_says_what_else_the_images_have_and_prints_the_figures(workspace, capsys):
    (workspace / "some.txt").write_text("red\ngreen\n")
    run = zsmld.train(**SETTINGS, seen="some.txt", run="runs/a")
    capsys.readouterr()
    assert command(["eval", "--annotations", "annotations.jsonl", "--model", str(run)]) == 0
    told = capsys.readouterr()
    assert "2 labels of the images are no classes of the model" in told.err
    assert "closed set" in told.out and "mAP" in told.out and "ZSL" not in told.out
    assert command(["eval", "--annotations", "annotations.jsonl", "--model", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["closed_set"]["images"] == 10


@two_labels
def test_a_description_that_does_not_fit_is_refused(workspace):
    run = zsmld.train(**SETTINGS)
    described = json.loads((run / "config.json").read_text())
    for change, problem in (({"seen": ["red"]}, "names 1 classes of 4"), ({"single_label": 1}, "single_label is")):
        (run / "config.json").write_text(json.dumps(described | change))
        with pytest.raises(InputError, match=problem):
            load_model(run)
