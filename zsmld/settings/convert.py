"""What `convert` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting
from zsmld.settings.common import DEFAULT_EMBEDDINGS


@dataclass(frozen=True, kw_only=True)
class ConvertSettings:
    """`zsmld convert`."""

    seen: Path | None = setting(
        None, "Label file: the words that it was trained on; with --closed-set the classes in the order of its logits. "
        "Default: with --closed-set those that the checkpoint names.", section="labels",
    )  # fmt: skip
    embeddings: Path = setting(DEFAULT_EMBEDDINGS, "File that embed-labels wrote, of the vectors that it was trained "
        "with.", section="labels")  # fmt: skip
    closed_set: bool = setting(
        False, "It has an output for each of its classes, and takes no vectors.", section="labels"
    )
    single_label: bool = setting(
        False, "With --closed-set: every image has exactly one of the classes.", section="labels"
    )
    backbone: str | None = setting(
        None, "Image tower that it was trained with: timm:NAME. Theirs called TResNet-L is timm:tresnet_v2_l.",
        section="backbone",
    )  # fmt: skip
    backbone_arg: tuple[str, ...] = setting(
        (), "Extra model argument key=value, such as layers=[3,8,34,5]. Repeatable.", section="backbone"
    )
    mean: tuple[float, ...] = setting((), "Mean of the pixels instead of the backbone's own.", section="backbone")
    std: tuple[float, ...] = setting((), "Deviation of the pixels instead of the backbone's own.", section="backbone")
    image_size: int | None = setting(
        None, "Side of the square input in pixels instead of the backbone's own.", section="backbone", minimum=16
    )
    output: Path | None = setting(None, "Folder to write.", section="convert")
    force: bool = setting(False, "Replace a model folder of that name.", section="convert")
