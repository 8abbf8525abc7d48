"""What `predict` and `short-list` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import DEFAULT_MODEL, DeviceSettings, PrecisionSettings


@dataclass(frozen=True, kw_only=True)
class WordsSettings(DeviceSettings):
    """A model, and the words that it is to score."""

    labels: Path | None = setting(
        None, "Label file: the words to score. Any words; of a closed-set model, some of its classes.",
        section="predict",
    )  # fmt: skip
    model: Path = setting(
        DEFAULT_MODEL, "Run or model folder, or ORG/NAME of a model on the hub.", section="predict", may_be_on_hub=True
    )
    source: tuple[str, ...] = setting(
        (), "Where the vectors of new words are, if not where the model's own came from.", section="predict",
        may_be_path=True, complete="source",
    )  # fmt: skip
    missing: str = setting(
        "error", "What to do with words that have no vector.", section="predict", choices=("error", "skip")
    )


@dataclass(frozen=True, kw_only=True)
class ShortListSettings(WordsSettings):
    """`zsmld short-list`."""


@dataclass(frozen=True, kw_only=True)
class PredictSettings(WordsSettings, PrecisionSettings):
    """`zsmld predict`."""

    format: str = setting("table", "Form of the output.", section="predict", choices=("table", "jsonl", "csv"))
    top_k: int = setting(5, "Labels an image; 0 gives all.", section="predict", minimum=0)
    short_list: str = setting(
        "auto", "Decode only the labels that a probe picks, where the model has a short list (zsmld short-list): auto "
        "does from 10,000 labels on.", section="predict", choices=("auto", "on", "off"),
    )  # fmt: skip
    batch_size: int = setting(16, "Images at a time.", section="predict", minimum=1, below=65_536)
    output: Path | None = setting(None, "File to write instead of standard output.", section="predict")
    force: bool = setting(False, "Replace the output file if it exists.", section="predict")
