"""Evaluate a model on labels that it was, and was not, trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray

from zsmld import config, console, files
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import present, read_dataset
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import CONFIG, REPORT, TrainedModel, load_model
from zsmld.decoder.scoring import score_dataset
from zsmld.devices import PRECISIONS, pick_device
from zsmld.errors import UsageError
from zsmld.evaluation.metrics import accuracy, average_precision
from zsmld.evaluation.protocols import Figures, Protocol, figures, generalised
from zsmld.evaluation.report import LabelResult, Report
from zsmld.labels.sources import embed_like
from zsmld.labels.vocabulary import Vocabulary, canonical, check_disjoint, read_vocabulary, vocabulary_of
from zsmld.settings import EvalSettings


def evaluate(settings: EvalSettings | None = None, **values: Any) -> Report:
    """Score the photographs of a split for seen and unseen labels and compare with the truth.

    The report is also written to the model folder, as `report.json`.

    Args:
        settings: all settings at once, as the command line builds them; or
        values: the fields of `EvalSettings` by name.

    Raises:
        UsageError: settings that do not fit.
        InputError: a model, labels, annotations or images that cannot be used.
    """
    settings = settings or config.build(EvalSettings, values)
    if settings.annotations is None:
        raise UsageError("no annotations given", remedy="Give --annotations FILE, or set it in zsmld.toml.")
    dataset = read_dataset(settings.annotations, ReadOptions(settings.images, settings.split_file)).part(settings.split)
    dataset = present(dataset, allow_missing=settings.allow_missing)
    trained = load_model(settings.model)
    if trained.closed_set:
        labels, vectors = _classes(settings, trained, dataset), None
    else:
        labels = _seen_and_unseen(settings, trained)
        vectors = torch.from_numpy(embed_like(labels, trained.label_space()).vectors)
    scores = score_dataset(
        trained, dataset, vectors,
        batch_size=settings.batch_size, device=pick_device(settings.device), dtype=PRECISIONS[settings.precision],
    )  # fmt: skip
    if trained.single_label:
        scores = scipy.special.log_softmax(scores, axis=1)
    report = _report(settings, trained, dataset, labels, scores)
    files.write_json(trained.folder / REPORT, report.full_json())
    return report


def _seen_and_unseen(settings: EvalSettings, trained: TrainedModel) -> tuple[str, ...]:
    if settings.unseen is None:
        raise UsageError("no unseen given", remedy="Give --unseen FILE, or set it in zsmld.toml.")
    seen, unseen = _seen_vocabulary(trained), read_vocabulary(settings.unseen)
    check_disjoint(seen, unseen)
    return (*seen.labels, *unseen.labels)


def _classes(settings: EvalSettings, trained: TrainedModel, dataset: Dataset) -> tuple[str, ...]:
    """Those of a closed-set model; says what else the images have."""
    if settings.gzsl:
        raise UsageError("a closed-set model knows no unseen labels", path=settings.model, remedy="Leave --gzsl out.")
    classes = {canonical(label) for label in trained.seen}
    counts = np.asarray(dataset.positives.sum(axis=0)).ravel()
    there = (dataset.vocabulary[at] for at in np.flatnonzero(counts))
    others = [label for label in there if canonical(label) not in classes]
    if others:
        named = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        console.info(f"{len(others)} labels of the images are no classes of the model, and are passed over: {named}")
    if trained.single_label:
        dataset.check_one_each(trained.seen, or_none=True)
    return trained.seen


def _seen_vocabulary(trained: TrainedModel) -> Vocabulary:
    """The model's own labels, as if read from its folder: an overlap with the unseen names that."""
    vocabulary = vocabulary_of(trained.seen)
    return Vocabulary(vocabulary.labels, trained.folder / CONFIG, vocabulary.lines)


def _report(
    settings: EvalSettings,
    trained: TrainedModel,
    dataset: Dataset,
    labels: tuple[str, ...],
    scores: NDArray[np.float32],
) -> Report:
    protocol = Protocol(min_positives=settings.min_positives)
    if trained.single_label:
        protocol = replace(protocol, normalisation="softmax over the classes")
    truth, known = dataset.targets(labels), dataset.known(labels)
    is_seen = np.arange(len(labels)) < len(trained.seen)
    precisions = average_precision(scores, truth, known)

    def figures_of(chosen: NDArray[np.bool_]) -> Figures:
        sure = None if known is None else known[:, chosen]
        return figures(scores[:, chosen], truth[:, chosen], protocol, sure, precisions[chosen])

    results = tuple(
        LabelResult(
            label=label,
            seen=bool(is_seen[index]),
            positives=int(truth[:, index].sum()),
            average_precision=None if np.isnan(precisions[index]) else float(precisions[index]),
        )
        for index, label in enumerate(labels)
    )
    sets: dict[str, Figures] = {}
    if trained.closed_set:
        sets["closed_set"] = figures_of(is_seen)
        if trained.single_label:
            sets["closed_set"] |= {f"accuracy@{k}": accuracy(scores, truth, k) for k in (1, 5)}
    else:
        sets["zsl"] = figures_of(~is_seen)
        if settings.gzsl:
            sets["gzsl"] = generalised(scores, truth, is_seen, protocol, known, precisions)
        sets["seen"] = figures_of(is_seen)
    return Report(
        protocol=protocol,
        sets=sets,
        labels=results,
        about={
            # The folder behind `runs/latest`: the report names the run itself.
            "model": str(trained.folder.resolve()),
            "control": "shuffled label vectors" if _is_control(trained) else None,
            "split": settings.split,
            "precision": settings.precision,
            "digests": {
                "records": dataset.digest(),
                "labels": files.digest_bytes(files.to_json(list(labels)).encode()),
            },
        },
    )


def _is_control(trained: TrainedModel) -> bool:
    return trained.labels is not None and trained.labels.provenance.shuffled is not None
