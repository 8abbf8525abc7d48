"""A table of scores and truth → a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from zsmld.decoder.probabilities import Probabilities
from zsmld.evaluation import details
from zsmld.evaluation.calibration import offset_curve, reliability
from zsmld.evaluation.figures import Columns, ScoreTable, SetResult, evaluate_sets
from zsmld.evaluation.metrics import accuracy
from zsmld.evaluation.protocols import Protocol
from zsmld.evaluation.report import LabelResult, Report


def measure(
    table: ScoreTable,
    protocol: Protocol,
    *,
    gzsl: bool,
    resamples: int,
    seed: int = 0,
    offset: float | None = None,
    nearest_seen: Mapping[str, tuple[str, float]] | None = None,
    shown: Probabilities | None = None,
    about: dict[str, Any] | None = None,
) -> Report:
    """The report on labels seen and unseen.

    Args:
        table: scores and truth.
        protocol: the rules.
        gzsl: score seen and unseen labels together, too.
        resamples: of the bootstrap; 0 gives no intervals.
        seed: of everything drawn.
        offset: what to take off the scores of seen labels, chosen on validation labels, for a second GZSL figure.
        nearest_seen: the nearest seen label of labels, with the cosine.
        shown: what the model makes probabilities with; None for scores without a model. Figures of ranking are of the
            scores themselves.
        about: what the report is to say of model and data.
    """
    twins = details.twins(table)
    sets = table.sets(gzsl=gzsl)
    if twins:
        sets["zsl_without_twins"] = details.without(table, twins)
    results = evaluate_sets(table, protocol, sets, resamples=resamples, seed=seed)
    if gzsl and offset is not None:
        results |= _calibrated(table, protocol, offset)
    found: dict[str, Any] = {"twins": twins, "exchanged_words_map": details.exchanged_words(table, protocol, seed=seed)}
    found |= _calibration(table, {name: sets[name] for name in ("zsl", "seen")}, shown)
    if gzsl:
        curve = offset_curve(table, also=[] if offset is None else [offset], seed=seed)
        found["offset_curve"] = None if curve is None else curve.to_json()
        found["offset"] = offset
        found["confusions"] = [asdict(each) for each in details.confusions(table, protocol.ks[0])]
    return _report(table, protocol, results, found, nearest_seen or {}, about or {})


def measure_closed_set(
    table: ScoreTable,
    protocol: Protocol,
    *,
    single_label: bool,
    resamples: int,
    seed: int = 0,
    shown: Probabilities | None = None,
    about: dict[str, Any],
) -> Report:
    """The report on a closed-set model; of a single-label one with its accuracy. Arguments: see `measure`."""
    if single_label:
        protocol = replace(protocol, normalisation="softmax")
    everything: dict[str, Columns] = {"closed_set": np.arange(len(table.labels))}
    results = evaluate_sets(table, protocol, everything, resamples=resamples, seed=seed)
    found: dict[str, Any] = {"confusions": [asdict(each) for each in details.confusions(table, protocol.ks[0])]}
    if single_label:
        figures = results["closed_set"].figures
        figures |= {f"accuracy@{k}": accuracy(table.scores, table.truth, k) for k in (1, 5)}
    else:
        found |= _calibration(table, everything, shown)
    return _report(table, protocol, results, found, {}, about)


def _calibration(table: ScoreTable, sets: Mapping[str, Columns], shown: Probabilities | None) -> dict[str, Any]:
    """How good the probabilities of each set are, and what makes them."""
    return {
        "calibration_error": {name: reliability(table, columns, shown).to_json() for name, columns in sets.items()},
        "probabilities": None if shown is None else shown.told(),
    }


def _calibrated(table: ScoreTable, protocol: Protocol, offset: float) -> dict[str, SetResult]:
    lowered = table.scores - np.float32(offset) * table.seen.astype(np.float32)
    everything = {"gzsl_calibrated": np.arange(len(table.labels))}
    return evaluate_sets(replace(table, scores=lowered), protocol, everything)


def _report(
    table: ScoreTable,
    protocol: Protocol,
    results: dict[str, SetResult],
    found: dict[str, Any],
    nearest_seen: Mapping[str, tuple[str, float]],
    about: dict[str, Any],
) -> Report:
    precisions = np.full(len(table.labels), np.nan)
    # Of labels that are in several sets the figure of the largest one stands.
    for result in sorted(results.values(), key=lambda result: len(result.columns)):
        precisions[result.columns] = result.precisions
    positives, twins = table.truth.sum(axis=0), found.get("twins", {})
    labels = tuple(
        LabelResult(
            label=label,
            seen=bool(table.seen[at]),
            positives=int(positives[at]),
            average_precision=None if np.isnan(precisions[at]) else float(precisions[at]),
            nearest_seen=nearest_seen.get(label),
            twin=twins.get(label),
        )
        for at, label in enumerate(table.labels)
    )
    return Report(
        protocol=protocol,
        sets={name: result.figures for name, result in results.items()},
        intervals={name: result.intervals for name, result in results.items() if result.intervals},
        labels=labels,
        details=found,
        about=about,
    )
