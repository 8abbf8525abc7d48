"""The model folder: `config.json`, `model.safetensors`, `labels.safetensors` and a card, `README.md`.

A closed-set model has no `labels.safetensors`: its labels are its classes, in `config.json`.

`config.json` is written last: a folder without it holds no finished model. It names the digest of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsmld import __version__, files
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.similarity import SimilarityHead
from zsmld.decoder.two_path import TwoPathHead
from zsmld.errors import InputError, ZsmldError
from zsmld.images import features
from zsmld.images.backbones import Backbone
from zsmld.images.features import GivenTokens
from zsmld.labels.clip_models import Clip
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.tensors import DIGEST, read_tensors, write_tensors

CONFIG, WEIGHTS, LABELS, CARD = "config.json", "model.safetensors", "labels.safetensors", "README.md"
RECORD = "run.json"  # how it was trained
CALIBRATION = "calibration.json"  # how much higher seen labels are scored
FORMAT_VERSION = 1
_KEYS = ("format_version", "head", "backbone", "backbone_trained", "seen", "weights_digest")


@dataclass(frozen=True)
class TrainedModel:
    """A model and what must be known of it to use it.

    Attributes:
        model: backbone and head, in eval mode.
        seen: the labels it was trained on; of a closed-set model its classes, in the order of the logits.
        labels: embeddings of every label that stood beside them at training time, seen and unseen; None of a
            closed-set model.
        single_label: whether an image has exactly one of the classes: softmax in the place of sigmoids.
        backbone_trained: whether the backbone differs from the published one.
        folder: where it was loaded from; of a model without training the name of the CLIP model, which is no folder.
        clip: of a model without training whose words are yet to come, the CLIP model with its text tower.
    """

    model: ZeroShotModel
    seen: tuple[str, ...]
    labels: LabelEmbeddings | None
    single_label: bool
    backbone_trained: bool
    folder: Path
    clip: Clip | None = None

    @property
    def closed_set(self) -> bool:
        """Whether it knows its classes alone."""
        return self.labels is None

    def label_space(self) -> LabelEmbeddings:
        """`labels`.

        Raises:
            InputError: a closed-set model has none.
        """
        if self.labels is None:
            raise InputError(
                f"is a closed-set model: it scores its {len(self.seen)} classes and no other words", path=self.folder,
                remedy="For any words train without --closed-set.",
            )  # fmt: skip
        return self.labels


def save_model(
    folder: Path,
    model: ZeroShotModel,
    *,
    seen: tuple[str, ...],
    labels: LabelEmbeddings | None,
    backbone_trained: bool,
    single_label: bool = False,
    about: dict[str, str],
) -> None:
    """Write a model folder, of a model that was trained.

    Args:
        about: what the card says of the training: name → value.
    """
    assert not isinstance(model.head, SimilarityHead)
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    digest = write_tensors(folder / WEIGHTS, arrays, {"format": str(FORMAT_VERSION)})
    if labels is not None:
        labels.save(folder / LABELS, force=True)
    files.write_text(folder / CARD, _card(model.head, seen, labels, about))
    config = {
        "format_version": FORMAT_VERSION,
        "zsmld_version": __version__,
        "head": model.head.sizes,
        "backbone": model.backbone.to_config(),
        "backbone_trained": backbone_trained,
        "seen": list(seen),
        "single_label": single_label,
        "weights_digest": digest,
    }
    files.write_json(folder / CONFIG, config)


def load_model(folder: Path) -> TrainedModel:
    """Load a model folder.

    Raises:
        InputError: the folder is absent, holds no finished model, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise InputError("no such model folder", path=folder, remedy="Train one with zsmld train, or give --model.")
    if not (folder / CONFIG).exists():
        raise InputError(
            f"holds no finished model: {CONFIG} is missing", path=folder,
            remedy="Finish the run with zsmld train --resume.",
        )  # fmt: skip
    config = _checked_config(folder / CONFIG)
    arrays, metadata = read_tensors(folder / WEIGHTS)
    if metadata[DIGEST] != config["weights_digest"]:
        raise InputError(f"is not the file that {CONFIG} describes: their digests differ", path=folder / WEIGHTS)
    try:
        head = _head(config["head"])
        model = ZeroShotModel(_backbone(config["backbone"]), head)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except ZsmldError as error:
        raise InputError(f"describes no model: {error}", path=folder / CONFIG) from error
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"the weights do not fit the description: {reason}", path=folder / CONFIG) from error
    return TrainedModel(
        model=model.eval(),
        seen=tuple(config["seen"]),
        labels=_label_space(folder, head, len(config["seen"])),
        single_label=config["single_label"],
        backbone_trained=config["backbone_trained"],
        folder=folder,
    )


