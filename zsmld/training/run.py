"""Train a decoder on the seen labels: from settings to a run folder that holds the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zsmld import config, console, files
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import CALIBRATION, RECORD, save_model
from zsmld.decoder.queries import LabelQueries
from zsmld.devices import pick_device
from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone, parse_arguments
from zsmld.images.features import GivenTokens
from zsmld.images.token_cache import TokenCache
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.settings import TrainSettings
from zsmld.training import calibrate, run_folder
from zsmld.training.checkpoint import FILE_NAME as CHECKPOINT
from zsmld.training.feeding import CachedTokens, DecodedImages, Inputs
from zsmld.training.job import Job, describe, prepare, told_backbone
from zsmld.training.loop import Part, Trainer
from zsmld.training.objective import objective_of


def train(
    settings: TrainSettings | None = None, *, embeddings: LabelEmbeddings | str | Path | None = None, **values: Any
) -> Path:
    """Train on the seen labels and return the run folder, which holds the model.

    With `closed_set=True` no vectors are read: the head has one output a class, and knows no other words.

    Args:
        settings: all settings at once, as the command line builds them; or
        embeddings: label embeddings, or the file that `embed_labels` saved, and
        values: the fields of `TrainSettings` by name.

    Raises:
        UsageError: settings that do not fit.
        InputError: labels, vectors, annotations or images that cannot be used.
    """
    table = embeddings if isinstance(embeddings, LabelEmbeddings) else None
    if settings is None:
        if embeddings is not None and table is None:
            values["embeddings"] = embeddings
        settings = config.build(TrainSettings, values)
    job = prepare(settings, table)
    if settings.calibrate:
        calibrate.check_possible(job)
    if settings.dry_run:
        describe(job)
        return job.folder
    if settings.resume and run_folder.is_finished(job.folder):
        console.info(f"{job.folder} is finished, nothing to resume")
        return job.folder
    with files.locked(job.folder):
        return _run(job)


def _run(job: Job) -> Path:
    settings, folder, vectors = job.settings, job.folder, job.seen_vectors()
    files.remove_leftovers(folder)
    resuming = settings.resume and (folder / CHECKPOINT).exists()
    described = run_folder.describe_run(
        settings,
        {
            "annotations": job.dataset.digest(),
            "seen labels": files.digest_bytes("\n".join(job.seen).encode()),
            "label embeddings": files.digest_bytes(b"" if vectors is None else vectors.numpy().tobytes()),
        },
    )
    if resuming:
        run_folder.check_same_run(folder, described)
    model, trainer = _new_trainer(job)
    if resuming:
        trainer.restore()
        console.info(f"resumed in epoch {trainer.progress.epoch + 1}, step {trainer.progress.step + 1}")
    else:
        # Not before everything is built and every photograph read: --force must not cost a model for a typing error.
        run_folder.start_over(folder)
        files.write_json(folder / RECORD, described)
    chosen = trainer.fit()
    if settings.calibrate and not (folder / CALIBRATION).exists():
        calibrate.calibrate(job, lambda part: _new_trainer(part)[1])
    trainer.module.load_state_dict(chosen)
    _finish(job, model.cpu(), trainer)
    return folder


def _new_trainer(job: Job) -> tuple[ZeroShotModel, Trainer]:
    """A model that is built anew, and its trainer."""
    torch.manual_seed(job.settings.seed)
    device = pick_device(job.settings.device)
    backbone = _backbone(job)
    inputs = _inputs(job, backbone, device)
    # Seeded again: how many numbers the backbone's construction drew must not change the head.
    torch.manual_seed(job.settings.seed)
    model = ZeroShotModel(backbone, _new_head(job, backbone))
    return model, _trainer(job, model, inputs, device)


def _backbone(job: Job) -> Backbone | GivenTokens:
    ready = job.dataset.features
    return create_backbone(backbone_spec(job.settings)) if ready is None else GivenTokens(ready.tokens, ready.channels)


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


def _inputs(job: Job, backbone: Backbone | GivenTokens, device: torch.device) -> Inputs:
    if isinstance(backbone, GivenTokens):
        assert job.dataset.features is not None
        return CachedTokens(job.dataset.features)
    paths = job.dataset.image_paths()
    if job.settings.train_backbone:
        for path in paths:
            # Hours later would be a bad time to find that one is missing.
            with files.open_input(path):
                pass
        return DecodedImages(paths, backbone)
    return CachedTokens(TokenCache(files.cache_folder(), backbone.to(device)).fill(paths))


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


def _trainer(job: Job, model: ZeroShotModel, inputs: Inputs, device: torch.device) -> Trainer:
    return Trainer(
        module=model if job.settings.train_backbone else model.head,
        label_embeddings=job.seen_vectors(),
        objective=objective_of(job.settings),
        training=Part(inputs, job.targets, job.training_rows),
        validation=Part(inputs, job.targets, job.validation_rows) if len(job.validation_rows) else None,
        settings=job.settings,
        folder=job.folder,
        device=device,
    )


def _finish(job: Job, model: ZeroShotModel, trainer: Trainer) -> None:
    best = trainer.progress.history[trainer.progress.best_epoch]
    about = {
        "training images": str(len(job.training_rows)),
        "tokens": told_backbone(job),
        "epoch chosen": f"{best['epoch']} of {len(trainer.progress.history)}",
    }
    objective = trainer.objective
    if objective.figure in best:
        about[f"{objective.told} of the seen labels on held-out training images"] = f"{best[objective.figure]:.4f}"
    if job.settings.control:
        about["CONTROL"] = "trained with shuffled label vectors, not for use"
    save_model(
        job.folder, model, seen=job.seen, labels=job.table, single_label=job.settings.single_label,
        backbone_trained=job.settings.train_backbone, about=about,
    )  # fmt: skip
    # A control is not what eval and predict should take unasked; nor is a run that was put elsewhere.
    if not job.settings.control and job.folder.parent.resolve() == job.settings.runs.resolve():
        files.point_latest(job.folder.parent / run_folder.LATEST, job.folder)
    console.info(f"finished: {job.folder}" + "".join(f"; {name} {value}" for name, value in about.items()))
