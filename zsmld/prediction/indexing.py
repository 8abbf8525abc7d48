"""Photographs and a model → an index that holds their tokens, so that new words cost the decoder alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zsmld import config
from zsmld.devices import pick_device
from zsmld.images.index_update import IndexChanges, update_index
from zsmld.prediction.inputs import find_images
from zsmld.prediction.models import load_backbone
from zsmld.settings import IndexSettings


def index_photographs(
    photographs: Sequence[str | Path], settings: IndexSettings | None = None, **values: Any
) -> IndexChanges:
    """Keep the tokens that a model's backbone gives for photographs, or bring those that are kept up to date.

    Args:
        photographs: files, and folders that are searched; photographs that are gone from these leave the index.
        settings: all settings at once, as the command line builds them; or
        values: the fields of `IndexSettings` by name.

    Returns:
        How many photographs were added, changed, deleted, unchanged, and which cannot be read.

    Raises:
        UsageError: settings that do not fit, or a folder that is used for something else.
        InputError: no such photographs or model, or an index of another backbone, or a damaged one.
        EnvironmentFailure: the disk is full, or the index cannot be written; what was there can be used.
    """
    settings = settings or config.build(IndexSettings, values)
    inputs = [os.fspath(each) for each in photographs]
    paths = find_images(inputs).paths
    backbone = load_backbone(settings).to(pick_device(settings.device))
    return update_index(
        settings.index, backbone, paths,
        inputs=[Path(each) for each in inputs], batch_size=settings.batch_size, force=settings.force,
    )  # fmt: skip
