"""A small workspace with photographs, word vectors and a finished run, and the command line called in it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from zsmld.cli import run

SEEN = ("dog", "cat", "sea", "sky")
UNSEEN = ("polar bear", "wolf")
OTHERS = ("polar", "bear", "fish", "bird", "[/foo]", "[red]", "=cmd()")
WIDTH = 8
REPOSITORY = Path(__file__).resolve().parents[2]

CONFIGURATION = """\
[data]
annotations = "annotations.jsonl"

[labels]
source = "vectors.txt"
seen = "seen.txt"
unseen = "unseen.txt"

[backbone]
backbone = "timm:test_convnext"
backbone_weights = "random"
image_size = 32

[decoder]
width = 16
heads = 2
feed_forward = 16

[train]
epochs = 1
batch_size = 4
method = "decoder"

[device]
device = "cpu"
"""


@dataclass
class Outcome:
    """What one call of the command line did."""

    code: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("zsmld: error: ")]


@dataclass
class CommandLine:
    """Calls zsmld in a workspace: in this process, or in one of its own."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Outcome:
        self.capture.readouterr()
        code = run(list(arguments))
        told = self.capture.readouterr()
        return Outcome(code, told.out, told.err)

    def start(self, *arguments: str, **options: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "zsmld", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **self.environment}
        return subprocess.Popen(command, cwd=self.folder, env=variables, **pipes)  # type: ignore[call-overload]

    def process(self, *arguments: str, **options: object) -> Outcome:
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return Outcome(process.returncode, out or "", err or "")


def _draw_photographs(folder: Path) -> None:
    folder.mkdir()
    for number in range(10):
        drawn = Image.new("RGB", (64, 64), (25 * number, 255 - 25 * number, 128))
        ImageDraw.Draw(drawn).ellipse((number, 8, 40, 40 + number), fill=(255, 20 * number, 0))
        drawn.save(folder / f"{number}.jpg", quality=90)


def _records() -> list[dict[str, object]]:
    everything = (*SEEN, *UNSEEN)
    return [
        {
            "image": f"photos/{number}.jpg",
            "labels": [everything[number % 4], everything[(number + 2) % 6]],
            "split": "test" if number >= 7 else "train",
        }
        for number in range(10)
    ]


def _vectors() -> str:
    numbers = random.Random(0)
    rows = [word for label in (*SEEN, *UNSEEN, *OTHERS) for word in label.split()]
    return "".join(
        f"{word} " + " ".join(f"{numbers.uniform(-1, 1):.4f}" for _ in range(WIDTH)) + "\n"
        for word in dict.fromkeys(rows)
    )


def make_workspace(folder: Path) -> None:
    """Everything but what zsmld itself writes."""
    folder.mkdir()
    _draw_photographs(folder / "photos")
    lines = [json.dumps(record) + "\n" for record in _records()]
    for name, text in {
        "zsmld.toml": CONFIGURATION,
        "annotations.jsonl": "".join(lines),
        "seen.txt": "\n".join(SEEN) + "\n",
        "unseen.txt": "\n".join(UNSEEN) + "\n",
        "labels.txt": "\n".join((*SEEN, *UNSEEN)) + "\n",
        "any.txt": "fish\ndog\nbird\n",
        "vectors.txt": _vectors(),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(autouse=True)
def own_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.MonkeyPatch]:
    """No variable of the person who runs the tests, one token cache for all, and signals as they were."""
    for name in list(os.environ):
        if name.startswith("ZSMLD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path_factory.getbasetemp() / "token-cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    handler = signal.getsignal(signal.SIGTERM)
    yield monkeypatch
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def finished_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with label embeddings and a finished run. Never written to by a test: they copy it."""
    folder = tmp_path_factory.mktemp("finished") / "workspace"
    make_workspace(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZSMLD_CACHE", str(tmp_path_factory.getbasetemp() / "token-cache"))
        patch.chdir(folder)
        assert run(["embed-labels", "labels.txt"]) == 0
        assert run(["train"]) == 0
    return folder


@pytest.fixture
def workspace(finished_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished workspace, which is the current folder."""
    folder = tmp_path / "workspace"
    shutil.copytree(finished_workspace, folder, symlinks=True)
    # A run goes on with the settings that it was started with only, and these hold whole paths.
    record = folder / "runs/001/run.json"
    record.write_text(record.read_text().replace(str(finished_workspace), str(folder)))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def zsmld(workspace: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line in the copied workspace."""
    return CommandLine(workspace, capsys)


@pytest.fixture
def cache() -> Path:
    """The token cache."""
    return Path(os.environ["ZSMLD_CACHE"])
