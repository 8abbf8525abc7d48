"""The command line as a person or a script meets it: help, streams, formats, signals, precedence."""

import csv
import dataclasses
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zsmld.cli import main
from zsmld.config import flag_of
from zsmld.settings import (
    CheckSettings,
    CompareSettings,
    ConvertSettings,
    DataCheckSettings,
    DataConvertSettings,
    EmbedSettings,
    EvalSettings,
    PredictSettings,
    PullSettings,
    PushSettings,
    SampleSettings,
    ShortListSettings,
    TrainSettings,
)

SETTINGS = {
    "check": CheckSettings,
    "data check": DataCheckSettings,
    "data convert": DataConvertSettings,
    "embed-labels": EmbedSettings,
    "train": TrainSettings,
    "eval": EvalSettings,
    "compare": CompareSettings,
    "predict": PredictSettings,
    "short-list": ShortListSettings,
    "sample": SampleSettings,
    "push": PushSettings,
    "pull": PullSettings,
    "convert": ConvertSettings,
}
HEAVY = ("torch", "numpy", "PIL", "timm", "open_clip", "gensim", "sklearn", "safetensors", "huggingface_hub")
AT_K = {f"{figure}@{k}" for figure in ("precision", "recall", "f1", "f1_ceiling") for k in (3, 5)}


