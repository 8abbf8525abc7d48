"""Published ML-Decoder checkpoints → model folders.

A checkpoint is a pickle of a state dict: the backbone under its own names, the head under `head.` or `fc.`. It is read
without being run (`zsmld.labels.array_states`), the head becomes ours (`published`), the backbone timm's of the same
architecture. The published models take pixels in [0,1] as they are, squeezed to a square: so do timm's TResNets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsmld import config, files, folders
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import MODEL_FILES, save_model
from zsmld.decoder.published import split_published
from zsmld.errors import InputError, UsageError
from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone, parse_arguments
from zsmld.images.published_weights import load_published
from zsmld.images.towers import RANDOM
from zsmld.labels.array_states import Checkpoint, read_checkpoint
from zsmld.labels.array_types import AnyArray, text_of
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import read_vocabulary, vocabulary_of
from zsmld.settings import ConvertSettings

_TIMM = "timm:"
# What published checkpoints hold of their classes: index → name.
_CLASSES = "idx_to_class"


def convert(checkpoint: str | Path, settings: ConvertSettings | None = None, **values: Any) -> Path:
    """Make a model folder of a published ML-Decoder checkpoint, zero-shot or closed-set, and return it.

    Args:
        checkpoint: what `torch.save` wrote, or safetensors.
        settings: all settings at once, as the command line builds them; or
        values: the fields of `ConvertSettings` by name.

    Raises:
        UsageError: settings that do not fit each other, or the folder is there already.
        InputError: a checkpoint, labels or vectors that cannot be used, or do not fit each other.
    """
    settings = settings or config.build(ConvertSettings, values)
    checkpoint, output = Path(checkpoint), _checked(settings)
    with folders.whole_folder(output, replaces=MODEL_FILES, force=settings.force) as filled:
        held = read_checkpoint(checkpoint)
        try:
            head, of_backbone = _parts(held.tensors, settings)
            seen, labels = _words(held, head, settings)
            backbone = _backbone(of_backbone, head, settings)
        except InputError as error:
            path = checkpoint if error.path is None else error.path
            raise InputError(error.problem, path=path, line=error.line, remedy=error.remedy) from error
        save_model(
            filled, ZeroShotModel(backbone, head), seen=seen, labels=labels, single_label=settings.single_label,
            backbone_trained=True,
            about={
                "method": "ML-Decoder as it was published",
                "converted from": f"{checkpoint.name} ({files.digest_file(checkpoint)})",
            },
        )  # fmt: skip
    return output


def _checked(settings: ConvertSettings) -> Path:
    """The folder to write; refuses first what is cheap to refuse."""
    if settings.backbone is None or not settings.backbone.startswith(_TIMM):
        raise UsageError(
            f"no backbone of timm given: {settings.backbone}", remedy="Give --backbone, such as timm:tresnet_v2_l."
        )
    if settings.output is None:
        raise UsageError("no folder to write given", remedy="Give --output DIR.")
    if settings.single_label and not settings.closed_set:
        raise UsageError("--single-label belongs to a closed-set head", remedy="Add --closed-set.")
    if not settings.closed_set:
        config.given(settings, "seen")
    return settings.output


def _parts(tensors: Mapping[str, AnyArray], settings: ConvertSettings) -> tuple[MLDecoder, dict[str, Tensor]]:
    """The head, and the backbone's tensors as they were published."""
    state = {name: torch.from_numpy(_native(array)) for name, array in tensors.items()}
    try:
        head, of_backbone = MLDecoder.from_published(state), split_published(state)[1]
    except UsageError as error:
        raise InputError(f"holds a head of sizes that no published one has: {error.problem}") from error
    if (head.num_classes is not None) != settings.closed_set:
        kind, remedy = "zero-shot", "Leave --closed-set out."
        if head.num_classes is not None:
            kind, remedy = f"closed-set, of {head.num_classes} classes", "Add --closed-set."
        raise InputError(f"its head is {kind}", remedy=remedy)
    if not of_backbone:
        raise InputError("holds a head without a backbone", remedy="Load it with zsmld.MLDecoder.from_published.")
    return head, of_backbone


def _native(array: AnyArray) -> AnyArray:
    """A copy: half precision as float32, in the byte order of this machine."""
    kind = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return array.astype(kind)


def _words(
    held: Checkpoint, head: MLDecoder, settings: ConvertSettings
) -> tuple[tuple[str, ...], LabelEmbeddings | None]:
    """The labels that it was trained on, and the vectors of a zero-shot one."""
    if head.num_classes is not None:
        classes = _classes(held) if settings.seen is None else read_vocabulary(settings.seen).labels
        if len(classes) != head.num_classes:
            raise InputError(f"names {len(classes)} classes, the checkpoint has {head.num_classes}", path=settings.seen)
        return classes, None
    seen = read_vocabulary(config.given(settings, "seen"))
    table = LabelEmbeddings.load(settings.embeddings)
    if table.width != head.label_features:
        raise InputError(
            f"holds vectors of {table.width} numbers, the checkpoint was trained with {head.label_features}",
            path=settings.embeddings, remedy="Embed the labels with the vectors that it was trained with.",
        )  # fmt: skip
    try:
        table.select(seen.labels)
    except InputError as error:
        raise InputError(error.problem, path=seen.path, remedy=error.remedy) from error
    return seen.labels, table


def _classes(held: Checkpoint) -> tuple[str, ...]:
    """The classes that the checkpoint names, in the order of its logits."""
    named = held.beside.get(_CLASSES)
    if not isinstance(named, dict) or set(named) != set(range(len(named))):
        raise InputError("does not name its classes", remedy="Give them with --seen FILE, in the order of its logits.")
    return vocabulary_of([text_of(named[index]) for index in range(len(named))]).labels


def _backbone(tensors: Mapping[str, Tensor], head: MLDecoder, settings: ConvertSettings) -> Backbone:
    """The tower with its weights, without a classifier."""
    spec = BackboneSpec(
        name=str(settings.backbone),
        weights=RANDOM,
        arguments={"num_classes": 0} | parse_arguments(settings.backbone_arg),
        mean=settings.mean or None,
        std=settings.std or None,
        image_size=settings.image_size,
    )
    backbone = create_backbone(spec)
    load_published(backbone.tower, tensors, spec.name)
    if backbone.channels != head.in_features:
        raise InputError(f"its head takes tokens of {head.in_features} numbers, {spec.name} gives {backbone.channels}")
    return backbone
