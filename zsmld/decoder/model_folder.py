"""The model folder: `config.json`, `model.safetensors`, `labels.safetensors` and a card, `README.md`.

A closed-set model has no `labels.safetensors`: its labels are its classes, in `config.json`.

`config.json` is written last: a folder without it holds no finished model. It names the digest of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from zsmld import __version__, console, files, hub, hub_names
from zsmld.decoder import model_card
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.probabilities import FILE_NAME as PROBABILITIES
from zsmld.decoder.similarity import SimilarityHead
from zsmld.decoder.two_path import TwoPathHead
from zsmld.errors import InputError, UsageError, ZsmldError
from zsmld.folders import Kind
from zsmld.images import features
from zsmld.images.backbones import Backbone
from zsmld.images.features import GivenTokens
from zsmld.labels.clip_models import PREFIX, Clip
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.tensors import DIGEST, read_tensors, write_tensors

CONFIG, WEIGHTS, LABELS, CARD = "config.json", "model.safetensors", "labels.safetensors", "README.md"
RECORD = "run.json"  # how it was trained
REPORT = "report.json"  # what was measured last
CALIBRATION = "calibration.json"  # how much higher seen labels are scored
SHORT_LIST = "short_list.safetensors"
# All that goes to the hub and comes from there.
TRAVELLING = (CONFIG, WEIGHTS, LABELS, CARD, RECORD, REPORT, CALIBRATION, PROBABILITIES, SHORT_LIST)
# All that a folder holds which was not trained here; an evaluation writes its report in three forms.
FOLDER = Kind("model folder", None, (*TRAVELLING, "report.md", "report.html"))
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
        about: what is to be said of its training, by name.
    """

    model: ZeroShotModel
    seen: tuple[str, ...]
    labels: LabelEmbeddings | None
    single_label: bool
    backbone_trained: bool
    folder: Path
    clip: Clip | None = None
    about: Mapping[str, str] = field(default_factory=dict)

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
    """Write a model folder, of a model that was trained, its card anew.

    Args:
        about: what the card says of the training: name → value.
    """
    assert not isinstance(model.head, SimilarityHead)
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    digest = write_tensors(folder / WEIGHTS, arrays, {"format": str(FORMAT_VERSION)})
    if labels is not None:
        labels.save(folder / LABELS, force=True)
    described = {
        "format_version": FORMAT_VERSION,
        "zsmld_version": __version__,
        "head": model.head.sizes,
        "backbone": model.backbone.to_config(),
        "backbone_trained": backbone_trained,
        "seen": list(seen),
        "single_label": single_label,
        "weights_digest": digest,
        "about": about,
    }
    if not has_own_card(folder):
        console.warn(f"{folder / CARD} was edited, and is of an earlier model: it is replaced")
    files.write_text(folder / CARD, _card(folder, described, labels))
    files.write_json(folder / CONFIG, described)


def resolve_model(named: str | Path) -> Path:
    """The folder of the model that `named` names.

    Args:
        named: a folder; or where there is none, `ORG/NAME` or `hf:ORG/NAME` on the hub, with `@REVISION` or without,
            whose files are then in the hub's cache.

    Raises:
        UsageError: `hf:` before what is no name.
        InputError: the hub has no such model.
        EnvironmentFailure: it is not in the cache, and cannot be fetched.
    """
    name = hub_names.model_name(str(named), Path.cwd())
    return Path(named) if name is None else hub.snapshot(name, TRAVELLING)


def load_model(named: str | Path) -> TrainedModel:
    """Load a model: a folder, or what the hub has under a name (see `resolve_model`).

    Raises:
        UsageError: a model of open_clip without training.
        InputError: the folder is absent, holds no finished model, or one of its files is damaged.
    """
    folder = resolve_model(named)
    if not folder.is_dir():
        if any(part.startswith(PREFIX) for part in folder.parts):
            raise UsageError(
                f"{PREFIX}... names CLIP as it was published, which only zsmld predict and index take",
                remedy="Train a head on its tokens first: zsmld train --backbone open_clip:MODEL@WEIGHTS.",
            )
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
        about=config["about"],
    )


def card_of(folder: Path, *, name: str | None = None, licence: str | None = None) -> str:
    """The card of a model folder, out of what is in it now; see `model_card.card`.

    Raises:
        InputError: no finished model there, or a damaged one.
    """
    described = _checked_config(folder / CONFIG)
    labels = LabelEmbeddings.load(folder / LABELS) if (folder / LABELS).exists() else None
    return _card(folder, described, labels, name=name, licence=licence)


def has_own_card(folder: Path) -> bool:
    """Whether the card of a model folder is one of ours, or there is none: no person's work is in it."""
    path = folder / CARD
    return not path.exists() or model_card.is_own(files.read_bytes(path).decode("utf-8", "replace"))


def refresh_card(folder: Path) -> None:
    """Write the card of a model folder anew, unless a person has edited it."""
    if has_own_card(folder):
        files.write_text(folder / CARD, card_of(folder))
    else:
        console.info(f"{folder / CARD} was edited: it is left as it is")


def record_of(path: Path) -> dict[str, Any]:
    """What a JSON file of a model folder says; empty where there is none, or it is none of ours."""
    if not path.exists():
        return {}
    try:
        value = files.read_json(path)
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}


def _card(
    folder: Path,
    described: dict[str, Any],
    labels: LabelEmbeddings | None,
    *,
    name: str | None = None,
    licence: str | None = None,
) -> str:
    record, report = record_of(folder / RECORD), record_of(folder / REPORT)
    return model_card.card(described, labels, record=record, report=report, name=name, licence=licence)


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
    about = config.setdefault("about", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise InputError("about is not a table of texts", path=path)
    return config
