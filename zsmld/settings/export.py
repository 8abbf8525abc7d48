"""What `export` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import DEFAULT_MODEL


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """`zsmld export`."""

    model: Path = setting(
        DEFAULT_MODEL, "Run or model folder, or ORG/NAME of a model on the hub.", section="export", may_be_on_hub=True
    )
    output: Path = setting(Path("model.onnx"), "File to write.", section="export")
    part: str = setting(
        "model", "What goes into the file: the whole model, which takes images, or its head alone, which takes the "
        "tokens of a backbone.", section="export", choices=("model", "head"),
    )  # fmt: skip
    force: bool = setting(False, "Replace the file if it exists.", section="export")
