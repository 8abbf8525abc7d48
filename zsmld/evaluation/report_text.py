"""A report as a table for a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zsmld.evaluation.report import LabelResult, Report
from zsmld.markdown import escaped

if TYPE_CHECKING:
    from rich.table import Table

SETS = {
    "closed_set": "closed set",
    "zsl": "ZSL (unseen)",
    "zsl_without_twins": "ZSL, no twins",
    "gzsl": "GZSL (seen + unseen)",
    "gzsl_calibrated": "GZSL, offset",
    "seen": "seen only",
}
INTERVAL = "  95 % interval"
_ROWS = (
    ("accuracy (best label)", "accuracy@1"),
    ("accuracy (best 5 labels)", "accuracy@5"),
    ("mAP", "map"),
    ("  of a random ranking", "chance_map"),
    ("  seen labels", "seen_map"),
    ("  unseen labels", "unseen_map"),
    ("  harmonic mean", "harmonic_map"),
    ("  weighted by positives", "weighted_map"),
    ("part of the truth that is known", "known"),
)
_COUNTS = (
    ("labels counted", "labels"),
    ("labels left out", "labels_left_out"),
    ("images", "images"),
    ("images left out", "images_left_out"),
)


def rows(report: Report) -> Iterator[tuple[str, list[str], bool]]:
    """Title and a cell a set of every line of the headline table, and whether it is a count."""
    sets = [name for name in SETS if name in report.sets]
    for title, key in _titles(report):
        figures = [report.sets[name].get(key) for name in sets]
        if any(value is not None for value in figures):
            yield title, [percent(value) for value in figures], False
        ends = [report.intervals.get(name, {}).get(key) for name in sets]
        if any(ends) and (key == "map" or key.startswith("f1@")):
            yield INTERVAL, [percent_range(each) for each in ends], False
    for title, key in _COUNTS:
        yield title, [str(report.sets[name][key]) for name in sets], True


def _titles(report: Report) -> list[tuple[str, str]]:
    at_k = [
        (title, f"{key}@{k}")
        for k in report.protocol.ks
        for title, key in (
            (f"precision@{k}", "precision"),
            (f"recall@{k}", "recall"),
            (f"F1@{k}", "f1"),
            ("  a perfect ranking", "f1_ceiling"),
        )
    ]
    weighted = "weighted" in report.protocol.averaging
    return [(title, key) for title, key in (*_ROWS, *at_k) if key != "weighted_map" or weighted]


def percent(value: float | int | None) -> str:
    """A fraction in percent, with a digit behind the point; empty for None."""
    return "" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def percent_range(ends: tuple[float, float] | None) -> str:
    """An interval in percent; empty for None."""
    return "" if ends is None else f"{percent(ends[0])}–{percent(ends[1])}"


def terminal(report: Report) -> Table:
    """The headline figures, in percent."""
    from rich.table import Table

    table = Table(title=f"protocol {report.protocol.name!r}, in percent", title_justify="left")
    table.add_column("")
    for name in SETS:
        if name in report.sets:
            table.add_column(SETS[name], justify="right")
    counting = False
    for title, cells, is_count in rows(report):
        if is_count and not counting:
            table.add_section()
            counting = True
        table.add_row(title, *cells)
    return table


def notes(report: Report) -> list[str]:
    """What must be known beside the table, a line each."""
    found = report.details
    lines = list(report.about.get("differences", []))
    chance = report.sets.get("zsl", {}).get("chance_map")
    exchanged = found.get("exchanged_words_map")
    if exchanged is not None:
        lines.append(
            f"unseen mAP with exchanged words {percent(exchanged)} (chance {percent(chance)}): what words do not carry"
        )
    if twins := found.get("twins"):
        told = ", ".join(f"{label}/{twin}" for label, twin in list(twins.items())[:4])
        lines.append(f"{len(twins)} unseen labels have a twin among the seen ones: {told}{', ...' * (len(twins) > 4)}")
    for name, each in found.get("calibration_error", {}).items():
        lines.append(f"expected calibration error, {SETS[name]}: {each['expected_calibration_error']:.3f}")
    if found.get("probabilities"):
        lines.append(f"probabilities are those that predict shows; {found['probabilities']}")
    if curve := found.get("offset_curve"):
        lines.append(f"area under unseen against seen mAP over images: {curve['area']:.3f}")
        if (offset := found.get("offset")) is not None:
            before, after = point_at(curve, 0.0), point_at(curve, offset)
            lines.append(
                f"seen scores lowered by {offset:.3g}, as validation labels chose: mAP over images of seen labels "
                f"{percent(before[0])} → {percent(after[0])}, of unseen ones {percent(before[1])} → {percent(after[1])}"
            )
    return lines


def point_at(curve: dict[str, Any], offset: float) -> tuple[float, float]:
    """Figures of seen and of unseen labels at an offset, or at the nearest one of the curve."""
    there = [point for point in curve["points"] if point["offset"] is not None]
    best = min(there, key=lambda point: abs(point["offset"] - offset))
    return best["seen"], best["unseen"]


def markdown(report: Report) -> str:
    """The whole report as Markdown."""
    names = [SETS[name] for name in SETS if name in report.sets]
    lines = [f"# {escaped(str(report.about.get('title', 'zsmld evaluation')))}", ""]
    lines += [f"- {escaped(line)}" for line in _about(report)]
    lines += ["", "| in percent | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    lines += [f"| {title.strip()} | " + " | ".join(cells) + " |" for title, cells, _ in rows(report)]
    lines += ["", *[f"- {escaped(line)}" for line in notes(report)]]
    lines += ["", f"## Rules: protocol {report.protocol.name}", "", f"{escaped(report.protocol.about)}.", ""]
    lines += [f"- {title}: {escaped(told)}" for title, told in report.protocol.rules().items()]
    if confusions := report.details.get("confusions"):
        lines += ["", "## Taken for each other", "", "| true, and missed | in its place | images |", "|---|---|---:|"]
        lines += [f"| {escaped(c['true'])} | {escaped(c['taken_for'])} | {c['images']} |" for c in confusions]
    lines += ["", "## Labels", "", "| label | | positives | AP | nearest seen label |", "|---|---|---:|---:|---|"]
    lines += [_label(result) for result in by_precision(report.labels)]
    return "\n".join(lines) + "\n"


def _about(report: Report) -> list[str]:
    kept = {key: value for key, value in report.about.items() if isinstance(value, str) and key != "title"}
    digests = report.about.get("digests", {})
    return [f"{key}: {value}" for key, value in kept.items()] + [f"{name}: {value}" for name, value in digests.items()]


def by_precision(labels: tuple[LabelResult, ...]) -> list[LabelResult]:
    """Best first; those without a positive last."""
    return sorted(labels, key=lambda result: -1.0 if result.average_precision is None else result.average_precision)[
        ::-1
    ]


def _label(result: LabelResult) -> str:
    near = "" if result.nearest_seen is None else f"{escaped(result.nearest_seen[0])} ({result.nearest_seen[1]:.2f})"
    kind = "seen" if result.seen else "unseen"
    return f"| {escaped(result.label)} | {kind} | {result.positives} | {percent(result.average_precision)} | {near} |"
