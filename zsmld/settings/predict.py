"""What `predict` and `short-list` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import ModelSettings, PrecisionSettings


@dataclass(frozen=True, kw_only=True)
class WordsSettings(ModelSettings):
    """A model, and the words that it is to score."""

    labels: tuple[str, ...] = setting(
        (), "The words to score: a label file, a file that embed-labels wrote, - for standard input, or words with "
        "commas between. Any words; of a closed-set model, some of its classes. Repeatable.", section="predict",
        may_be_path="file",
    )  # fmt: skip
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

    top_k: int | None = setting(
        None, "Labels an image at most; 0 for all. Default: 5, and all where a threshold is given.", section="predict",
        minimum=0,
    )  # fmt: skip
    threshold: str | None = setting(
        None, "Only labels whose score reaches it: a number from 0 to 1, or auto for the threshold of each label that "
        "training measured.", section="predict",
    )  # fmt: skip
    explain: bool = setting(
        False, "Look for where each label looked, and for the labels trained on that are nearest to it.",
        section="predict",
    )  # fmt: skip
    index: Path | None = setting(
        None, "Score the photographs of an index that zsmld index made, instead of IMAGES.", section="predict"
    )

    format: str | None = setting(
        None, "Form of the output. Default: table; nothing where only --gallery, --xmp or --heatmaps is asked for.",
        section="predict", choices=("table", "jsonl", "csv"),
    )  # fmt: skip
    output: Path | None = setting(None, "File to write instead of standard output.", section="predict")
    gallery: Path | None = setting(
        None, "Folder to write an HTML gallery to, which works offline; implies --explain.", section="predict"
    )
    heatmaps: Path | None = setting(
        None, "Folder to write a PNG a photograph and label to: where the label looked; implies --explain.",
        section="predict",
    )  # fmt: skip
    xmp: str | None = setting(
        None, "Write labels as keywords into XMP sidecars beside the photographs: full as IMG.jpg.xmp (digiKam, "
        "darktable), stem as IMG.xmp (Lightroom). Only labels that reach their threshold.", section="predict",
        choices=("full", "stem"),
    )  # fmt: skip
    dry_run: bool = setting(False, "With --xmp: say what would change, write no sidecar.", section="predict")
    resume: bool = setting(False, "Go on with a run that was cut.", section="predict")
    force: bool = setting(False, "Replace output that exists, start over.", section="predict")

    short_list: str = setting(
        "auto", "Decode only the labels that a probe picks, where the model has a short list (zsmld short-list): auto "
        "does from 10,000 labels on.", section="predict", choices=("auto", "on", "off"),
    )  # fmt: skip
    batch_size: int = setting(16, "Images at a time.", section="predict", minimum=1, below=65_536)

    @property
    def explained(self) -> bool:
        """Whether something that is asked for needs an explanation."""
        return self.explain or self.gallery is not None or self.heatmaps is not None

    @property
    def printed(self) -> bool:
        """Whether labels go to a file or to standard output."""
        others = self.gallery or self.heatmaps or self.xmp
        return bool(self.format or self.output or not others)
