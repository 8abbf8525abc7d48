"""Train a decoder on the seen labels: from settings to a run folder that holds the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsmld import config, console, files
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import present, read_dataset
from zsmld.datasets.records import Dataset
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import save_model
from zsmld.decoder.queries import LabelQueries
from zsmld.devices import pick_device
from zsmld.errors import InputError, UsageError
from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone, parse_arguments
from zsmld.images.features import GivenTokens
from zsmld.images.token_cache import TokenCache
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import Vocabulary, read_vocabulary
from zsmld.settings import TrainSettings
from zsmld.training import run_folder
from zsmld.training.checkpoint import FILE_NAME as CHECKPOINT
from zsmld.training.feeding import CachedTokens, DecodedImages, Inputs, PackedTargets
from zsmld.training.loop import Part, Trainer
from zsmld.training.validation import split_validation


@dataclass(frozen=True)
class Job:
    """Everything that training reads, checked: settings, labels, records. No test record is among them."""

    settings: TrainSettings
    seen: Vocabulary
    table: LabelEmbeddings
    dataset: Dataset
    targets: PackedTargets
    training_rows: np.ndarray[Any, np.dtype[np.int64]]
    validation_rows: np.ndarray[Any, np.dtype[np.int64]]
    folder: Path

    def seen_vectors(self) -> Tensor:
        """(L,E) vectors of the seen labels."""
        return torch.from_numpy(self.table.select(self.seen.labels).vectors)


def train(
    settings: TrainSettings | None = None, *, embeddings: LabelEmbeddings | str | Path | None = None, **values: Any
) -> Path:
    """Train on the seen labels and return the run folder, which holds the model.

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
    job = _prepare(settings, table)
    if settings.dry_run:
        _describe(job)
        return job.folder
    if settings.resume and run_folder.is_finished(job.folder):
        console.info(f"{job.folder} is finished, nothing to resume")
        return job.folder
    with files.locked(job.folder):
        return _run(job)


def _prepare(settings: TrainSettings, table: LabelEmbeddings | None) -> Job:
    """Read and check everything before anything is written or computed."""
    for name in ("annotations", "seen"):
        if getattr(settings, name) is None:
            raise UsageError(f"no {name} given", remedy=f"Give --{name} FILE, or set it in zsmld.toml.")
    assert settings.annotations is not None and settings.seen is not None
    seen = read_vocabulary(settings.seen)
    table = table or _load_table(settings.embeddings)
    try:
        table.select(seen.labels)
    except InputError as error:
        raise InputError(error.problem, path=settings.seen, remedy=error.remedy) from error
    if settings.control == "shuffled-embeddings":
        table = table.shuffled(settings.seed)
    dataset = read_dataset(settings.annotations, ReadOptions(settings.images, settings.split_file))
    dataset.part("train")
    dataset = present(dataset.take(~dataset.is_of("test")), allow_missing=settings.allow_missing)
    if dataset.features is not None and settings.train_backbone:
        raise UsageError(f"{settings.annotations} has ready-made features: there is no backbone to train along")
    truth = dataset.targets(seen.labels)
    training_rows, validation_rows = split_validation(dataset, settings.validation_fraction, settings.seed, truth)
    positives = truth[training_rows].sum(axis=0)
    if not positives.any():
        raise InputError("no training image has any of the seen labels", path=settings.annotations)
    if (empty := int((positives == 0).sum())) > 0:
        console.warn(f"{empty} of {len(seen.labels)} seen labels have no training image")
    folder = run_folder.choose_run_folder(settings)
    targets = PackedTargets(truth, dataset.known(seen.labels))
    return Job(settings, seen, table, dataset, targets, training_rows, validation_rows, folder)


def _load_table(path: Path) -> LabelEmbeddings:
    if not path.exists():
        raise InputError("no label embeddings", path=path, remedy="Make them with zsmld embed-labels.")
    return LabelEmbeddings.load(path)


