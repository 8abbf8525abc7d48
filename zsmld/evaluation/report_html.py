"""A report as one HTML page: works offline, on paper, in dark mode and on a telephone.

Labels and file names are text, never markup: the template escapes whatever it is given, and `charts` what it draws.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from zsmld import pages
from zsmld.evaluation.charts import Axis, Mark, plot
from zsmld.evaluation.report import LabelResult, Report
from zsmld.evaluation.report_text import INTERVAL, SETS, by_precision, notes, percent, percent_range, point_at, rows

_NOT_ABOUT = {"title", "digests", "differences", "versions", "evaluation", "images_missing"}
_CARDS = (
    ("zsl", "map", "ZSL mAP"), ("gzsl", "map", "GZSL mAP"), ("gzsl", "harmonic_map", "harmonic mean"),
    ("gzsl", "f1", "GZSL F1@{k}"), ("closed_set", "map", "mAP"), ("closed_set", "accuracy@1", "accuracy"),
)  # fmt: skip


def html(report: Report) -> str:
    """The page."""
    labels = by_precision(report.labels)
    return pages.template("zsmld.evaluation", "report.html.j2").render(
        report=report,
        title=report.about.get("title") or "zsmld evaluation",
        cards=list(_cards(report)),
        sets=[SETS[name] for name in SETS if name in report.sets],
        rows=list(rows(report)),
        interval=INTERVAL,
        notes=notes(report),
        plots=_plots(report),
        labels=labels,
        with_nearest=any(each.nearest_seen for each in labels),
        pictures=report.pictures,
        percent=percent,
        about={key: value for key, value in report.about.items() if key not in _NOT_ABOUT and value is not None},
        left_out=_left_out(report),
    )


def _cards(report: Report) -> list[dict[str, str]]:
    cards = []
    for name, figure, title in _CARDS:
        k = report.protocol.ks[0]
        key = f"f1@{k}" if figure == "f1" else figure
        value = report.sets.get(name, {}).get(key)
        if value is None:
            continue
        ends = report.intervals.get(name, {}).get(key)
        chance = report.sets[name]["chance_map"] if figure == "map" else None
        cards.append({
            "title": title.format(k=k),
            "value": percent(value),
            "interval": percent_range(ends),
            "chance": "" if chance is None else f"chance {percent(chance)}",
        })  # fmt: skip
    return cards


def _plots(report: Report) -> list[dict[str, Any]]:
    drawn = [_offset_plot(report), _distance_plot(report), _frequency_plot(report), _reliability_plot(report)]
    return [each for each in drawn if each is not None]


def _figure(title: str, told: str, picture: str) -> dict[str, Any]:
    # What `plot` gives is markup, and everything from outside in it is escaped.
    return {"title": title, "told": told, "svg": Markup(picture)}


def _offset_plot(report: Report) -> dict[str, Any] | None:
    curve = report.details.get("offset_curve")
    if curve is None:
        return None
    points = [(point["seen"], point["unseen"]) for point in curve["points"]]
    marks = [Mark(*point_at(curve, 0.0), "as scored", "note")]
    offset = report.details.get("offset")
    if offset is not None:
        marks.append(Mark(*point_at(curve, offset), f"offset {offset:.3g}", "note"))
    high = max(max(point) for point in points) * 1.08
    x = Axis("seen labels: mAP over images", 0, max(x for x, _ in points) * 1.08 or 1, fraction=True)
    y = Axis("unseen labels", 0, max(y for _, y in points) * 1.08 or high, fraction=True)
    picture = plot(x, y, about="Unseen against seen labels as seen scores are lowered", marks=marks,
                   lines=[("unseen", points)])  # fmt: skip
    told = (
        "Each point takes another offset off the scores of seen labels, from the left end, where all unseen labels "
        f"come first, to the right. Area under the curve {curve['area']:.3f}. The curve is of the test images, and no "
        "offset is chosen on it."
    )
    return _figure("Seen against unseen", told, picture)


def _distance_plot(report: Report) -> dict[str, Any] | None:
    near = [(each, each.nearest_seen[1]) for each in report.labels if each.nearest_seen and not each.seen]
    marks = [
        Mark(cosine, each.average_precision, _named(each), "unseen")
        for each, cosine in near
        if each.average_precision is not None
    ]
    if not marks:
        return None
    low, high = min(mark.x for mark in marks), max(mark.x for mark in marks)
    x = Axis("cosine to the nearest seen label", min(low, 0), max(high, low + 0.1))
    picture = plot(x, Axis("average precision", 0, 1, fraction=True), marks=marks,
                   about="Average precision of unseen labels against the cosine to the nearest seen label")  # fmt: skip
    return _figure("How near is something seen?", "One point an unseen label; its name is under the pointer.", picture)


def _frequency_plot(report: Report) -> dict[str, Any] | None:
    marks = [
        Mark(each.positives, each.average_precision, _named(each), "seen" if each.seen else "unseen")
        for each in report.labels
        if each.average_precision is not None
    ]
    if not marks:
        return None
    x = Axis("positive test images", 1, max(mark.x for mark in marks), logarithmic=True)
    picture = plot(x, Axis("average precision", 0, 1, fraction=True), marks=marks,
                   about="Average precision of every label against its positive test images")  # fmt: skip
    return _figure("How frequent is it?", "Seen labels filled, unseen ones open; names are under the pointer.", picture)


def _named(result: LabelResult) -> str:
    near = "" if result.nearest_seen is None else f", nearest seen: {result.nearest_seen[0]}"
    return f"{result.label}: AP {percent(result.average_precision)}, {result.positives} images{near}"


def _reliability_plot(report: Report) -> dict[str, Any] | None:
    found = report.details.get("calibration_error")
    if not found:
        return None
    lines: list[tuple[str, list[tuple[float, float]]]] = [("ideal", [(0, 0), (1, 1)])]
    marks = []
    for name, each in found.items():
        kind = "unseen" if name == "zsl" else "seen"
        lines.append((kind, [(bin_["predicted"], bin_["true"]) for bin_ in each["bins"]]))
        marks += [
            Mark(bin_["predicted"], bin_["true"], f"{SETS[name]}: {bin_['pairs']:,} pairs", kind)
            for bin_ in each["bins"]
        ]
    errors = ", ".join(f"{SETS[name]} {each['expected_calibration_error']:.3f}" for name, each in found.items())
    told = report.details.get("probabilities")
    shown = f" Probabilities are those that predict shows; {told}." if told else ""
    axes = Axis("probability given", 0, 1, fraction=True), Axis("part that is true", 0, 1, fraction=True)
    picture = plot(*axes, about="Probabilities against how often they were right", lines=lines, marks=marks)
    return _figure(
        "Can probabilities be believed?",
        f"Seen labels filled, unseen ones open. Expected calibration error: {errors}.{shown}",
        picture,
    )


def _left_out(report: Report) -> list[str]:
    missing = report.about.get("images_missing")
    told = [f"{missing} images that are not on the disk"] if missing else []
    for name, figures in report.sets.items():
        if figures["labels_left_out"]:
            least = report.protocol.min_positives
            why = "no positive image" if least == 1 else f"fewer than {least} positive images"
            told.append(f"{SETS[name]}: {figures['labels_left_out']} labels, which have {why}")
        if figures["images_left_out"]:
            told.append(f"{SETS[name]}: {figures['images_left_out']} images without a true label of the set")
    return told
