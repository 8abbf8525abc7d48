"""Two processes, as torchrun starts them, give what one gives; the first alone writes and speaks."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from coloured import draw_workspace
from safetensors.numpy import load_file

import zsmld
from zsmld.decoder.probabilities import Probabilities
from zsmld.errors import InputError
from zsmld.images.opening import ImageError

LABELS = tuple(f"colour {at}" for at in range(15))
SEEN, UNSEEN = LABELS[:12], LABELS[12:]
FLAGS = [
    "--annotations", "annotations.jsonl", "--seen", "seen.txt", "--backbone", "timm:test_vit", "--backbone-weights",
    "random", "--image-size", "32", "--width", "16", "--heads", "2", "--feed-forward", "16", "--batch-size", "10",
    "--epochs", "3", "--device", "cpu", "--dropout", "0", "--rehearsals", "1",
]  # fmt: skip
KILLED = """
import os, sys
import zsmld.training.loop as loop
from zsmld.cli import run
saved, count, made = loop.Trainer.save, [13], loop.Trainer.__init__
loop.Trainer.__init__ = lambda *given, **named: made(*given, **named, seconds_between_checkpoints=0.0)
def save(trainer):
    saved(trainer)
    count[0] -= 1
    if not count[0]:
        os.kill(os.getpid(), 9)
loop.Trainer.save = save
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Photographs of two of fifteen colours, two of them the same to the byte; the vector of a label is its colour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    draw_workspace(tmp_path, LABELS, len(SEEN), 130, lambda number: "train" if number < 100 else "test")
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    return tmp_path


def two(*arguments, code=0):
    """Run the command line, or a script, in two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # What stands behind -- is ours: torchrun would take --run for the beginning of an option of its own.
    command = [*launch, *(["-m", "--", *arguments[1:]] if arguments[0] == "-m" else ["--", *arguments])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert (ended.returncode == 0) == (code == 0), ended.stderr[-3000:]
    return ended


def weights(run):
    return load_file(Path(run) / "model.safetensors")


def assert_close(one, other):
    one, other = weights(one), weights(other)
    assert set(one) == set(other)
    for name in one:
        if name.endswith("attn.qkv.bias"):
            # Of a tower's keys: no gradient but rounding, of which Adam makes steps as large as any.
            third = len(one[name]) // 3
            one[name][third : 2 * third] = other[name][third : 2 * third]
        assert one[name] == pytest.approx(other[name], abs=1e-5, rel=1e-4), name


@pytest.mark.parametrize("along", [[], ["--train-backbone"]])
def test_two_processes_give_the_weights_of_one(workspace, along):
    flags = [*FLAGS, *along, "--method", "decoder", "--label-sample", "3"]
    assert zsmld_run("train", *flags, "--run", "one") == 0
    ended = two("-m", "zsmld", "train", *flags, "--run", "two")
    assert_close("one", "two")
    assert ended.stderr.count("finished: ") == 1
    one, both = (
        [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()] for run in ("one", "two")
    )
    for here, there in zip(one, both, strict=True):
        assert there["loss"] == pytest.approx(here["loss"], rel=1e-4)
        assert there["validation_map"] == pytest.approx(here["validation_map"], abs=1e-3)
    assert not list(workspace.rglob(".zsmld-*"))


def zsmld_run(*arguments):
    return subprocess.run([sys.executable, "-m", "zsmld", *arguments, "--quiet"], check=False).returncode


def test_the_default_recipe_and_its_evaluation(workspace):
    assert zsmld_run("train", *FLAGS, "--runs", "one") == 0
    two("-m", "zsmld", "train", *FLAGS, "--runs", "both")
    assert [path.name for path in Path("both").iterdir() if path.is_dir()] == ["001", "latest"] or sorted(
        path.name for path in Path("both").iterdir()
    ) == ["001", "latest"]
    assert_close("one/001", "both/001")
    alone, shared = (Probabilities.load(Path(run)) for run in ("one/001", "both/001"))
    assert alone.seen.is_measured and alone.seen.positives == shared.seen.positives
    assert (shared.seen.scale, shared.seen.shift) == pytest.approx((alone.seen.scale, alone.seen.shift), rel=1e-2)
    given = ["--annotations", "annotations.jsonl", "--unseen", "unseen.txt", "--gzsl", "--json", "--resamples", "20"]
    # Thirty images in four batches: both processes score some.
    ended = two("-m", "zsmld", "eval", "--model", "one/001", *given, "--device", "cpu", "--batch-size", "8")
    together = json.loads(ended.stdout)  # one object: the other process prints nothing
    alone = zsmld.evaluate(
        model="one/001", annotations="annotations.jsonl", unseen="unseen.txt", gzsl=True, resamples=20, device="cpu",
        batch_size=8,
    )  # fmt: skip
    for part, figures in alone.sets.items():
        for name, value in figures.items():
            assert together[part][name] == value, (part, name)


def test_tokens_are_computed_once(workspace):
    two("-m", "zsmld", "train", *FLAGS, "--method", "linear", "--run", "two")
    (folder,) = (path for path in Path("cache").iterdir() if path.is_dir())
    shards = [json.loads(path.read_text())["images"] for path in folder.glob("*.json")]
    assert len(shards) == 2  # both had a part in it
    everything = [digest for shard in shards for digest in shard]
    different = {Path(f"{number}.png").read_bytes() for number in range(100)}
    assert len(everything) == len(set(everything)) == len(different) < 100  # copies are computed once
    assert abs(len(shards[0]) - len(shards[1])) <= 1
    zsmld_run("train", *FLAGS, "--method", "linear", "--run", "one")
    assert len(list(folder.glob("*.json"))) == 2
    assert_close("one", "two")


def test_a_run_that_was_cut_goes_on(workspace):
    flags = [*FLAGS, "--dropout", "0.2", "--method", "decoder", "--epochs", "4"]
    two("-m", "zsmld", "train", *flags, "--run", "whole")
    script = workspace / "killed.py"
    script.write_text(KILLED)
    two(str(script), "train", *flags, "--run", "cut", code=1)
    assert not Path("cut/config.json").exists() and Path("cut/checkpoint.safetensors").exists()
    alone = subprocess.run(
        [sys.executable, "-m", "zsmld", "train", *flags, "--run", "cut", "--resume"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert alone.returncode == 3 and "it is of 2 processes, not of 1" in alone.stderr
    two("-m", "zsmld", "train", *flags, "--run", "cut", "--resume")
    # The checkpoint has the last weights, too: the best epoch may be before the cut.
    for name in ("model.safetensors", "checkpoint.safetensors"):
        assert Path("cut", name).read_bytes() == Path("whole", name).read_bytes()


def test_what_goes_wrong_is_told_and_ends_all(workspace):
    (workspace / "7.png").write_bytes(b"no photograph")
    (workspace / "8.png").write_bytes(b"no photograph")
    ended = two("-m", "zsmld", "train", *FLAGS, "--run", "two", code=3)
    told = re.findall(r"zsmld: error: (.*)", ended.stderr)
    assert told and all("7.png: is no image" in line and "and 1 more" in line for line in told), told
    ended = two("-m", "zsmld", "train", *FLAGS, "--batch-size", "1", "--run", "two", code=2)
    assert "fewer than the 2 processes" in ended.stderr and not Path("two/run.json").exists()


def test_errors_survive_the_way_between_processes():
    for error in (InputError("is bad", path="a.txt", line=3, remedy="Mend it."), ImageError("is bad", path="b.jpg")):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
        assert str(again) == str(error) and type(again) is type(error)
