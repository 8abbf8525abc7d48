"""The built-in sample: a workspace with drawn scenes, captions and word vectors, made offline by our own code.

The same seed gives the same bytes (with the same versions of Pillow, gensim and numpy). No seed was chosen for its
result: the words, the odds and the training settings hold for any.
"""

from __future__ import annotations

import io
import os
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zsmld import console, files
from zsmld.datasets import words
from zsmld.datasets.captions import make_captions, train_word_vectors, word2vec_text
from zsmld.datasets.drawing import paint
from zsmld.datasets.scenes import draw_scene, scene_of
from zsmld.errors import UsageError

IMAGES = 2400
CAPTIONS = 12_000
_TEST_SHARE = 0.25
_JPEG_QUALITY = 90

_WORKSPACE = """\
# A generated workspace: drawn scenes with 40 seen and 10 unseen labels. Four commands, from words to figures:
#   zsmld embed-labels labels.txt
#   zsmld train --seen seen.txt
#   zsmld eval --gzsl
#   zsmld predict img.jpg --labels any.txt

[data]
annotations = "annotations.jsonl"

[labels]
source = "vectors.txt"      # word2vec, trained on captions.txt
unseen = "unseen.txt"

[backbone]                  # a tiny tower, trained from scratch along with the decoder
backbone = "timm:test_resnet"
backbone_weights = "random"
backbone_arg = ["output_stride=16"]
image_size = 96
mean = [0.5]
std = [0.25]

[decoder]
width = 128
feed_forward = 256

[train]
train_backbone = true
epochs = 20
learning_rate = 3e-3
batch_size = 32
"""


@dataclass(frozen=True)
class SampleSummary:
    """What was made."""

    folder: Path
    images: int
    seen: int
    unseen: int
    captions: int

    def __str__(self) -> str:
        return (
            f"{self.folder}: {self.images} drawings, {self.seen} seen and {self.unseen} unseen labels, word vectors "
            f"from {self.captions} captions"
        )


def make_sample(folder: Path, *, seed: int = 0, images: int = IMAGES) -> SampleSummary:
    """Write a workspace in which the four commands run as they stand.

    Args:
        folder: to be created; an empty folder is taken, too.
        seed: of the drawings, captions and vectors.
        images: how many scenes.

    Raises:
        UsageError: the folder holds something.
        EnvironmentFailure: it cannot be written.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError("exists already", path=folder, remedy="Name a new folder.")
    _write_images(folder, seed, images)
    captions = make_captions(CAPTIONS, seed)
    files.write_text(folder / "captions.txt", "\n".join(captions) + "\n")
    console.info("training word vectors on the captions")
    files.write_text(folder / "vectors.txt", word2vec_text(*train_word_vectors(captions, seed)))
    for name, labels in (
        ("labels", words.LABELS), ("seen", words.SEEN), ("unseen", words.UNSEEN), ("any", words.ANY),
    ):  # fmt: skip
        files.write_text(folder / f"{name}.txt", "\n".join(labels) + "\n")
    # Last: the folder is a workspace once everything that its configuration names is there.
    files.write_text(folder / "zsmld.toml", _WORKSPACE)
    return SampleSummary(folder, images, len(words.SEEN), len(words.UNSEEN), len(captions))


def _write_images(folder: Path, seed: int, images: int) -> None:
    rng = random.Random(f"scenes {seed}")
    lines = []
    with console.progress("drawing", images) as meter:
        for number in range(images):
            scene, name = draw_scene(rng), f"images/{number:05d}.jpg"
            files.write_bytes(folder / name, _jpeg(paint(scene)))
            split = "test" if rng.random() < _TEST_SHARE else "train"
            lines.append(files.to_json({"image": name, "labels": scene.labels, "split": split}) + "\n")
            meter.advance()
    files.write_text(folder / "annotations.jsonl", "".join(lines))
    shown = scene_of(rng, ("lemon", "taxi", "cardinal"), ground="beach", time="sunset", weather="clear")
    files.write_bytes(folder / "img.jpg", _jpeg(paint(shown)))


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()
