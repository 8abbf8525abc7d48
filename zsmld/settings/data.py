"""What `data` and `sample` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting


@dataclass(frozen=True, kw_only=True)
class DataCheckSettings:
    """`zsmld data check`."""

    images: Path | None = setting(
        None, "Folder that image paths are relative to. Default: where the data set has them.", section="data"
    )
    split_file: Path | None = setting(
        None, "File that says which image is of which split, one a line with a tab or comma between, instead of the "
        "data set's own. Images that it does not name are left out.", section="data",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataConvertSettings(DataCheckSettings):
    """`zsmld data convert`."""

    force: bool = setting(False, "Replace files that exist.", section="data")


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """`zsmld sample`."""

    seed: int = setting(0, "Seed of the drawings, captions and vectors.", section="sample", minimum=0, below=2**32)
