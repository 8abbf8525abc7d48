"""`zsmld.train` from files to a run folder: killed and resumed, repeated, refused; test records never read."""

import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import zsmld
from zsmld.decoder.model_folder import load_model
from zsmld.errors import InputError, UsageError
from zsmld.markdown import escaped

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 60, 220), "yellow": (230, 220, 40)}
SEEN, UNSEEN = ("red", "green", "blue"), ("yellow",)

# Kills itself some time after the imports are done, at a moment that nothing in the product knows of.
KILLED_LATER = """
import os, sys, threading
import timm, torch, zsmld.training.run
from zsmld.cli import run
threading.Timer(float(sys.argv[1]), lambda: os.kill(os.getpid(), 9)).start()
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Forty little photographs of two colours each, and all that `train` needs."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    records = []
    for number in range(40):
        names = rng.choice(list(COLOURS), size=2, replace=False)
        pixels = rng.integers(0, 40, size=(32, 32, 3))
        pixels[:, :16], pixels[:, 16:] = pixels[:, :16] + COLOURS[names[0]], pixels[:, 16:] + COLOURS[names[1]]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"images/{number}.png")
        split = "train" if number < 30 else "test"
        records.append({"image": f"images/{number}.png", "labels": sorted(names), "split": split})
    write_records(tmp_path, records)
    (tmp_path / "seen.txt").write_text("\n".join(SEEN))
    (tmp_path / "unseen.txt").write_text("\n".join(UNSEEN))
    vectors = {name: np.array([*colour, 50]) / 255 for name, colour in COLOURS.items()}
    lines = [f"{name} " + " ".join(f"{x:.4f}" for x in vector) for name, vector in vectors.items()]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    zsmld.embed_labels([*SEEN, *UNSEEN], source="vectors.txt").save("embeddings.safetensors")
    return tmp_path


def write_records(folder, records):
    (folder / "annotations.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def read_records(folder):
    return [json.loads(line) for line in (folder / "annotations.jsonl").read_text().splitlines()]


SETTINGS = {
    "annotations": "annotations.jsonl", "seen": "seen.txt", "backbone": "timm:test_convnext", "image_size": 32,
    "backbone_weights": "random", "width": 16, "heads": 2, "feed_forward": 16, "batch_size": 4, "epochs": 2,
}  # fmt: skip


def flags(**values):
    merged = SETTINGS | {"epochs": 12} | values
    return [part for name, value in merged.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def weights(run):
    return (run / "model.safetensors").read_bytes()


def test_a_run_leaves_all_that_is_needed_to_use_and_repeat_it(workspace):
    run = zsmld.train(**SETTINGS)
    assert run.name == "001" and (workspace / "runs" / "latest").resolve() == run.resolve()
    record = json.loads((run / "run.json").read_text())
    assert record["settings"]["seed"] == 0 and "torch" in record["versions"] and "annotations" in record["digests"]
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    trained = load_model(run)
    assert trained.seen == SEEN and trained.labels.labels == SEEN + UNSEEN
    assert escaped("timm:test_convnext") in (run / "README.md").read_text()


def test_the_same_settings_give_the_same_bytes_and_the_next_number(workspace):
    first, second = zsmld.train(**SETTINGS), zsmld.train(**SETTINGS)
    assert (first.name, second.name) == ("001", "002")
    assert weights(first) == weights(second)
    assert weights(zsmld.train(**SETTINGS, seed=1)) != weights(first)


def test_test_records_and_unseen_labels_have_no_say_in_the_weights(workspace):
    before = weights(zsmld.train(**SETTINGS))
    scrambled = []
    for record in read_records(workspace):
        kept = [label for label in record["labels"] if label in SEEN]
        record["labels"] = list(SEEN) if record["split"] == "test" else kept
        scrambled.append(record)
    write_records(workspace, scrambled)
    (workspace / "images" / "39.png").unlink()  # a test photograph is not even looked for
    assert weights(zsmld.train(**SETTINGS)) == before


def test_what_is_unknown_has_no_say_in_training_and_is_told_by_evaluation(workspace):
    # Only the first label of a photograph, and one that it lacks, are known.
    partial, closed = [], []
    for record in read_records(workspace):
        absent = [label for label in (*SEEN, *UNSEEN) if label not in record["labels"]]
        partial.append(record | {"labels": record["labels"][:1], "negatives": absent[:1]})
        closed.append(record | {"labels": record["labels"][:1]})
    write_records(workspace, closed)
    as_negative = weights(zsmld.train(**SETTINGS))
    write_records(workspace, partial)
    run = zsmld.train(**SETTINGS)
    assert weights(run) != as_negative
    report = zsmld.evaluate(model=run, annotations="annotations.jsonl", unseen="unseen.txt", gzsl=True)
    assert report.sets["gzsl"]["known"] == pytest.approx(2 / len((*SEEN, *UNSEEN)))
    assert "left out" in report.protocol.unknown
    # What is said of other labels again changes nothing: they are in no list.
    write_records(workspace, [record | {"negatives": [*record["negatives"], "elsewhere"]} for record in partial])
    assert weights(zsmld.train(**SETTINGS)) == weights(run)


@pytest.mark.parametrize("along", [False, True])
def test_killed_at_random_points_and_resumed_it_ends_with_the_same_bits(workspace, along):
    more = {"epochs": 6} if along else {}
    arguments = ["train", *flags(run=workspace / "runs" / "cut", **more), *(["--train-backbone"] if along else [])]
    whole = [*arguments, "--run", str(workspace / "runs" / "whole")]
    subprocess.run([sys.executable, "-m", "zsmld", *whole], check=True, capture_output=True)
    environment = os.environ | {"ZSMLD_CACHE": str(workspace / "another-cache")}
    delays = random.Random(f"{os.getpid()}")
    codes = []
    for _ in range(3):
        delay = delays.uniform(0.02, 1.2)
        command = [sys.executable, "-c", KILLED_LATER, str(delay), *arguments, "--resume"]
        codes.append(subprocess.run(command, env=environment, capture_output=True, check=False).returncode)
    print("killed or finished:", codes)
    assert set(codes) <= {0, -signal.SIGKILL}
    finish = [sys.executable, "-m", "zsmld", *arguments, "--resume"]
    subprocess.run(finish, env=environment, check=True, capture_output=True)
    cut = workspace / "runs" / "cut"
    assert weights(cut) == weights(workspace / "runs" / "whole")
    assert not list(workspace.rglob(".zsmld-*.tmp"))


def test_resuming_with_other_settings_or_other_data_is_refused(workspace):
    run = zsmld.train(**SETTINGS)
    (run / "config.json").unlink()  # as if it had been cut before its end
    with pytest.raises(UsageError, match=r"--learning-rate is 0\.5, the run was started with 0\.001"):
        zsmld.train(**SETTINGS, run=run, resume=True, learning_rate=0.5)
    records = read_records(workspace)
    write_records(workspace, records[1:])
    with pytest.raises(InputError, match="the annotations changed"):
        zsmld.train(**SETTINGS, run=run, resume=True)
    write_records(workspace, records)
    assert zsmld.train(**SETTINGS, resume=True) == run
    before = weights(run)
    again = zsmld.train(**SETTINGS, run=run, resume=True)
    assert again.resolve() == run.resolve() and weights(run) == before


def test_a_folder_that_exists_is_kept_unless_forced(workspace):
    run = zsmld.train(**SETTINGS)
    with pytest.raises(UsageError, match=r"--resume .* --force"):
        zsmld.train(**SETTINGS, run=run)
    zsmld.train(**SETTINGS | {"epochs": 1}, run=run, force=True)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1


def test_the_control_is_marked_and_is_never_the_latest(workspace):
    run = zsmld.train(**SETTINGS)
    control = zsmld.train(**SETTINGS, control="shuffled-embeddings")
    assert load_model(control).labels.provenance.shuffled == 0
    assert "CONTROL" in (control / "README.md").read_text()
    assert (workspace / "runs" / "latest").resolve() == run.resolve()


def test_a_dry_run_writes_nothing(workspace, capsys):
    before = sorted(workspace.rglob("*"))
    zsmld.train(**SETTINGS, dry_run=True)
    assert sorted(workspace.rglob("*")) == before
    assert "3 seen labels" in capsys.readouterr().err


def test_embeddings_may_be_given_as_they_are(workspace):
    table = zsmld.embed_labels([*SEEN, *UNSEEN], source="vectors.txt")
    assert weights(zsmld.train(**SETTINGS, embeddings=table)) == weights(zsmld.train(**SETTINGS))


def test_end_to_end_the_backbone_moves_and_evaluation_and_prediction_use_it(workspace):
    frozen, moved = zsmld.train(**SETTINGS), zsmld.train(**SETTINGS, train_backbone=True)
    a, b = (load_model(run).model.backbone.state_dict() for run in (frozen, moved))
    assert any(not np.array_equal(a[name], b[name]) for name in a)
    report = zsmld.evaluate(model=moved, annotations="annotations.jsonl", unseen="unseen.txt", gzsl=True)
    assert report.sets["zsl"]["images"] == 10 and report.sets["gzsl"]["labels"] == 4
    given = {"annotations": "annotations.jsonl", "unseen": "unseen.txt", "precision": "bfloat16"}
    rounded = [zsmld.evaluate(model=run, **given) for run in (moved, frozen)]
    assert [each.about["precision"] for each in rounded] == ["bfloat16"] * 2
    assert rounded[0].sets["zsl"]["map"] == pytest.approx(report.sets["zsl"]["map"], abs=0.2)
    tagger = zsmld.ZeroShotTagger.from_pretrained(moved)
    predictions = tagger.predict(["images/0.png", "images/1.png"], labels=["yellow", "red"])
    assert [len(prediction.labels) for prediction in predictions] == [2, 2]