def _describe(job: Job) -> None:
    settings = job.settings
    for line in (
        f"would train in {job.folder}",
        f"  {len(job.seen.labels)} seen labels, vectors of {job.table.width} numbers"
        + (" (CONTROL: shuffled)" if settings.control else ""),
        f"  {len(job.training_rows)} images to train on, {len(job.validation_rows)} to choose the epoch",
        f"  {_told_backbone(job)}",
        f"  {settings.epochs} epochs of batches of {settings.batch_size}, {settings.optimizer}, "
        f"rate {settings.learning_rate:g}",
    ):
        console.info(line)


def _told_backbone(job: Job) -> str:
    if job.dataset.features is not None:
        return f"no backbone: ready-made features, {job.dataset.features.tokens} tokens an image"
    return f"backbone {job.settings.backbone} ({'trained along' if job.settings.train_backbone else 'frozen'})"


def _run(job: Job) -> Path:
    settings, folder = job.settings, job.folder
    files.remove_leftovers(folder)
    resuming = settings.resume and (folder / CHECKPOINT).exists()
    described = run_folder.describe_run(
        settings,
        {
            "annotations": job.dataset.digest(),
            "seen labels": files.digest_bytes("\n".join(job.seen.labels).encode()),
            "label embeddings": files.digest_bytes(job.seen_vectors().numpy().tobytes()),
        },
    )
    if resuming:
        run_folder.check_same_run(folder, described)
    torch.manual_seed(settings.seed)
    device = pick_device(settings.device)
    backbone = _backbone(job)
    inputs = _inputs(job, backbone, device)
    # Seeded again: how many numbers the backbone's construction drew must not change the head.
    torch.manual_seed(settings.seed)
    model = ZeroShotModel(backbone, _new_head(job, backbone))
    trainer = _trainer(job, model, inputs, device)
    if resuming:
        trainer.restore()
        console.info(f"resumed in epoch {trainer.progress.epoch + 1}, step {trainer.progress.step + 1}")
    else:
        # Not before everything is built and every photograph read: --force must not cost a model for a typing error.
        run_folder.start_over(folder)
        files.write_json(folder / run_folder.RECORD, described)
    chosen = trainer.fit()
    trainer.module.load_state_dict(chosen)
    _finish(job, model.cpu(), trainer)
    return folder


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
    head = MLDecoder(
        in_features=backbone.channels,
        label_features=job.table.width,
        width=settings.width,
        heads=settings.heads,
        feed_forward=settings.feed_forward,
        dropout=settings.dropout,
        centred=settings.label_vectors == "centred",
        mask_per_image=settings.query_dropout == "image",
    )
    assert isinstance(head.queries, LabelQueries)
    head.queries.fit_centre(job.seen_vectors())
    return head


def _trainer(job: Job, model: ZeroShotModel, inputs: Inputs, device: torch.device) -> Trainer:
    return Trainer(
        module=model if job.settings.train_backbone else model.head,
        label_embeddings=job.seen_vectors(),
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
        "tokens": _told_backbone(job),
        "epoch chosen": f"{best['epoch']} of {len(trainer.progress.history)}",
    }
    if "validation_map" in best:
        about["mAP of the seen labels on held-out training images"] = f"{best['validation_map']:.4f}"
    if job.settings.control:
        about["CONTROL"] = "trained with shuffled label vectors, not for use"
    save_model(
        job.folder, model, seen=job.seen.labels, labels=job.table,
        backbone_trained=job.settings.train_backbone, about=about,
    )  # fmt: skip
    # A control is not what eval and predict should take unasked; nor is a run that was put elsewhere.
    if not job.settings.control and job.folder.parent.resolve() == job.settings.runs.resolve():
        files.point_latest(job.folder.parent / run_folder.LATEST, job.folder)
    console.info(f"finished: {job.folder}" + "".join(f"; {name} {value}" for name, value in about.items()))
