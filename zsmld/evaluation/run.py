"""Evaluate a model on labels that it was, and was not, trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zsmld import config, files
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import present, read_dataset
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import CONFIG, REPORT, TrainedModel, load_model
from zsmld.decoder.scoring import score_dataset
from zsmld.devices import pick_device
from zsmld.errors import UsageError
from zsmld.evaluation.metrics import average_precision
from zsmld.evaluation.protocols import Figures, Protocol, figures, generalised
from zsmld.evaluation.report import LabelResult, Report
from zsmld.labels.sources import embed_like
from zsmld.labels.vocabulary import Vocabulary, check_disjoint, read_vocabulary, vocabulary_of
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
    if settings.annotations is None or settings.unseen is None:
        absent = "annotations" if settings.annotations is None else "unseen"
        raise UsageError(f"no {absent} given", remedy=f"Give --{absent} FILE, or set it in zsmld.toml.")
    unseen = read_vocabulary(settings.unseen)
    dataset = read_dataset(settings.annotations, ReadOptions(settings.images, settings.split_file)).part(settings.split)
    dataset = present(dataset, allow_missing=settings.allow_missing)
    trained = load_model(settings.model)
    seen = _seen_vocabulary(trained)
    check_disjoint(seen, unseen)
    labels = (*seen.labels, *unseen.labels)
    vectors = torch.from_numpy(embed_like(labels, trained.labels).vectors)
    scores = score_dataset(
        trained, dataset, vectors,
        batch_size=settings.batch_size, device=pick_device(settings.device),
    )  # fmt: skip
    report = _report(settings, trained, dataset, labels, scores)
    files.write_json(trained.folder / REPORT, report.full_json())
    return report


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
    return Report(
        protocol=protocol,
        zsl=figures_of(~is_seen),
        gzsl=generalised(scores, truth, is_seen, protocol, known, precisions) if settings.gzsl else None,
        seen=figures_of(is_seen),
        labels=results,
        about={
            # The folder behind `runs/latest`: the report names the run itself.
            "model": str(trained.folder.resolve()),
            "control": "shuffled label vectors" if trained.labels.provenance.shuffled is not None else None,
            "split": settings.split,
            "digests": {
                "records": dataset.digest(),
                "labels": files.digest_bytes(files.to_json(list(labels)).encode()),
            },
        },
    )
