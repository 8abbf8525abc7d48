"""What `index` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import ModelSettings

DEFAULT_INDEX = Path("photographs.index")


@dataclass(frozen=True, kw_only=True)
class IndexSettings(ModelSettings):
    """`zsmld index`."""

    index: Path = setting(DEFAULT_INDEX, "Folder of the index.", section="index")
    batch_size: int = setting(16, "Images at a time.", section="index", minimum=1, below=65_536)
    force: bool = setting(
        False, "Make the index anew: forget what it holds, which may be another backbone's, or damaged.",
        section="index",
    )  # fmt: skip