def _head(sizes: dict[str, Any]) -> MLDecoder | TwoPathHead:
    """Of the two kinds the one that has such sizes."""
    return TwoPathHead.from_sizes(sizes) if "linear" in sizes else MLDecoder.from_sizes(sizes)


def _label_space(folder: Path, head: MLDecoder | TwoPathHead, classes: int) -> LabelEmbeddings | None:
    """The vectors of a zero-shot head; None of a closed-set one."""
    if head.num_classes is not None:
        if head.num_classes != classes:
            raise InputError(f"names {classes} classes of {head.num_classes}", path=folder / CONFIG)
        return None
    labels = LabelEmbeddings.load(folder / LABELS)
    if labels.width != head.label_features:
        problem = f"holds vectors of {labels.width} numbers, the model takes {head.label_features}"
        raise InputError(problem, path=folder / LABELS)
    return labels


def _backbone(config: Any) -> Backbone | GivenTokens:
    if isinstance(config, dict) and config.get("name") == features.NAME:
        return GivenTokens.from_config(config)
    return Backbone.from_config(config)


def _checked_config(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = files.read_json(path)
    missing = [key for key in _KEYS if not isinstance(config, dict) or key not in config]
    if missing:
        raise InputError(f"is no model description: lacks {', '.join(missing)}", path=path)
    if config["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"has format version {config['format_version']!r}, this zsmld reads {FORMAT_VERSION}", path=path,
            remedy="Use the zsmld version that wrote it.",
        )  # fmt: skip
    seen = config["seen"]
    if not isinstance(seen, list) or not all(isinstance(label, str) for label in seen):
        raise InputError("seen is not a list of words", path=path)
    # Folders from before there was a closed-set head say nothing of it.
    if type(config.setdefault("single_label", False)) is not bool:
        raise InputError("single_label is neither true nor false", path=path)
    return config


def _card(
    head: MLDecoder | TwoPathHead, seen: tuple[str, ...], labels: LabelEmbeddings | None, about: dict[str, str]
) -> str:
    name = "An ML-Decoder head"
    if isinstance(head, TwoPathHead):
        name = "A linear head" if head.decoder is None else "An ML-Decoder head beside a linear one"
    rows = "\n".join(f"| {key} | {value} |" for key, value in about.items())
    kind = "in zero-shot mode: it scores photographs for any words that have a vector in its label space"
    task, tag, space, words = "zero-shot-image-classification", "zero-shot", "", " --labels words.txt"
    if labels is None:
        kind = "with an output for each of its classes"
        task, tag, words = "image-classification", "closed-set", ""
    else:
        space = f"\n| label vectors | {labels.width} numbers from {_told_source(labels)} |"
    return f"""---
library_name: zsmld
pipeline_tag: {task}
tags: [{tag}, multi-label, ml-decoder]
---
# A zsmld model

{name} {kind}.

| | |
|---|---|
| trained on | {len(seen)} labels: {", ".join(seen[:10])}{", ..." if len(seen) > 10 else ""} |{space}
{rows}

    zsmld predict photo.jpg{words} --model THIS_FOLDER
"""


def _told_source(labels: LabelEmbeddings) -> str:
    """The sources without their folders, which mean nothing on another machine."""
    return " + ".join(f"{Path(part.source).name} ({part.kind})" for part in labels.provenance.parts)
