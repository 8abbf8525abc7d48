"""What `eval` and `compare` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import DEFAULT_MODEL, DataSettings, PrecisionSettings


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(DataSettings, PrecisionSettings):
    """What is measured, and by which rules."""

    unseen: Path | None = setting(None, "Label file: the words never trained on.", section="labels")
    split: str = setting("test", "Which records to evaluate.", section="eval", choices=("train", "val", "test"))
    protocol: str = setting(
        "strict", "The rules of the figures; see docs/protocols.md.", section="eval",
        choices=("strict", "filtered", "lesa", "biam", "mkt", "mldecoder", "open-images"),
    )  # fmt: skip
    min_positives: int = setting(
        1, "Labels with fewer positive images are left out of the mean, and counted.", section="eval", minimum=1
    )
    resamples: int = setting(
        1000, "Bootstrap resamples of the test images, for intervals; 0 gives none.", section="eval", minimum=0,
    )  # fmt: skip
    batch_size: int = setting(32, "Images at a time.", section="eval", minimum=1, below=65_536)


@dataclass(frozen=True, kw_only=True)
class EvalSettings(MeasureSettings):
    """`zsmld eval`."""

    model: Path = setting(
        DEFAULT_MODEL, "Run or model folder, or ORG/NAME of a model on the hub.", section="eval", may_be_on_hub=True
    )
    scores: Path | None = setting(
        None, "Evaluate these scores of any model instead: a table, images × labels (npy, npz, safetensors, CSV, "
        "Parquet). Needs --targets, --labels and --seen.", section="eval",
    )  # fmt: skip
    targets: Path | None = setting(None, "With --scores: the truth, as such a table.", section="eval")
    labels: Path | None = setting(
        None, "With --scores: label file, one for each column, in their order.", section="eval"
    )
    seen: Path | None = setting(None, "With --scores: label file, those trained on.", section="labels")
    gzsl: bool = setting(False, "Score seen and unseen labels together, too.", section="eval")
    seen_offset: float | None = setting(
        None, "What to take off the scores of seen labels, chosen on validation labels, for a second GZSL figure. "
        "Default: what zsmld train --calibrate found.", section="eval",
    )  # fmt: skip
    report: Path | None = setting(
        None, "Folder for report.json, report.md and report.html. Default: the model folder.", section="eval"
    )
    json: bool = setting(False, "Print one JSON object instead of a table.", section="eval")


@dataclass(frozen=True, kw_only=True)
class CompareSettings(MeasureSettings):
    """`zsmld compare`."""

    baselines: tuple[str, ...] = setting(
        (), "Simple methods on the tokens and labels of the first run: chance, nearest, conse, eszsl, mixture, "
        "fast0tag, clip, or all. Repeatable.", section="compare",
    )  # fmt: skip
    clip: str | None = setting(
        None, "The CLIP model of the baseline clip: open_clip:MODEL@WEIGHTS.", section="compare", may_be_path=True
    )
    output: Path | None = setting(None, "Folder for compare.json and compare.md.", section="compare")
    json: bool = setting(False, "Print one JSON object instead of a table.", section="compare")
