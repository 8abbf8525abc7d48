"""What `push` and `pull` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting


@dataclass(frozen=True, kw_only=True)
class PushSettings:
    """`zsmld push`."""

    private: bool = setting(False, "Make a new repository private.", section="hub")
    licence: str | None = setting(
        None, "Licence of the model by its name on the hub, such as apache-2.0. Default: the card names none.",
        section="hub",
    )  # fmt: skip
    dry_run: bool = setting(False, "List what would be sent, and send nothing.", section="hub")


@dataclass(frozen=True, kw_only=True)
class PullSettings:
    """`zsmld pull`."""

    output: Path | None = setting(None, "Folder to write. Default: NAME in the current folder.", section="hub")
    revision: str | None = setting(None, "Branch, tag or commit. Default: the newest.", section="hub")
    force: bool = setting(False, "Replace a model folder of that name.", section="hub")
