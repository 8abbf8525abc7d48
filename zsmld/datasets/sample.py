"""The built-in sample: a workspace with drawn scenes, captions and word vectors, generated on the spot.

It makes the four commands of the README run as written, offline, in minutes on two cores:

    zsmld embed-labels labels.txt
    zsmld train --seen seen.txt
    zsmld eval --gzsl
    zsmld predict img.jpg --labels any.txt
"""

from __future__ import annotations

import io
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zsmld import console, files
from zsmld.config import FILE_NAME
from zsmld.datasets import captions, drawing, scenes, words
from zsmld.datasets.scenes import Scene
from zsmld.errors import UsageError, unreadable

# One image in four is for testing.
_TEST_EVERY = 4
_QUALITY = 90

_CONFIGURATION = """\
# The workspace of `zsmld sample`: every flag that the commands would need, as a setting.

[data]
annotations = "annotations.jsonl"

[labels]
source = "vectors.txt"
unseen = "unseen.txt"

[backbone]
backbone = "timm:test_vit2"
backbone_arg = ["patch_size=8"]
backbone_weights = "random"
image_size = 64
mean = [0.5]
std = [0.25]

[decoder]
width = 128

[train]
train_backbone = true
epochs = 5
batch_size = 32
learning_rate = 3e-3
gamma_negative = 2
rehearsals = 1
"""


@dataclass(frozen=True)
class SampleSummary:
    """What `make_sample` wrote: the workspace, the images of each split, the labels, and what came from `seed`."""

    folder: Path
    train_images: int
    test_images: int
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    seed: int


def make_sample(folder: str | Path, *, seed: int = 0, images: int = 2400) -> SampleSummary:
    """Write a workspace with a generated data set; the same `seed` gives the same bytes in every file.

    Args:
        folder: where to; it must be absent or empty.
        seed: seeds the scenes, the corpus and the word vectors.
        images: how many images to draw; every fourth one is for testing.

    Raises:
        UsageError: `folder` holds something already, or there would be no image to test on.
        EnvironmentFailure: the disk is full or not writable. What was written until then is removed.
    """
    folder = Path(folder)
    if images < _TEST_EVERY:
        raise UsageError(f"{images} images are too few, expected at least {_TEST_EVERY}")
    if seed < 0:
        raise UsageError(f"seed {seed} is negative, expected 0 or more")
    _refuse_occupied(folder)
    created = not folder.exists()
    try:
        _write_images(folder, seed, images)
        _write_text_files(folder, seed)
        # Last, so that a folder with a configuration is a whole one.
        files.write_text(folder / FILE_NAME, _CONFIGURATION)
    except BaseException:
        _remove(folder, itself=created)
        raise
    test = images // _TEST_EVERY
    return SampleSummary(folder, images - test, test, words.SEEN, words.UNSEEN, seed)


def _refuse_occupied(folder: Path) -> None:
    try:
        if folder.is_symlink() and not folder.exists():
            raise UsageError("exists already, as a link to nothing", path=folder, remedy="Name another folder.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                "exists already, an absent or empty folder was expected", path=folder, remedy="Name another folder."
            )
    except OSError as error:
        raise unreadable(error, folder) from error


def _remove(folder: Path, *, itself: bool) -> None:
    """Undo a run that did not finish; the folder held nothing else."""
    if itself:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _write_images(folder: Path, seed: int, images: int) -> None:
    records = []
    with console.progress("drawing scenes", images) as meter:
        for number in range(1, images + 1):
            # A generator for each image: more images leave the first ones as they are.
            scene = scenes.draw_scene(random.Random(f"scene {seed} {number}"))
            name = f"images/{number:05d}.jpg"
            files.write_bytes(folder / name, _jpeg(scene))
            split = "train" if number % _TEST_EVERY else "test"
            records.append(files.to_json({"image": name, "labels": scene.labels, "split": split}))
            meter.advance()
    files.write_text(folder / "annotations.jsonl", "\n".join(records) + "\n")
    picture = scenes.scene_of(
        random.Random(f"picture {seed}"), ("cardinal", "lemon", "trawler"), ground="sea", time="sunset", weather="clear"
    )
    files.write_bytes(folder / "img.jpg", _jpeg(picture))


def _jpeg(scene: Scene) -> bytes:
    stream = io.BytesIO()
    picture: Image.Image = drawing.paint(scene)
    picture.save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()


def _write_text_files(folder: Path, seed: int) -> None:
    console.info("training word vectors on the captions")
    corpus = captions.write_corpus(random.Random(f"corpus {seed}"))
    contents = {
        "captions.txt": "\n".join(corpus) + "\n",
        "vectors.txt": captions.word_vectors(corpus, seed),
        "labels.txt": _lines(words.LABELS),
        "seen.txt": _lines(words.SEEN),
        "unseen.txt": _lines(words.UNSEEN),
        "any.txt": _lines(words.ANY),
    }
    for name, content in contents.items():
        files.write_text(folder / name, content)


def _lines(labels: tuple[str, ...]) -> str:
    return "".join(f"{label}\n" for label in labels)
