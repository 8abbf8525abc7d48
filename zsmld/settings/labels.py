"""What `embed-labels` and `check` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import DEFAULT_EMBEDDINGS, SourceSettings


@dataclass(frozen=True, kw_only=True)
class EmbedSettings(SourceSettings):
    """`zsmld embed-labels`."""

    missing: str = setting(
        "error", "What to do with words that the source lacks.", section="labels", choices=("error", "skip")
    )
    embeddings: Path = setting(DEFAULT_EMBEDDINGS, "File to write.", section="labels", flag="--output")
    force: bool = setting(False, "Replace the file if it exists.", section="labels")


@dataclass(frozen=True, kw_only=True)
class CheckSettings(SourceSettings):
    """`zsmld check`."""

    seen: Path | None = setting(None, "Label file: the words to train on.", section="labels")
    unseen: Path | None = setting(None, "Label file: the words never trained on.", section="labels")
    embeddings: Path = setting(DEFAULT_EMBEDDINGS, "File that embed-labels wrote.", section="labels")
    json: bool = setting(False, "Print one JSON object, with every finding.", section="check")
    plot: Path | None = setting(None, "Draw the vocabulary in two dimensions, as an SVG picture.", section="check")
    split_into: Path | None = setting(
        None, "Folder for seen.txt without the unseen labels, unseen.txt, and labels.txt with both.", section="check"
    )
    force: bool = setting(False, "Replace files that exist.", section="check")
