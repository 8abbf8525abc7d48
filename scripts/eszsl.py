"""ESZSL (Romera-Paredes & Torr, "An embarrassingly simple approach to zero-shot learning", ICML 2015), multi-label.

A bilinear score xᵀVs between the pooled tokens x of an image and the vector s of a label, in closed form:
V = (XᵀX + γI)⁻¹ Xᵀ Y S (SᵀS + λI)⁻¹. Both ridges are chosen on seen labels that are held out in turn (pseudo-unseen),
on groups of training images that the fit does not see; nothing of the test set takes part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld.datasets.records import Dataset
from zsmld.datasets.tables import read_annotations
from zsmld.decoder.model_folder import TrainedModel, load_model
from zsmld.decoder.scoring import photographic
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.measure import measure
from zsmld.evaluation.metrics import average_precision
from zsmld.evaluation.protocols import Protocol
from zsmld.files import cache_folder
from zsmld.images.token_cache import TokenCache
from zsmld.labels.vocabulary import read_vocabulary
from zsmld.training.validation import split_validation

Floats = NDArray[np.float64]
IMAGE_RIDGES = (1e1, 1e2, 1e3, 1e4, 1e5)
LABEL_RIDGES = (1e-2, 1e-1, 1e0, 1e1)
ROUNDS = 4


def eszsl_scores(run: Path, labels: Path, images: Path, min_positives: int, *, shuffle: bool) -> dict[str, Any]:
    """Figures of ESZSL on the tokens, labels and records of a finished run.

    Args:
        run: a run folder; its backbone and label vectors are used, not its decoder.
        labels: the folder of the split.
        images: the images folder.
        min_positives: unseen labels with fewer have no part in the mean.
        shuffle: give every label another label's vector (the control).
    """
    trained = load_model(run)
    unseen = read_vocabulary(labels / "unseen.txt").labels
    dataset = read_annotations(labels / "annotations.jsonl", images)
    training, test = dataset.part("train"), dataset.part("test")
    table = trained.label_space()
    table = table.shuffled(0) if shuffle else table
    vectors = table.select((*trained.seen, *unseen)).vectors.astype(np.float64)
    seen = np.arange(len(vectors)) < len(trained.seen)
    vectors = vectors - vectors[seen].mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features, test_features = _standardised(pooled(trained, training), pooled(trained, test))
    targets = training.targets(trained.seen)
    ridges = choose_ridges(features, targets, vectors[seen], training)
    scores = (test_features @ fit(features, targets, vectors[seen], *ridges) @ vectors.T).astype(np.float32)
    labels_of = (*trained.seen, *unseen)
    scored = ScoreTable(labels_of, seen, scores, test.targets(labels_of))
    report = measure(scored, Protocol(min_positives=min_positives), gzsl=True, resamples=0)
    return {**report.sets, "ridges": ridges}


def pooled(trained: TrainedModel, dataset: Dataset) -> Floats:
    """(I,C): tokens averaged over the image."""
    store = TokenCache(cache_folder(), photographic(trained)).fill(dataset.image_paths())
    rows = np.array_split(np.arange(len(store)), max(len(store) // 256, 1))
    return np.concatenate([store.read(part).mean(axis=1) for part in rows]).astype(np.float64)


def _standardised(training: Floats, test: Floats) -> tuple[Floats, Floats]:
    mean, deviation = training.mean(axis=0), training.std(axis=0) + 1e-6
    return (training - mean) / deviation, (test - mean) / deviation


def fit(
    features: Floats, targets: NDArray[np.bool_], vectors: Floats, image_ridge: float, label_ridge: float
) -> Floats:
    """V (C,E) in closed form, from features (I,C), targets (I,L) and label vectors (L,E)."""
    truth: Floats = targets.astype(np.float64)
    # Standardised a label: a frequent label must not outweigh the others.
    truth = np.asarray((truth - truth.mean(axis=0)) / (truth.std(axis=0) + 1e-6), dtype=np.float64)
    left = np.linalg.solve(
        features.T @ features + image_ridge * np.eye(features.shape[1]), features.T @ truth @ vectors
    )
    gram = vectors.T @ vectors + label_ridge * np.eye(vectors.shape[1])
    bilinear: Floats = np.linalg.solve(gram, left.T).T
    return bilinear


def choose_ridges(
    features: Floats, targets: NDArray[np.bool_], vectors: Floats, training: Dataset
) -> tuple[float, float]:
    """The pair of ridges with the best mean AP on pseudo-unseen labels."""
    totals = dict.fromkeys([(a, b) for a in IMAGE_RIDGES for b in LABEL_RIDGES], 0.0)
    for round_number in range(ROUNDS):
        rows, held_out = split_validation(training, 0.25, round_number)
        order = np.random.default_rng(round_number).permutation(len(vectors))
        pseudo_unseen, pseudo_seen = order[: len(order) // 5], order[len(order) // 5 :]
        for ridges in totals:
            bilinear = fit(features[rows], targets[np.ix_(rows, pseudo_seen)], vectors[pseudo_seen], *ridges)
            scores = features[held_out] @ bilinear @ vectors[pseudo_unseen].T
            precision = average_precision(scores, targets[np.ix_(held_out, pseudo_unseen)])
            totals[ridges] += float(np.nanmean(precision)) if np.isfinite(precision).any() else 0.0
    return max(totals, key=lambda ridges: totals[ridges])
