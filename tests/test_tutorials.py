"""Every command of the tutorials is run, in order, in a folder as they describe it; `scripts/test` installs."""

import contextlib
import io
import json
import random
import re
import shlex
import subprocess
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from zsmld.cli import run

DOCS = Path(__file__).resolve().parents[1] / "docs"
INSTALLING = ("python3 -m venv", ". .venv/bin/activate", "pip install")
WORDS = ("beach", "boat", "dog", "people", "snow", "mountain", "car", "flower", "night", "cat", "tree", "house")
UNSEEN = ("cat", "tree")
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def commands(name):
    """The lines that a reader is to type."""
    text = (DOCS / name).read_text("utf-8")
    return re.findall(r"^    \$ (.+)$", text, re.MULTILINE)


def typed(command):
    """What a terminal would do; zsmld itself in this process, which has PyTorch loaded already."""
    if command.startswith("zsmld "):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(shlex.split(command)[1:])
        assert code == 0, f"{command}\n{err.getvalue()}"
        return out.getvalue()
    return subprocess.run(["bash", "-ec", command], check=True, capture_output=True, text=True).stdout


def photographs(folder, count):
    folder.mkdir()
    for number in range(count):
        drawn = Image.new("RGB", (64, 48), (5 * number, 255 - 5 * number, 128))
        ImageDraw.Draw(drawn).ellipse((number % 30, 8, 40, 40), fill=(255, 4 * number, 0))
        drawn.save(folder / f"{number:04d}.jpg")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with photographs, offline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZSMLD_DEVICE", "cpu")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    photographs(tmp_path / "photos", 48)
    return tmp_path


def test_from_nothing_to_tagged_photographs(folder, monkeypatch):
    torch.manual_seed(0)
    model = folder / "clip"
    model.mkdir()
    (model / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": {}}))
    save_file(open_clip.CLIP(**CLIP).state_dict(), model / "open_clip_model.safetensors")
    # In the place of the weights that a reader fetches.
    monkeypatch.setenv("ZSMLD_MODEL", f"open_clip:local-dir:{model}")
    done = [command for command in commands("tutorial.md") if not command.startswith(INSTALLING)]
    assert len(done) >= 10
    out = {command: typed(command) for command in done}
    assert "photos/0000.jpg\n" in out[done[0]]
    for name in ("gallery/index.html", "photos.index", "tags.jsonl", "photos/0000.jpg.xmp"):
        assert (folder / name).exists(), name
    assert list((folder / "heatmaps").glob("*.png"))
    assert len((folder / "tags.jsonl").read_text().splitlines()) == 48


def test_training_on_own_labels(folder, monkeypatch):
    numbers = random.Random(0)
    records = [
        {
            "image": f"photos/{number:04d}.jpg",
            "labels": sorted({WORDS[number % 12], WORDS[(number * 5 + 1) % 12]}),
            "split": "test" if number % 4 == 3 else "train",
        }
        for number in range(48)
    ]
    texts = {
        "annotations.jsonl": "".join(json.dumps(record) + "\n" for record in records),
        "seen.txt": "".join(f"{word}\n" for word in WORDS if word not in UNSEEN),
        "unseen.txt": "".join(f"{word}\n" for word in UNSEEN),
        "glove.6B.300d.txt": "".join(
            f"{word} {' '.join(f'{numbers.uniform(-1, 1):.3f}' for _ in range(12))}\n"
            for word in (*WORDS, "ship", "harbour")
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    # A tower that need not be fetched, and is small.
    for name, value in {"BACKBONE": "timm:test_convnext", "BACKBONE_WEIGHTS": "random", "IMAGE_SIZE": "32"}.items():
        monkeypatch.setenv(f"ZSMLD_{name}", value)
    done = commands("tutorial_own_labels.md")
    assert len(done) >= 10
    out = {command: typed(command) for command in done}
    assert "ZSL" in out[next(command for command in done if command.startswith("zsmld eval"))]
    assert (folder / "runs/latest/report.html").exists() and (folder / "tagger.onnx").exists()


def test_the_tutorials_link_to_what_is_there():
    for name in ("tutorial.md", "tutorial_own_labels.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (DOCS / name).read_text("utf-8")):
            assert (DOCS / target).exists(), f"{name}: {target}"
