"""Evaluate anybody's scores: a matrix, the truth and the labels, from files or from Python. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zsmld import console, files
from zsmld.errors import InputError, UsageError
from zsmld.evaluation.figures import ScoreTable
from zsmld.evaluation.measure import measure
from zsmld.evaluation.protocols import protocol_named
from zsmld.evaluation.report import Report
from zsmld.evaluation.score_files import read_numbers, truth_of
from zsmld.labels.vocabulary import Vocabulary, canonical, read_vocabulary, vocabulary_of
from zsmld.settings import EvalSettings
from zsmld.versions import versions


def evaluate_scores(
    scores: ArrayLike | str | Path,
    targets: ArrayLike | str | Path,
    labels: Sequence[str] | str | Path,
    seen: Sequence[str] | str | Path,
    *,
    protocol: str = "strict",
    gzsl: bool = True,
    min_positives: int = 1,
    resamples: int = 1000,
    seen_offset: float | None = None,
) -> Report:
    """The report on a matrix of scores.

    Args:
        scores: (I,L), higher is more likely; an array or a file (npy, npz, safetensors, CSV, Parquet).
        targets: (I,L): 1 true, 0 or -1 false; with both 0 and -1, and where NaN stands, unknown.
        labels: L, those of the columns, or a file with one a line.
        seen: those of them that the model was trained on, or such a file; the others are unseen.
        protocol: name of the rules.
        gzsl: score seen and unseen labels together, too.
        min_positives: labels with fewer have no part in the mean.
        resamples: of the bootstrap; 0 gives no intervals.
        seen_offset: what to take off the scores of seen labels, chosen on validation labels.

    Raises:
        InputError: tables or labels that do not go together.
    """
    vocabulary, trained_on = _vocabulary(labels), _vocabulary(seen)
    scored, truth, known = _tables(scores, targets, vocabulary.labels)
    is_seen = _seen(vocabulary, trained_on)
    order = np.argsort(~is_seen, kind="stable")
    if (order != np.arange(len(order))).any():
        scored, truth = scored[:, order], truth[:, order]
        known = None if known is None else known[:, order]
    ordered = tuple(vocabulary.labels[at] for at in order)
    about = {
        "title": f"{scores}: evaluation" if isinstance(scores, (str, Path)) else "evaluation of scores",
        "scores": str(scores) if isinstance(scores, (str, Path)) else "given as an array",
        "versions": versions(),
        "digests": {
            "scores": _digest(scored), "targets": _digest(truth),
            "labels": files.digest_bytes(files.to_json(list(ordered)).encode()),
        },
    }  # fmt: skip
    return measure(
        ScoreTable(ordered, is_seen[order], scored, truth, known),
        protocol_named(protocol, min_positives=min_positives),
        gzsl=gzsl, resamples=resamples, offset=seen_offset, about=about,
    )  # fmt: skip


def evaluate_files(settings: EvalSettings) -> Report:
    """`evaluate_scores` as the command line tells it; written to `--report` where that is given.

    Raises:
        UsageError: files that are not given.
        InputError: see `evaluate_scores`.
    """
    given = {"scores": settings.scores, "targets": settings.targets, "labels": settings.labels, "seen": settings.seen}
    for name, path in given.items():
        if path is None:
            raise UsageError(f"no {name} given", remedy=f"--scores needs --{name} FILE beside it.")
    report = evaluate_scores(
        **given,  # type: ignore[arg-type]  # none of them is None
        protocol=settings.protocol, gzsl=settings.gzsl, min_positives=settings.min_positives,
        resamples=settings.resamples, seen_offset=settings.seen_offset,
    )  # fmt: skip
    if settings.report is not None:
        report.write(settings.report)
    return report


def _vocabulary(labels: Sequence[str] | str | Path) -> Vocabulary:
    return read_vocabulary(Path(labels)) if isinstance(labels, (str, Path)) else vocabulary_of(labels)


def _tables(
    scores: ArrayLike | str | Path, targets: ArrayLike | str | Path, labels: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None]:
    values, score_images, score_path = _table(scores, labels, "scores")
    marks, target_images, target_path = _table(targets, labels, "targets")
    if values.shape != marks.shape:
        raise InputError(
            f"has {len(marks)} rows, the scores have {len(values)}", path=target_path, remedy="Give both for one set."
        )
    if score_images is not None and target_images is not None and score_images != target_images:
        at = next(at for at, pair in enumerate(zip(score_images, target_images, strict=True)) if pair[0] != pair[1])
        raise InputError(
            f"row {at + 1} is image {target_images[at]!r}, in the scores {score_images[at]!r}", path=target_path,
            remedy="Give both in the same order.",
        )  # fmt: skip
    scored = np.asarray(values, dtype=np.float32)
    if scored.size and np.isnan(scored.max()):
        row, column = np.argwhere(np.isnan(scored))[0]
        raise InputError(f"row {row + 1}, column {column + 1}: a score that is no number", path=score_path)
    truth, known = truth_of(marks, target_path)
    if known is not None:
        console.info(f"{100 * known.mean():.1f} % of the truth is known; the rest is neither true nor false")
    return scored, truth, known


def _table(
    given: ArrayLike | str | Path, labels: Sequence[str], name: str
) -> tuple[NDArray[Any], tuple[str, ...] | None, Path | None]:
    if isinstance(given, (str, Path)):
        found = read_numbers(Path(given), labels=labels)
        return found.values, found.images, Path(given)
    array = np.asarray(given)
    if array.ndim != 2 or array.shape[1] != len(labels):
        raise InputError(f"{name} of shape {array.shape}, expected (images, {len(labels)}), a column a label")
    return array, None, None


def _seen(vocabulary: Vocabulary, trained_on: Vocabulary) -> NDArray[np.bool_]:
    keys = {canonical(label): at for at, label in enumerate(vocabulary.labels)}
    seen = np.zeros(len(keys), dtype=np.bool_)
    for label, line in zip(trained_on.labels, trained_on.lines, strict=True):
        if canonical(label) not in keys:
            raise InputError(
                f"seen label {label!r} is none of the {len(keys)} labels", path=trained_on.path, line=line,
                remedy="List the labels of all columns in --labels.",
            )  # fmt: skip
        seen[keys[canonical(label)]] = True
    return seen


def _digest(values: NDArray[Any]) -> str:
    return files.digest_bytes(np.ascontiguousarray(values).data)
