"""What several commands can be told: the data set, the device, sources of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting

DEFAULT_EMBEDDINGS = Path("embeddings.safetensors")
DEFAULT_MODEL = Path("runs/latest")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which photographs, and what is known of them."""

    annotations: Path | None = setting(
        None, "The data set: a JSONL file with one {image, labels, split} a line, or any other that docs/datasets.md "
        "lists, as it was downloaded.", section="data",
    )  # fmt: skip
    images: Path | None = setting(
        None, "Folder that image paths are relative to. Default: where the data set has them.", section="data"
    )
    split_file: Path | None = setting(
        None, "File that says which image is of which split, one a line with a tab or comma between, instead of the "
        "data set's own. Images that it does not name are left out.", section="data",
    )  # fmt: skip
    allow_missing: bool = setting(
        False, "Leave images out that are not on the disk, and count them, instead of stopping.", section="data"
    )


@dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Where the arithmetic is done."""

    device: str = setting(
        "auto", "Where to compute; auto takes a GPU where there is one.", section="device",
        choices=("auto", "cpu", "cuda", "mps"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelSettings(DeviceSettings):
    """What scores photographs."""

    model: str | None = setting(
        None, "Run or model folder, ORG/NAME of a model on the hub, or a CLIP model to score with as it is: "
        "open_clip:MODEL@WEIGHTS. Default: runs/latest, and where there is none, CLIP.", section="predict",
        may_be_path=True, complete="model",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PrecisionSettings(DeviceSettings):
    """And with how many digits."""

    precision: str = setting(
        "float32", "What to compute in. Half precision is for GPUs, and CPUs that multiply in it; figures change a "
        "little.", section="device", choices=("float32", "bfloat16", "float16"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SourceSettings(DeviceSettings):
    """Where vectors of words come from, and how words are turned into them."""

    source: tuple[str, ...] = setting(
        (), "Where the vectors come from: FILE, gensim:NAME or open_clip:MODEL@WEIGHTS. Repeat it to set sources side "
        "by side. See docs/labels.md.", section="labels", may_be_path=True, complete="source",
    )  # fmt: skip
    compose: str = setting(
        "mean", "How a phrase that the source lacks is composed of its words; sif gives frequent words less weight.",
        section="labels", choices=("mean", "sif"),
    )  # fmt: skip
    forms: bool = setting(
        False, "Take another form (singular, plural, with or without -ing) for a word that the source lacks.",
        section="labels",
    )  # fmt: skip
    templates: str | None = setting(
        None, "Prompt templates for CLIP text: a file with one a line, each with one {}, or a set: photo (default), "
        "plain, clip, scene, imagenet-7, imagenet-80.", section="labels", may_be_path=True, complete="templates",
    )  # fmt: skip
