"""What training reads: labels, vectors and records, checked before anything is written or computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import config, console, distributed
from zsmld.datasets.holding_out import split_validation
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import present, read_dataset
from zsmld.datasets.records import Dataset
from zsmld.errors import InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import Vocabulary, canonical, read_vocabulary
from zsmld.settings import TrainSettings
from zsmld.training import run_folder
from zsmld.training.feeding import PackedTargets, Rows


@dataclass(frozen=True)
class Job:
    """Everything that training reads, checked: settings, labels, records. No test record is among them.

    Attributes:
        seen: the labels to train on; the classes of a closed-set head.
        table: vectors of these and of others; None for a closed-set head.
        measured: labels that the validation images are scored for; those of a rehearsal are more than it is trained on.
        last_epoch: where training ends in the schedule of `settings.epochs`; None for its end.
    """

    settings: TrainSettings
    seen: tuple[str, ...]
    table: LabelEmbeddings | None
    dataset: Dataset
    training_rows: Rows
    validation_rows: Rows
    folder: Path
    measured: tuple[str, ...]
    last_epoch: int | None = None

    def seen_vectors(self) -> Tensor | None:
        """(L,E) vectors of the seen labels; None for a closed-set head."""
        return None if self.table is None else torch.from_numpy(self.table.select(self.seen).vectors)

    def measured_vectors(self) -> Tensor | None:
        """(n,E) vectors of the measured labels; None for a closed-set head."""
        return None if self.table is None else torch.from_numpy(self.table.select(self.measured).vectors)

    @cached_property
    def targets(self) -> PackedTargets:
        """The truth of the seen labels, of all images."""
        return PackedTargets(self.dataset.targets(self.seen), self.dataset.known(self.seen))

    @cached_property
    def measured_targets(self) -> PackedTargets:
        """The truth of the measured labels, of all images."""
        return PackedTargets(self.dataset.targets(self.measured), self.dataset.known(self.measured))

    def on_all_images(self, last_epoch: int) -> Job:
        """Trained on every image that was not declared to be for validation, up to an epoch that is chosen already."""
        declared = self.dataset.is_of("val")
        return replace(
            self, training_rows=np.flatnonzero(~declared), validation_rows=np.flatnonzero(declared),
            last_epoch=last_epoch,
        )  # fmt: skip

    def without_labels(self, kept: tuple[str, ...], folder: Path) -> Job:
        """Trained, and validated, on some of the labels alone."""
        return replace(self, seen=kept, measured=kept, folder=folder)

    def rehearsal(self, rows: Rows, held_out: Rows, kept: tuple[str, ...], folder: Path) -> Job:
        """Trained on some of the images and of the labels, measured on all labels on the others."""
        return replace(self, seen=kept, training_rows=rows, validation_rows=held_out, folder=folder, measured=self.seen)


def prepare(settings: TrainSettings, table: LabelEmbeddings | None) -> Job:
    """Read and check everything.

    Raises:
        UsageError: settings that do not fit.
        InputError: labels, vectors or annotations that cannot be used.
    """
    _check_kind(settings, table)
    settings = replace(settings, method="decoder") if settings.closed_set else settings
    annotations = config.given(settings, "annotations")
    path = settings.seen if settings.closed_set else config.given(settings, "seen")
    seen = None if path is None else read_vocabulary(path)
    if seen is not None and not settings.closed_set:
        table = _vectors(settings, seen, table)
    dataset = read_dataset(annotations, ReadOptions(settings.images, settings.split_file))
    dataset.part("train")
    dataset = present(dataset.take(~dataset.is_of("test")), allow_missing=settings.allow_missing)
    if dataset.features is not None and settings.train_backbone:
        raise UsageError(f"{settings.annotations} has ready-made features: there is no backbone to train along")
    labels = classes_of(dataset) if seen is None else seen.labels
    truth = dataset.targets(labels)
    if settings.single_label:
        dataset.check_one_each(labels)
    training_rows, validation_rows = split_validation(dataset, settings.validation_fraction, settings.seed, truth)
    # But for the decoder alone, which needs images to choose its epoch on, all are trained on in the end.
    trained = training_rows if settings.method == "decoder" else np.flatnonzero(~dataset.is_of("val"))
    _check_positives(truth[trained], settings)
    folder = distributed.from_first(lambda: run_folder.choose_run_folder(settings))
    return Job(settings, labels, table, dataset, training_rows, validation_rows, folder, measured=labels)


def _check_kind(settings: TrainSettings, table: LabelEmbeddings | None) -> None:
    """Refuse settings of one kind of head with the other."""
    of_closed_set = {"groups": settings.groups, "single-label": settings.single_label}
    of_zero_shot = {
        "control": settings.control,
        "label-vectors": settings.label_vectors != "centred",
        "label-sample": settings.label_sample,
        "calibrate": settings.calibrate,
        "method": settings.method not in ("two-path", "decoder"),
        "embeddings": table is not None,
    }
    if settings.batch_size < distributed.size():
        raise UsageError(f"--batch-size is {settings.batch_size}, fewer than the {distributed.size()} processes")
    if settings.train_backbone and not settings.has_decoder:
        raise UsageError(
            f"--train-backbone has no part in --method {settings.method}", remedy="Take two-path or decoder."
        )
    if settings.checkpointing and not settings.train_backbone:
        raise UsageError("--checkpointing has no part in a frozen backbone", remedy="Add --train-backbone.")
    for name, given in (of_zero_shot if settings.closed_set else of_closed_set).items():
        if given and settings.closed_set:
            raise UsageError(f"--{name} has no part in --closed-set: its queries are no words", remedy="Leave it out.")
        if given:
            raise UsageError(f"--{name} belongs to a closed-set head", remedy="Add --closed-set.")


def _vectors(settings: TrainSettings, seen: Vocabulary, table: LabelEmbeddings | None) -> LabelEmbeddings:
    if table is None:
        path = settings.embeddings
        if not path.exists():
            raise InputError("no label embeddings", path=path, remedy="Make them with zsmld embed-labels.")
        table = LabelEmbeddings.load(path)
    try:
        table.select(seen.labels)
    except InputError as error:
        raise InputError(error.problem, path=settings.seen, remedy=error.remedy) from error
    return table.shuffled(settings.seed) if settings.control == "shuffled-embeddings" else table


def classes_of(dataset: Dataset) -> tuple[str, ...]:
    """Labels that a training image has, in alphabetical order: test records have no say in it.

    Raises:
        InputError: there is none.
    """
    counts = np.asarray(dataset.positives[dataset.is_of("train")].sum(axis=0)).ravel()
    labels = [dataset.vocabulary[at] for at in np.flatnonzero(counts)]
    if not labels:
        raise InputError("no training image has a label", path=dataset.path)
    return tuple(sorted(labels, key=lambda label: (canonical(label), label)))


def _check_positives(truth: NDArray[np.bool_], settings: TrainSettings) -> None:
    positives = truth.sum(axis=0)
    if not positives.any():
        raise InputError("no training image has any of the seen labels", path=settings.annotations)
    if (empty := int((positives == 0).sum())) > 0:
        console.warn(f"{empty} of {len(positives)} seen labels have no training image")


def describe(job: Job) -> None:
    """Say what training would do."""
    settings, table = job.settings, job.table
    words = f"{len(job.seen)} classes, closed set"
    if table is not None:
        words = f"{len(job.seen)} seen labels, vectors of {table.width} numbers"
    loss = "softmax cross-entropy, one class an image" if settings.single_label else "asymmetric loss"
    for line in (
        f"would train in {job.folder}",
        f"  {words}" + (" (CONTROL: shuffled)" if settings.control else ""),
        f"  {len(job.training_rows)} images to train on, {len(job.validation_rows)} to choose the epoch",
        f"  {told_backbone(job)}",
        f"  {loss}; {settings.told_recipe()}",
    ):
        console.info(line)


def told_backbone(job: Job) -> str:
    """Where the tokens come from."""
    if job.dataset.features is not None:
        return f"no backbone: ready-made features, {job.dataset.features.tokens} tokens an image"
    return f"backbone {job.settings.backbone} ({'trained along' if job.settings.train_backbone else 'frozen'})"