def everything_below(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def squeezed(text):
    """Without white space: help is wrapped to the width of the terminal."""
    return "".join(text.split())


# Help and start.


@pytest.mark.parametrize("command", SETTINGS)
def test_help_documents_every_setting_and_has_an_example(command, zsmld):
    outcome = zsmld(*command.split(), "--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    for field in dataclasses.fields(SETTINGS[command]):
        assert re.search(rf"^  {flag_of(field)}\b", outcome.stdout, re.MULTILINE)
        assert squeezed(field.metadata["text"]) in squeezed(outcome.stdout)
    examples = re.findall(rf"^ +(zsmld {command} .*)$", outcome.stdout, re.MULTILINE)
    assert examples
    for flag in re.findall(r"--[\w-]+", " ".join(examples)):
        assert re.search(rf"^  {flag}\b", outcome.stdout, re.MULTILINE), f"the example has {flag}, the command does not"


def test_help_of_all_names_every_command_and_the_exit_codes(zsmld):
    outcome = zsmld("--help")
    assert outcome.code == 0
    groups = {command.partition(" ")[0] for command in SETTINGS}
    assert set(main.commands) == groups
    assert all(f"  {command} " in outcome.stdout for command in groups)
    assert {f"data {name}" for name in main.commands["data"].commands} <= set(SETTINGS)
    assert "3 bad input" in " ".join(outcome.stdout.split())
    assert zsmld("-h").stdout == outcome.stdout


def test_help_and_refused_flags_import_nothing_heavy(zsmld):
    program = (
        "import sys; from zsmld.cli import run\n"
        "helps = [[*name.split(), '--help'] for name in sys.argv[1].split(',')]\n"
        "for arguments in (['--help'], ['--version'], *helps):\n"
        "    assert run(arguments) == 0\n"
        "assert run(['train', '--epochs', '0']) == 2\n"
        "print([name for name in sys.argv[2].split(',') if name in sys.modules], file=sys.stderr)\n"
    )
    arguments = [sys.executable, "-c", program, ",".join(SETTINGS), ",".join(HEAVY)]
    ended = subprocess.run(arguments, capture_output=True, text=True, cwd=zsmld.folder, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


def test_the_module_is_the_command(zsmld):
    outcome = zsmld.process("--version")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("zsmld, version ")


def test_the_shell_can_complete(zsmld):
    zsmld.environment["_ZSMLD_COMPLETE"] = "bash_source"
    outcome = zsmld.process()
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "complete" in outcome.stdout


def test_debug_shows_where_and_the_next_call_does_not(zsmld):
    outcome = zsmld("train", "--debug", "--epochs", "none")
    assert outcome.code == 2
    assert "Traceback" in outcome.stderr and len(outcome.errors) == 1
    assert "Traceback" not in zsmld("train", "--epochs", "none").stderr


# Streams.


def test_a_closed_pipe_ends_quietly(zsmld):
    for arguments in (["--help"], ["predict", "photos", "--labels", "labels.txt", "--quiet"]):
        reader, writer = os.pipe()
        os.close(reader)
        outcome = zsmld.process(*arguments, stdout=writer)
        os.close(writer)
        assert (outcome.code, outcome.stderr) == (0, "")


def test_head_takes_one_line(zsmld):
    line = f"{sys.executable} -m zsmld train --help | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=zsmld.folder, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: zsmld train")


@pytest.mark.parametrize(("sent", "code", "text"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
def test_a_signal_ends_a_run_in_one_line_and_it_can_go_on(sent, code, text, zsmld, workspace, monkeypatch):
    # Where tests run in the background SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = ("train", "--run", "runs/002", "--epochs", "50000", "--patience", "0", "--quiet")
    sender = threading.Thread(target=send_once_trained, args=(workspace / "runs/002", getattr(signal, sent)))
    sender.start()
    told = zsmld(*arguments)
    sender.join()
    signal.signal(signal.SIGINT, before)
    assert (told.code, told.stdout, told.stderr) == (code, "", f"zsmld: error: {text}\n")
    assert not list(workspace.rglob(".zsmld-*")) and Path("runs/latest").readlink() == Path("001")
    monkeypatch.setattr("zsmld.training.loop.Trainer.fit", lambda trainer: trainer.best)
    assert zsmld(*arguments, "--resume").code == 0
    assert Path("runs/latest").readlink() == Path("002")


@pytest.mark.parametrize(("sent", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_that_strikes_in_a_finalizer_is_not_lost(sent, code, zsmld, monkeypatch):
    class Dying:
        def __del__(self):
            # Python runs the handler here, and drops what it raises.
            os.kill(os.getpid(), getattr(signal, sent))

    def slow(*_arguments):
        Dying()
        time.sleep(30)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("zsmld.labels.sources.look_up_labels", slow)
    told = zsmld("embed-labels", "labels.txt", "--output", "new.safetensors")
    signal.signal(signal.SIGINT, before)
    assert told.code == code and len(told.errors) == 1
    assert not Path("new.safetensors").exists()


def send_once_trained(folder, sent):
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(os.getpid(), sent)


def test_only_data_goes_to_standard_output(zsmld):
    told = zsmld("train")
    assert told.code == 0 and told.stdout == "" and "finished" in told.stderr
    told = zsmld("embed-labels", "labels.txt", "--output", "new.safetensors")
    assert told.code == 0 and told.stdout == "" and "6 labels" in told.stderr


def test_quiet_leaves_data_only(zsmld):
    assert zsmld("train", "--quiet").stderr == ""
    told = zsmld("predict", "photos", "--labels", "any.txt", "--quiet")
    assert told.stderr == "" and told.stdout.count("photos/") == 10
    assert zsmld("predict", "nope.jpg", "--labels", "any.txt", "--quiet").errors


def test_evaluation_as_json_is_one_object(zsmld, workspace):
    told = zsmld("eval", "--gzsl", "--json")
    assert told.code == 0
    report = json.loads(told.stdout)
    assert told.stdout.count("\n") == 1
    assert report["protocol"]["name"] and report["protocol"]["ks"] == [3, 5]
    for name in ("zsl", "gzsl", "seen"):
        assert {"map", "labels", "images"} | AT_K <= report[name].keys()
    assert {"seen_map", "unseen_map", "harmonic_map"} <= report["gzsl"].keys()
    assert (report["zsl"]["images"], report["split"]) == (3, "test")
    full = json.loads((workspace / "runs/001/report.json").read_text())
    assert [row["label"] for row in full["labels"]] == ["dog", "cat", "sea", "sky", "polar bear", "wolf"]
    assert {key: full[key] for key in report if key != "labels"} == report


def test_an_evaluation_is_repeated_to_the_same_digits_and_says_what_changed(zsmld, workspace):
    configuration = (workspace / "zsmld.toml").read_text()
    first = json.loads(zsmld("eval", "--gzsl", "--protocol", "biam", "--json").stdout)
    # Without any file of the workspace, the run folder knows what it was evaluated on.
    alone = configuration.replace('annotations = "annotations.jsonl"', "").replace('unseen = "unseen.txt"', "")
    (workspace / "zsmld.toml").write_text(alone)
    again = zsmld("eval", "--json")
    assert "repeating the evaluation" in again.stderr and "warning" not in again.stderr
    assert json.loads(again.stdout) == first
    lines = (workspace / "annotations.jsonl").read_text().splitlines()
    (workspace / "annotations.jsonl").write_text("\n".join(lines[1:-1]) + "\n")
    record = json.loads((workspace / "runs/001/run.json").read_text())
    record["versions"]["torch"] = "1.0"
    (workspace / "runs/001/run.json").write_text(json.dumps(record))
    changed = zsmld("eval", "--json")
    assert "torch is" in changed.stderr and "the model was trained with 1.0" in changed.stderr
    assert "the training records are not those that the model was trained on" in changed.stderr
    assert "the records are not those of the last evaluation" in changed.stderr
    assert "figures differ" not in changed.stderr
    report = json.loads((workspace / "runs/001/report.json").read_text())
    assert len(report["differences"]) == 4  # images changed with the records
    report["zsl"]["map"] = 0.123
    (workspace / "runs/001/report.json").write_text(json.dumps(report))
    assert "figures differ from those of the last evaluation: zsl" in zsmld("eval", "--json").stderr


def test_another_data_set_is_not_held_against_the_training_records(zsmld, workspace):
    lines = (workspace / "annotations.jsonl").read_text().splitlines()
    (workspace / "tests.jsonl").write_text("\n".join(lines[-3:]) + "\n")
    assert "training records" not in zsmld("eval", "--annotations", "tests.jsonl", "--images", ".").stderr
    assert zsmld("train", "--closed-set", "--run", "runs/closed").code == 0
    assert zsmld("eval", "--model", "runs/closed").code == 0
    # A repeated evaluation never takes the place of one that is asked for.
    told = zsmld("eval", "--model", "runs/closed", "--annotations", "tests.jsonl", "--images", ".", "--json")
    assert "repeating" not in told.stderr and "tests.jsonl" in json.loads(told.stdout)["data"]


def test_a_run_that_was_never_evaluated_knows_its_data_but_no_unseen_labels(zsmld, workspace):
    (workspace / "zsmld.toml").write_text("")
    outcome = zsmld("eval")
    assert outcome.code == 2 and "no unseen given" in outcome.errors[0]
    assert zsmld("eval", "--unseen", "unseen.txt").code == 0
    (workspace / "runs/001/report.json").write_text("not json")
    assert zsmld("eval", "--unseen", "unseen.txt").code == 0


def test_reports_can_be_put_elsewhere(zsmld, workspace):
    before = set((workspace / "runs/001").iterdir())
    assert zsmld("eval", "--report", "elsewhere").code == 0
    assert {path.name for path in (workspace / "elsewhere").iterdir()} == {"report.json", "report.md", "report.html"}
    assert set((workspace / "runs/001").iterdir()) == before
    page = (workspace / "elsewhere/report.html").read_text()
    assert "polar bear" in page and "data:image/jpeg;base64," in page


def test_anybodys_scores_are_evaluated(zsmld, workspace):
    (workspace / "s.csv").write_text("1,2,0\n3,1,2\n2,5,1\n")
    (workspace / "t.csv").write_text("1,0,0\n0,1,0\n0,1,1\n")
    (workspace / "l.txt").write_text("dog\nwolf\nsea\n")
    (workspace / "known.txt").write_text("sea\n")
    scores = shlex.split("eval --gzsl --scores s.csv --labels l.txt --seen known.txt --resamples 0")
    told = zsmld(*scores, "--targets", "t.csv", "--json")
    report = json.loads(told.stdout)
    assert told.code == 0 and report["zsl"]["map"] == pytest.approx((1 / 3 + (1 + 2 / 3) / 2) / 2)
    assert report["seen"]["map"] == pytest.approx(1 / 2)
    outcome = zsmld(*scores)
    assert outcome.code == 2 and "no targets given" in outcome.errors[0]
    outcome = zsmld(*scores, "--targets", "s.csv")
    assert outcome.code == 3 and "s.csv: holds" in outcome.errors[0]
    assert zsmld(*scores, "--targets", "t.csv", "--report", "r").code == 0 and (workspace / "r/report.md").exists()


def test_evaluation_without_gzsl_and_as_a_table(zsmld):
    assert "gzsl" not in json.loads(zsmld("eval", "--json").stdout)
    table = zsmld("eval", "--gzsl").stdout
    assert "ZSL (unseen)" in table and "GZSL (seen + unseen)" in table and "harmonic mean" in table


# Predictions.


def test_predictions_in_every_format_say_the_same(zsmld):
    given = ("predict", "photos/0.jpg", "photos/9.jpg", "--labels", "any.txt", "--top-k", "2", "--format")
    records = [json.loads(line) for line in zsmld(*given, "jsonl").stdout.splitlines()]
    assert [record["path"] for record in records] == ["photos/0.jpg", "photos/9.jpg"]
    assert all(len(record["labels"]) == 2 for record in records)
    ranked = [(r["path"], each["label"], each["score"]) for r in records for each in r["labels"]]
    rows = list(csv.DictReader(io.StringIO(zsmld(*given, "csv").stdout)))
    assert [(row["path"], row["label"], float(row["score"])) for row in rows] == ranked
    assert [row["rank"] for row in rows] == ["1", "2", "1", "2"]
    lines = zsmld(*given, "table").stdout.splitlines()
    assert lines[0] == "photos/0.jpg" and len(lines) == 6
    assert lines[1] == f"  {ranked[0][2]:.3f}  {ranked[0][1]}"


def test_unreadable_photographs_are_records_and_the_others_are_tagged(zsmld, workspace):
    (workspace / "photos/1.jpg").write_bytes(b"no photograph")
    told = zsmld("predict", "photos", "--labels", "any.txt", "--format", "jsonl", "--output", "tags.jsonl")
    assert told.code == 4 and told.stdout == ""
    assert told.errors == ["zsmld: error: 1 of 10 photographs could not be read. See their records."]
    records = [json.loads(line) for line in (workspace / "tags.jsonl").read_text().splitlines()]
    assert [record["path"] for record in records if "error" in record] == ["photos/1.jpg"]
    assert sum("labels" in record for record in records) == 9


def test_labels_that_look_like_markup_or_formulas_are_text(zsmld, workspace):
    (workspace / "odd.txt").write_text("[/foo]\n[red]\n=cmd()\n")
    given = ("predict", "photos/0.jpg", "--labels", "odd.txt", "--format")
    table = zsmld(*given, "table").stdout
    assert all(f"  {label}\n" in table for label in ("[/foo]", "[red]", "=cmd()"))
    rows = list(csv.DictReader(io.StringIO(zsmld(*given, "csv").stdout)))
    assert {row["label"] for row in rows} == {"[/foo]", "[red]", "'=cmd()"}
    (record,) = [json.loads(line) for line in zsmld(*given, "jsonl").stdout.splitlines()]
    assert {each["label"] for each in record["labels"]} == {"[/foo]", "[red]", "=cmd()"}
    (workspace / "odd.txt").write_text("[/bar]\n")
    assert "'[/bar]'" in zsmld(*given, "table").errors[0]


def test_a_file_name_cannot_drive_the_terminal(zsmld, workspace):
    (workspace / "photos/0.jpg").rename(workspace / "photos/\x1b]0;x\x07.jpg")
    told = zsmld("predict", "photos", "--labels", "any.txt")
    assert told.code == 0 and "\x1b" not in told.stdout
    (workspace / "photos/\x1b]0;x\x07.jpg").write_bytes(b"")
    told = zsmld("predict", "photos", "--labels", "any.txt")
    assert told.code == 4 and "\x1b" not in told.stdout + told.stderr


# Runs.


def test_latest_points_at_the_newest_finished_run(zsmld, workspace):
    assert Path("runs/latest").readlink() == Path("001")
    assert zsmld("train").code == 0
    assert Path("runs/latest").readlink() == Path("002")
    assert zsmld("train", "--run", "elsewhere/mine").code == 0
    assert Path("runs/latest").readlink() == Path("002") and not (workspace / "elsewhere/latest").exists()


def test_a_control_is_not_taken_for_a_model(zsmld):
    told = zsmld("train", "--control", "shuffled-embeddings")
    assert told.code == 0 and "CONTROL" in told.stderr
    assert Path("runs/latest").readlink() == Path("001")
    assert json.loads(zsmld("eval", "--model", "runs/002", "--json").stdout)["control"]


def test_a_dry_run_writes_nothing(zsmld, workspace):
    before = everything_below(workspace)
    told = zsmld("train", "--dry-run")
    assert told.code == 0 and "would train in" in told.stderr and "runs/002" in told.stderr
    assert everything_below(workspace) == before


@pytest.mark.parametrize("more", [1, 4])
def test_a_run_of_few_steps_is_trained(more, zsmld):
    """One step an epoch, and five steps in all: the warm-up is then a single step."""
    assert zsmld("train", "--epochs", str(more + 1)).code == 0
    assert zsmld("train", "--epochs", str(more), "--warmup", "0").code == 0


# Precedence.


def test_flag_before_variable_before_file_before_default(zsmld, workspace, monkeypatch):
    def epochs(*flags):
        told = zsmld("train", "--dry-run", *flags)
        assert told.code == 0
        return re.search(r"epochs (\d+)", told.stderr)[1]

    assert epochs() == "1"
    monkeypatch.setenv("ZSMLD_EPOCHS", "7")
    assert epochs() == "7"
    assert epochs("--epochs", "9") == "9"
    monkeypatch.delenv("ZSMLD_EPOCHS")
    text = (workspace / "zsmld.toml").read_text()
    (workspace / "zsmld.toml").write_text(text.replace("epochs = 1\n", ""))
    assert epochs() == str(TrainSettings.epochs)


def test_the_workspace_is_found_from_below_and_paths_keep_their_meaning(zsmld, workspace, monkeypatch):
    monkeypatch.chdir(workspace / "photos")
    assert zsmld("eval").code == 0
    assert zsmld("predict", "0.jpg", "--labels", "../any.txt").stdout.startswith("0.jpg\n")
    assert zsmld("predict", "0.jpg", "--labels", "any.txt").code == 3
