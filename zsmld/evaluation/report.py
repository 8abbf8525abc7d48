"""What an evaluation found: headline figures with intervals, the rules, and every label's own average precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zsmld import files
from zsmld.evaluation.figures import Figures, Intervals, as_lists
from zsmld.evaluation.protocols import Protocol

FORMAT_VERSION = 2
REPORTS = ("report.json", "report.md", "report.html")


@dataclass(frozen=True)
class LabelResult:
    """One label.

    Attributes:
        label: the word.
        seen: whether it was trained on.
        positives: images that have it.
        average_precision: None without a positive. In GZSL where that was asked for, else among its own kind: it is
            the same under a protocol that neither filters images nor normalises scores.
        nearest_seen: the seen label with the nearest vector, and the cosine of the two, centred; None without vectors.
        twin: another form of an unseen label among the seen ones.
    """

    label: str
    seen: bool
    positives: int
    average_precision: float | None
    nearest_seen: tuple[str, float] | None = None
    twin: str | None = None


@dataclass(frozen=True)
class Photo:
    """A photograph of a label.

    Attributes:
        name: its file name.
        score: what the label scores on it, a probability.
        true: whether it has the label.
        uri: a small picture of it as a `data:` address, with where the decoder looked.
    """

    name: str
    score: float
    true: bool
    uri: str


@dataclass(frozen=True)
class LabelPictures:
    """What a label scores highest."""

    label: str
    average_precision: float
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Report:
    """Figures of one model on one data set under one protocol.

    Attributes:
        protocol: the rules.
        sets: figures by what was scored: `zsl`, unseen labels among themselves; `zsl_without_twins`, those of them
            that have no other form among the seen ones; `gzsl`, seen and unseen labels together, where it was asked
            for; `gzsl_calibrated`, the same with the scores of seen labels lowered by the offset; `seen`, seen labels
            among themselves; `closed_set` alone, the classes of a closed-set model.
        intervals: 95 % bootstrap intervals over images, of each set; empty without resamples.
        labels: every label's own result, in GZSL order (seen, then unseen).
        details: what else was found; docs/file_formats.md has the keys.
        about: model, data and their digests.
        pictures: photographs of the best and the worst labels, for the HTML page.
    """

    protocol: Protocol
    sets: dict[str, Figures]
    intervals: dict[str, Intervals]
    labels: tuple[LabelResult, ...]
    details: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    pictures: tuple[LabelPictures, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The headline figures and the rules, as `zsmld eval --json` prints them."""
        sets = {name: figures | self._intervals(name) for name, figures in self.sets.items()}
        return {"format_version": FORMAT_VERSION, "protocol": self.protocol.to_json(), **self.about, **sets}

    def _intervals(self, name: str) -> dict[str, Any]:
        found = self.intervals.get(name)
        return {"intervals": as_lists(found)} if found else {}

    def full_json(self) -> dict[str, Any]:
        """`to_json`, the details and the per-label table, as it stands in `report.json`."""
        return self.to_json() | {"details": self.details, "labels": [asdict(result) for result in self.labels]}

    def write(self, folder: Path) -> None:
        """Write `report.json`, `report.md` and `report.html` to `folder`."""
        from zsmld.evaluation.report_html import html
        from zsmld.evaluation.report_text import markdown

        as_json, as_markdown, as_html = (folder / name for name in REPORTS)
        files.write_text(as_html, html(self))
        files.write_text(as_markdown, markdown(self))
        files.write_json(as_json, self.full_json())
