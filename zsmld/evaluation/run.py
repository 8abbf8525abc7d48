"""Evaluate a model on labels that it was, and was not, trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zsmld import config, console, distributed, files, hub
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import present, read_dataset
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import CALIBRATION, CONFIG, TrainedModel, load_model, refresh_card
from zsmld.decoder.probabilities import Probabilities
from zsmld.decoder.scoring import score_dataset
from zsmld.devices import PRECISIONS, pick_device
from zsmld.errors import InputError, UsageError
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.measure import measure, measure_closed_set
from zsmld.evaluation.pictures import pictures
from zsmld.evaluation.protocols import protocol_named
from zsmld.evaluation.repeat import completed, differences, recorded
from zsmld.evaluation.report import Report
from zsmld.labels.distances import Distances
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.sources import embed_like
from zsmld.labels.vocabulary import Vocabulary, canonical, check_disjoint, read_vocabulary, vocabulary_of
from zsmld.settings import EvalSettings
from zsmld.versions import versions


def evaluate(settings: EvalSettings | None = None, **values: Any) -> Report:
    """Score the photographs of a split for seen and unseen labels and compare with the truth.

    The report is also written to the model folder, as `report.json`, `report.md` and `report.html`, and its figures
    stand on the model's card then.

    Args:
        settings: all settings at once, as the command line builds them; or
        values: the fields of `EvalSettings` by name.

    Raises:
        UsageError: settings that do not fit.
        InputError: a model, labels, annotations or images that cannot be used.
    """
    settings = settings or config.build(EvalSettings, values)
    with distributed.together(settings.device):
        return _evaluate(settings)


def _evaluate(settings: EvalSettings) -> Report:
    trained = load_model(settings.model)
    settings = completed(replace(settings, model=trained.folder))
    annotations = config.given(settings, "annotations")
    everything = read_dataset(annotations, ReadOptions(settings.images, settings.split_file))
    part = everything.part(settings.split)
    dataset = present(part, allow_missing=settings.allow_missing)
    if trained.closed_set:
        labels, vectors = _classes(settings, trained, dataset), None
    else:
        labels = seen_and_unseen(trained, config.given(settings, "unseen"))
        vectors = embed_like(labels, trained.label_space())
    report = _report(settings, trained, dataset, labels, vectors)
    told = list(differences(settings, everything, report))
    for line in told:
        console.warn(line)
    report = replace(report, about=report.about | {"differences": told, "images_missing": len(part) - len(dataset)})
    _keep(report, settings)
    return report


def _keep(report: Report, settings: EvalSettings) -> None:
    """Write the report where it belongs, and its figures on the card of the model."""
    if settings.report is not None:
        report.write(settings.report)
    elif (repository := hub.repository_of(settings.model)) is not None:
        console.info(f"the report is not kept: {repository} lies in the hub's cache. Give --report, or pull it first")
    else:
        report.write(settings.model)
        refresh_card(settings.model)


def seen_and_unseen(trained: TrainedModel, path: Path) -> tuple[str, ...]:
    """The labels of a model, then those of a file.

    Raises:
        InputError: a faulty file, or a label of it that the model was trained on.
    """
    seen, unseen = _seen_vocabulary(trained), read_vocabulary(path)
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
    vectors: LabelEmbeddings | None,
) -> Report:
    words = None if vectors is None else torch.from_numpy(vectors.vectors)
    device = pick_device(settings.device)
    scores = score_dataset(
        trained, dataset, words,
        batch_size=settings.batch_size, device=device, dtype=PRECISIONS[settings.precision],
    )  # fmt: skip
    seen = np.arange(len(labels)) < len(trained.seen)
    table = ScoreTable(labels, seen, scores, dataset.targets(labels), dataset.known(labels))
    protocol = protocol_named(settings.protocol, min_positives=settings.min_positives)
    about = _about(settings, trained, dataset, labels)
    shown = Probabilities.load(trained.folder)
    if trained.closed_set:
        return measure_closed_set(
            table, protocol, single_label=trained.single_label, resamples=settings.resamples, shown=shown, about=about
        )
    report = measure(
        table, protocol, gzsl=settings.gzsl, resamples=settings.resamples, offset=_offset(settings),
        nearest_seen=None if vectors is None else _nearest_seen(vectors, table), shown=shown, about=about,
    )  # fmt: skip
    return replace(report, pictures=pictures(trained, dataset, table, report.labels, words))


def _offset(settings: EvalSettings) -> float | None:
    """What to take off the scores of seen labels: as told, else as calibration measured it."""
    if settings.seen_offset is not None or not (settings.model / CALIBRATION).exists():
        return settings.seen_offset
    record = files.read_json(settings.model / CALIBRATION)
    offset = record.get("offset") if isinstance(record, dict) else None
    if not isinstance(offset, (int, float)):
        raise InputError("holds no offset", path=settings.model / CALIBRATION, remedy="Give --seen-offset.")
    return float(offset)


def _nearest_seen(vectors: LabelEmbeddings, table: ScoreTable) -> dict[str, tuple[str, float]]:
    """The nearest seen label of each unseen one, where there are enough labels to judge distances."""
    distances = Distances(vectors)
    if not distances.judged:
        return {}
    return {label: near[0] for label, near in distances.nearest(*table.parts()[::-1], most=1).items()}


def _about(settings: EvalSettings, trained: TrainedModel, dataset: Dataset, labels: tuple[str, ...]) -> dict[str, Any]:
    # The folder behind `runs/latest`: the report names the run itself.
    folder = trained.folder.resolve()
    repository = hub.repository_of(folder)
    return {
        "title": f"{repository or folder.name}: evaluation",
        "model": repository or str(folder),
        "control": "shuffled label vectors" if _is_control(trained) else None,
        "data": str(settings.annotations),
        "split": settings.split,
        "precision": settings.precision,
        "evaluation": recorded(settings),
        "versions": versions(),
        "digests": {
            "records": dataset.digest(),
            "images": files.digest_bytes(files.to_json(list(dataset.images)).encode()),
            "labels": files.digest_bytes(files.to_json(list(labels)).encode()),
        },
    }


def _is_control(trained: TrainedModel) -> bool:
    return trained.labels is not None and trained.labels.provenance.shuffled is not None
