"""From settings to a model that is built anew, and what trains it."""

from __future__ import annotations

from typing import Any

import torch

from zsmld import files
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.queries import LabelQueries
from zsmld.devices import pick_device
from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone, parse_arguments
from zsmld.images.features import GivenTokens
from zsmld.images.token_cache import TokenCache
from zsmld.settings import TrainSettings
from zsmld.training.feeding import CachedTokens, DecodedImages, Inputs, Part
from zsmld.training.job import Job
from zsmld.training.loop import Trainer
from zsmld.training.objective import Objective, objective_of


def new_trainer(job: Job, objective: Objective | None = None) -> tuple[ZeroShotModel, Trainer]:
    """A model with an untrained decoder, and its trainer.

    Args:
        job: what to train on.
        objective: another than the settings ask for.
    """
    device = pick_device(job.settings.device)
    backbone = new_backbone(job)
    inputs = inputs_of(job, backbone)
    # How many numbers the backbone's construction drew must not change the head.
    torch.manual_seed(job.settings.seed)
    if job.settings.checkpointing and isinstance(backbone, Backbone):
        backbone.checkpoint_activations()
    head = _new_head(job, backbone)
    model = ZeroShotModel(backbone, head)
    trainer = Trainer(
        module=model if job.settings.train_backbone else head,
        label_embeddings=job.seen_vectors(),
        measured_embeddings=job.measured_vectors(),
        objective=objective or objective_of(job.settings),
        training=Part(inputs, job.targets, job.training_rows),
        validation=Part(inputs, job.measured_targets, job.validation_rows) if len(job.validation_rows) else None,
        settings=job.settings,
        folder=job.folder,
        device=device,
        last_epoch=job.last_epoch,
    )
    return model, trainer


def new_backbone(job: Job) -> Backbone | GivenTokens:
    """The backbone on the device, or what stands for it where tokens are ready-made; the same every time."""
    ready = job.dataset.features
    if ready is not None:
        return GivenTokens(ready.tokens, ready.channels)
    torch.manual_seed(job.settings.seed)
    return create_backbone(backbone_spec(job.settings)).to(pick_device(job.settings.device))


def backbone_spec(settings: TrainSettings) -> BackboneSpec:
    """The backbone that the settings describe."""
    return BackboneSpec(
        name=settings.backbone,
        weights=settings.backbone_weights,
        arguments=parse_arguments(settings.backbone_arg),
        mean=settings.mean or None,
        std=settings.std or None,
        image_size=settings.image_size,
    )


def inputs_of(job: Job, backbone: Backbone | GivenTokens) -> Inputs:
    """Tokens of a frozen backbone, computed where they are not there yet, or images for one that is trained along."""
    if isinstance(backbone, GivenTokens):
        assert job.dataset.features is not None
        return CachedTokens(job.dataset.features)
    paths = job.dataset.image_paths()
    if job.settings.train_backbone:
        for path in paths:
            # Hours later would be a bad time to find that one is missing.
            with files.open_input(path):
                pass
        return DecodedImages(paths, backbone, job.settings.augmentation)
    return CachedTokens(TokenCache(files.cache_folder(), backbone).fill(paths))


def _new_head(job: Job, backbone: Backbone | GivenTokens) -> MLDecoder:
    settings = job.settings
    sizes: dict[str, Any] = {
        "in_features": backbone.channels,
        "width": settings.width,
        "heads": settings.heads,
        "feed_forward": settings.feed_forward,
        "dropout": settings.dropout,
        "mask_per_image": settings.query_dropout == "image",
    }
    vectors = job.seen_vectors()
    if vectors is None:
        return MLDecoder(num_classes=len(job.seen), groups=settings.groups, **sizes)
    head = MLDecoder(label_features=vectors.shape[1], centred=settings.label_vectors == "centred", **sizes)
    assert isinstance(head.queries, LabelQueries)
    head.queries.fit_centre(vectors)
    return head
