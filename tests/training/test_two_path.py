"""The default method and the linear ones: rehearsed on held-out seen labels, resumable, and blind to test records."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from coloured import draw_workspace, write_lines
from PIL import Image

import zsmld
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import read_dataset
from zsmld.decoder.model_folder import load_model
from zsmld.decoder.probabilities import Curve, Probabilities
from zsmld.decoder.scoring import score_dataset
from zsmld.decoder.two_path import TwoPathHead
from zsmld.errors import InputError, UsageError
from zsmld.evaluation.compare import compare
from zsmld.evaluation.report_html import html
from zsmld.evaluation.report_text import notes
from zsmld.markdown import escaped
from zsmld.settings import CompareSettings
from zsmld.training import rehearsal

LABELS = tuple(f"colour {at}" for at in range(15))
SEEN, UNSEEN = LABELS[:12], LABELS[12:]
SETTINGS = {
    "annotations": "annotations.jsonl", "seen": "seen.txt", "backbone": "timm:test_convnext", "image_size": 32,
    "backbone_weights": "random", "width": 16, "heads": 2, "feed_forward": 16, "batch_size": 8, "epochs": 3,
    "learning_rate": 1e-2, "device": "cpu", "rehearsals": 1,
}  # fmt: skip
GIVEN = {"annotations": "annotations.jsonl", "unseen": "unseen.txt", "gzsl": True, "resamples": 0}
LINEAR = ("linear", "eszsl", "conse", "fast0tag")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Photographs of two of fifteen colours, in series of four; the vector of a label is its colour."""
    monkeypatch.setattr("zsmld.linear.choice.ROUNDS", 2)
    monkeypatch.setattr("zsmld.linear.fast0tag._STEPS", 40)
    monkeypatch.setattr("zsmld.training.two_path._MOST_TRIALS", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    draw_workspace(
        tmp_path, LABELS, len(SEEN), 160, lambda number: "train" if number < 120 else "test",
        lambda number: f"series {number // 4}",
    )  # fmt: skip
    return tmp_path


def read(folder):
    return [json.loads(line) for line in (folder / "annotations.jsonl").read_text().splitlines()]


def weights(run):
    return (run / "model.safetensors").read_bytes()


def probabilities(run):
    return (Path(run) / "probabilities.json").read_bytes()


@pytest.mark.parametrize("along", [False, True])
def test_a_rehearsal_holds_labels_and_series_out_and_decides(workspace, along):
    run = zsmld.train(**SETTINGS | {"rehearsals": 2}, train_backbone=along)
    done = json.loads((run / "rehearsals.json").read_text())
    assert len(done) == 2 and done[0]["held_out"] != done[1]["held_out"]
    for each in done:
        assert set(each["held_out"]) < set(SEEN) and len(each["held_out"]) == len(SEEN) // 5
        assert [entry["gate"] for entry in each["gates"]] == list(rehearsal.GATES)
        assert 1 <= each["epoch"] <= SETTINGS["epochs"]
    assert not list(run.glob("rehearsal-*")) and (workspace / "runs/latest").resolve() == run.resolve()
    head = load_model(run).model.head
    assert isinstance(head, TwoPathHead)
    means = np.mean([[entry["harmonic_map"] for entry in each["gates"]] for each in done], axis=0)
    best = int(means.argmax()) if means.max() >= 1.03 * means[0] else 0
    assert float(head.gate) == pytest.approx(rehearsal.GATES[best])
    assert (head.decoder is None) == (best == 0)
    report = zsmld.evaluate(model=run, **GIVEN)
    assert report.sets["zsl"]["map"] > 1.5 * report.sets["zsl"]["chance_map"]


def plan_of(gates, **changed):
    entries = [
        {"gate": gate, "seen_map": seen, "unseen_map": seen, "harmonic_map": seen}
        for gate, seen in zip(rehearsal.GATES, gates, strict=True)
    ]
    linear = {"settings": {"image_ridge": 1.0}, "unseen_map": [0.5]}
    return {"epoch": 3, "scale": 0.5, "shift": -1.0, "gates": entries, "linear_path": linear} | changed


def test_the_gate_is_where_the_mean_is_highest_and_zero_where_little_is_gained():
    rising = np.linspace(0.1, 0.2, 11)
    plan = rehearsal._plan([plan_of(rising), plan_of(rising, epoch=4, scale=0.7, shift=-2.0)])
    assert (plan.gate, plan.epoch, plan.scale, plan.shift) == (1.0, 4, pytest.approx(0.6), -1.5)
    middle = rehearsal._plan([plan_of(rising), plan_of(0.4 - 0.04 * np.abs(np.arange(11) - 3))])
    assert middle.gate == pytest.approx(0.3)
    flat = np.full(11, 0.2)
    flat[6] = 0.2 * 1.029
    assert rehearsal._plan([plan_of(flat)]).gate == 0
    flat[6] = 0.2 * 1.031
    assert rehearsal._plan([plan_of(flat)]).gate == pytest.approx(0.6)


@pytest.mark.parametrize("method", ["two-path", "linear"])
def test_test_records_and_unseen_labels_have_no_say_in_the_weights(workspace, method, monkeypatch):
    monkeypatch.setattr(rehearsal, "GATES", (0.5,))
    settings = SETTINGS | {"rehearsals": 2, "method": method}
    before = zsmld.train(**settings, run="before", calibrate=True)
    scrambled = []
    for line in read(workspace):
        line["labels"] = list(SEEN) if line["split"] == "test" else [x for x in line["labels"] if x in SEEN]
        scrambled.append(line)
    write_lines(workspace, scrambled)
    (workspace / "150.png").unlink()  # a test photograph is not even looked for
    after = zsmld.train(**settings, run="after", calibrate=True)
    assert Probabilities.load(before).unseen.is_measured
    for name in ("model.safetensors", "calibration.json", "probabilities.json"):
        assert (before / name).read_bytes() == (after / name).read_bytes()
    plain = zsmld.train(**settings, run="plain")
    assert weights(plain) == weights(before) and not (plain / "calibration.json").exists()
    assert probabilities(plain) == probabilities(before)


@pytest.mark.parametrize("method", LINEAR[1:])
def test_a_published_method_as_a_model_ranks_as_the_baseline_does(workspace, method):
    run = zsmld.train(**SETTINGS, method=method)
    settings = CompareSettings(
        annotations=Path("annotations.jsonl"), unseen=Path("unseen.txt"), baselines=(method,), resamples=0
    )
    model, baseline = compare([run], settings).rows
    for part in ("zsl", "gzsl"):
        for figure in ("map", "f1@3"):
            assert model.sets[part].figures[figure] == pytest.approx(baseline.sets[part].figures[figure], abs=2e-3)
    told = ", ".join(f"{name} {value:g}" for name, value in baseline.about.items())
    assert f"| {escaped('hyper-parameters')} | {escaped(told)} |" in (run / "README.md").read_text()


@pytest.mark.parametrize("method", ["linear", "two-path"])
def test_any_words_and_photographs_in_any_company_score_the_same(workspace, method, monkeypatch):
    monkeypatch.setattr(rehearsal, "_LEAST_GAIN", -1.0)  # some of the decoder, whatever it is worth
    run = zsmld.train(**SETTINGS, method=method)
    tagger = zsmld.ZeroShotTagger.from_pretrained(run, device="cpu")
    paths = [workspace / f"{number}.png" for number in (150, 151, 152)]
    everything = tagger.predict(paths, LABELS, top_k=0)
    some = tagger.predict(paths[1:2], (UNSEEN[1], SEEN[0]), top_k=0)
    known = {each.label: each.score for each in everything[1].labels}
    for each in some[0].labels:
        assert each.score == pytest.approx(known[each.label], abs=1e-6)


KILLED = """
import sys
import zsmld.linear.choice
import zsmld.training.loop as loop
zsmld.linear.choice.ROUNDS = 2
from zsmld.cli import run
saved = loop.Trainer.save
count = [int(sys.argv[1])]
def save(trainer):
    saved(trainer)
    count[0] -= 1
    if not count[0]:
        import os; os.kill(os.getpid(), 9)
loop.Trainer.save = save
sys.exit(run(sys.argv[2:]))
"""


def test_killed_anywhere_and_resumed_it_ends_with_the_same_bits(workspace):
    settings = SETTINGS | {"rehearsals": 2, "train_backbone": True}
    whole = zsmld.train(**settings, run="whole")
    assert Probabilities.load(whole).unseen.is_measured
    flags = []
    for name, value in settings.items():
        flags += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    # A checkpoint an epoch: in the first rehearsal, in the second, and in the final training.
    for after in (2, 5, 7):
        run = f"cut{after}"
        arguments = [sys.executable, "-c", KILLED, str(after), "train", *flags, "--run", run]
        assert subprocess.run(arguments, capture_output=True, check=False).returncode == -9
        assert not (workspace / run / "config.json").exists()
        again = zsmld.train(**settings, run=run, resume=True)
        assert weights(again) == weights(whole) and probabilities(again) == probabilities(whole)
        assert not [*again.glob("rehearsal-*"), *again.glob("held_out-*")]


@pytest.mark.parametrize("at", ["clear_held_out", "save_model"])
def test_what_was_measured_before_a_cut_is_not_measured_again(workspace, monkeypatch, at):
    monkeypatch.setattr(rehearsal, "GATES", (0.5,))
    whole = zsmld.train(**SETTINGS, run="whole", calibrate=True)
    where = "zsmld.training.run_folder" if at == "clear_held_out" else "zsmld.training.run"
    with monkeypatch.context() as patch:
        starting_over = []

        def cut(*given, **named):
            # The first call starts the run.
            if at == "clear_held_out" and not starting_over:
                return starting_over.append(True)
            raise KeyboardInterrupt

        patch.setattr(f"{where}.{at}", cut)
        with pytest.raises(KeyboardInterrupt):
            zsmld.train(**SETTINGS, run="cut", calibrate=True)
    assert not Path("cut/config.json").exists() and probabilities("cut") == probabilities(whole)
    with monkeypatch.context() as patch:
        patch.setattr("zsmld.training.two_path.measured", lambda *_, **__: 1 / 0)
        cut_run = zsmld.train(**SETTINGS, run="cut", calibrate=True, resume=True)
    for name in ("model.safetensors", "probabilities.json", "calibration.json", "README.md"):
        assert (cut_run / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(cut_run.glob("held_out-*"))


def test_scores_of_a_rehearsal_that_are_damaged_are_told(workspace, monkeypatch):
    monkeypatch.setattr(rehearsal, "GATES", (0.5,))
    with monkeypatch.context() as patch:
        patch.setattr("zsmld.training.two_path.measured", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            zsmld.train(**SETTINGS, run="cut")
    kept = Path("cut/held_out-1.safetensors")
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"held_out-1\.safetensors: .*--force"):
        zsmld.train(**SETTINGS, run="cut", resume=True)


def test_at_gate_zero_probabilities_are_those_of_the_linear_method(workspace, monkeypatch):
    monkeypatch.setattr(rehearsal, "GATES", (0.0,))
    both, linear = zsmld.train(**SETTINGS, run="both"), zsmld.train(**SETTINGS, run="linear", method="linear")
    assert probabilities(both) == probabilities(linear)
    found = Probabilities.load(linear)
    # The path's own fit made probabilities of the scores of labels trained on.
    assert (found.seen.scale, found.seen.shift) == (1, 0) and found.seen.is_measured and found.unseen.is_measured
    assert found.unseen.labels <= 4  # two in each of two trials
    assert f"| probabilities | {escaped(found.told())} |" in (linear / "README.md").read_text()


@pytest.mark.parametrize("gate", [0.0, 0.5])
def test_a_probability_is_of_its_label_alone(workspace, monkeypatch, gate):
    monkeypatch.setattr(rehearsal, "GATES", (gate,))
    run = zsmld.train(**SETTINGS)
    trained, shown = load_model(run), Probabilities.load(run)
    dataset = read_dataset(Path("annotations.jsonl"), ReadOptions(None, None)).part("test")
    vectors = torch.from_numpy(trained.labels.select(LABELS).vectors)

    def shown_of(columns):
        logits = score_dataset(trained, dataset, vectors[columns], batch_size=8, device=torch.device("cpu"))
        return shown.of(logits, np.array(columns) < len(SEEN))

    whole = shown_of(list(range(len(LABELS))))
    assert whole.std() > 0.01
    for columns in ([0], [14], [13, 2, 5]):
        assert shown_of(columns) == pytest.approx(whole[:, columns], abs=1e-6)


def test_evaluation_shows_how_good_the_probabilities_are_that_predict_shows(workspace):
    run = zsmld.train(**SETTINGS, method="linear")
    report = zsmld.evaluate(model=run, **GIVEN)
    told = Probabilities.load(run).told()
    assert report.details["probabilities"] == told
    assert told in " ".join(notes(report)) and told in html(report)
    Probabilities(Curve(1.0, 50.0, 0.5, 1, 1), Curve(1.0, -50.0, 0.5, 1, 1)).save(run)
    spoilt = zsmld.evaluate(model=run, **GIVEN)
    # All pairs of labels trained on are certain, of others impossible: off by the part that is not so.
    for name, part in (("seen", slice(0, 12)), ("zsl", slice(12, 15))):
        tests = [line["labels"] for line in read(workspace)[120:]]
        true = np.mean([[label in labels for label in LABELS[part]] for labels in tests])
        off = spoilt.details["calibration_error"][name]["expected_calibration_error"]
        assert off == pytest.approx(1 - true if name == "seen" else true, abs=1e-6)
    assert spoilt.sets == report.sets
    (run / "probabilities.json").unlink()
    plain = zsmld.evaluate(model=run, **GIVEN)
    assert plain.sets == report.sets and "not measured: the plain logistic" in plain.details["probabilities"]
    (run / "probabilities.json").write_text("{}")
    with pytest.raises(InputError, match=r"probabilities\.json"):
        zsmld.evaluate(model=run, **GIVEN)


def test_starting_over_forgets_the_rehearsals(workspace):
    run = zsmld.train(**SETTINGS, run="one")
    before = json.loads((run / "rehearsals.json").read_text())
    (run / "rehearsal-1").mkdir()
    (run / "rehearsal-1" / "checkpoint.safetensors").write_bytes(b"of a run that was cut")
    (run / "held_out-7.safetensors").write_bytes(b"of a run that was cut")
    (run / "probabilities.json").write_text("of another model")
    zsmld.train(**SETTINGS | {"epochs": 1}, run="one", force=True)
    assert Probabilities.load(run).is_measured and not list(run.glob("held_out-*"))
    after = json.loads((run / "rehearsals.json").read_text())
    assert after != before and after[0]["epoch"] == 1 and not (run / "rehearsal-1").exists()


def test_too_few_labels_to_hold_out_give_both_an_equal_part(workspace):
    (workspace / "seen.txt").write_text("\n".join(SEEN[:9]))
    run = zsmld.train(**SETTINGS)
    assert float(load_model(run).model.head.gate) == 0.5 and not (run / "rehearsals.json").exists()
    assert "too few to hold some out" in (run / "README.md").read_text()
    assert Probabilities.load(run) == Probabilities.load(zsmld.train(**SETTINGS, method="linear")) == Probabilities()
    assert (
        f"| probabilities | {escaped('not measured: the plain logistic function')}" in (run / "README.md").read_text()
    )


def test_linear_methods_train_no_decoder_and_no_backbone(workspace, monkeypatch):
    monkeypatch.setattr("zsmld.training.loop.Trainer.fit", lambda *_: 1 / 0)
    for method in LINEAR:
        head = load_model(zsmld.train(**SETTINGS, method=method)).model.head
        assert isinstance(head, TwoPathHead) and head.decoder is None and float(head.gate) == 0
        with pytest.raises(UsageError, match="--train-backbone"):
            zsmld.train(**SETTINGS, method=method, train_backbone=True)
    with pytest.raises(UsageError, match="--method"):
        zsmld.train(**SETTINGS | {"seen": None}, method="eszsl", closed_set=True)


def test_a_half_precision_evaluation_differs_little(workspace):
    run = zsmld.train(**SETTINGS, method="linear")
    exact, half = (
        zsmld.evaluate(model=run, **GIVEN, precision=each).sets["zsl"]["map"] for each in ("float32", "bfloat16")
    )
    assert half == pytest.approx(exact, abs=0.05)


def test_the_final_training_uses_all_images_that_are_not_declared_for_validation(workspace):
    run = zsmld.train(**SETTINGS | {"train_backbone": True}, run="all")
    assert "| training images | 120 |" in (run / "README.md").read_text()
    lines = read(workspace)
    for number, line in enumerate(lines[:120]):
        line["split"] = "val" if number % 4 == 0 else "train"
    write_lines(workspace, lines)
    run = zsmld.train(**SETTINGS | {"train_backbone": True}, run="declared")
    assert "| training images | 90 |" in (run / "README.md").read_text()
    assert json.loads((run / "rehearsals.json").read_text())[0]["images"] == 30
    assert torch.isfinite(load_model(run).model.head.linear.scale)


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.update(linear=None),
        lambda head: head.update(linear=[1]),
        lambda head: head.pop("decoder"),
        lambda head: head.update(decoder={"in_features": 4}),
        lambda head: head["linear"].pop("seen_labels"),
        lambda head: head["linear"].update(in_features=7),
        lambda head: head["linear"].update(in_features=-7),
        lambda head: head["linear"].update(seen_labels="many"),
        lambda head: head["linear"].update(label_features=5),
        lambda head: head["linear"].update(bilinear=False, convex=False),
        lambda head: head["linear"].update(bilinear=False),
        lambda head: head["linear"].update(standardised=False),
        lambda head: head["linear"].update(depth=3),
    ],
)
def test_a_description_that_fits_no_linear_head_is_told(linear_run, change):
    config = json.loads((linear_run / "config.json").read_text())
    change(config["head"])
    (linear_run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json: (describes no model|the weights do not fit)"):
        load_model(linear_run)


@pytest.fixture(scope="module")
def trained_linear_run(tmp_path_factory):
    """Trained once, for tests that spoil a copy of it."""
    folder = tmp_path_factory.mktemp("linear")
    draw = np.random.default_rng(0)
    lines = []
    for number in range(40):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        lines.append({"image": f"{number}.png", "labels": [SEEN[number % 4]], "split": "train"})
    write_lines(folder, lines)
    (folder / "seen.txt").write_text("\n".join(SEEN[:4]))
    (folder / "vectors.txt").write_text(
        "".join(f"{x.replace(' ', '_')} {i} 1 {i * i}\n" for i, x in enumerate(SEEN[:4]))
    )
    table = zsmld.embed_labels(SEEN[:4], source=str(folder / "vectors.txt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZSMLD_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        return zsmld.train(**SETTINGS, method="linear", embeddings=table).resolve()


@pytest.fixture
def linear_run(trained_linear_run, tmp_path):
    return Path(shutil.copytree(trained_linear_run, tmp_path / "run"))


@pytest.mark.parametrize("text", ["{}", "[1]", "[{}]", '[{"epoch": 1, "gates": []}]', "not JSON"])
def test_a_spoilt_record_of_rehearsals_is_told(workspace, text):
    run = zsmld.train(**SETTINGS, run="one")
    (run / "config.json").unlink()
    (run / "rehearsals.json").write_text(text)
    with pytest.raises(InputError, match=r"rehearsals\.json: .*--force"):
        zsmld.train(**SETTINGS, run="one", resume=True)
