"""What an evaluation found: headline figures, rules, and every label's own average precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zsmld.evaluation.protocols import Figures, Protocol

if TYPE_CHECKING:
    from rich.table import Table

_ROWS = (
    ("mAP", "map"),
    ("  of a random ranking", "chance_map"),
    ("part of the truth that is known", "known"),
    ("  seen labels", "seen_map"),
    ("  unseen labels", "unseen_map"),
    ("  harmonic mean", "harmonic_map"),
)
_SETS = (("zsl", "ZSL (unseen)"), ("gzsl", "GZSL (seen + unseen)"), ("seen", "seen only"))


@dataclass(frozen=True)
class LabelResult:
    """One label: its average precision (None without a positive), whether it was trained on, its positives."""

    label: str
    seen: bool
    positives: int
    average_precision: float | None


@dataclass(frozen=True)
class Report:
    """Figures of one model on one data set under one protocol.

    Attributes:
        protocol: the rules.
        zsl: unseen labels among themselves.
        gzsl: seen and unseen labels together; None where it was not asked for.
        seen: seen labels among themselves.
        labels: every label's own result, in GZSL order (seen, then unseen).
        about: model, data and their digests.
    """

    protocol: Protocol
    zsl: Figures
    gzsl: Figures | None
    seen: Figures
    labels: tuple[LabelResult, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The headline figures and the rules, as `zsmld eval --json` prints them."""
        values: dict[str, Any] = {"protocol": self.protocol.to_json(), **self.about, "zsl": self.zsl}
        if self.gzsl is not None:
            values["gzsl"] = self.gzsl
        return values | {"seen": self.seen}

    def full_json(self) -> dict[str, Any]:
        """`to_json` and the per-label table, as it stands in `report.json`."""
        return self.to_json() | {"labels": [vars(result) for result in self.labels]}

    def table(self) -> Table:
        """The headline figures as a table for a terminal, in percent."""
        from rich.table import Table

        sets = [(getattr(self, name), title) for name, title in _SETS if getattr(self, name) is not None]
        table = Table(title=f"protocol {self.protocol.name!r}, in percent", title_justify="left")
        table.add_column("")
        for _, title in sets:
            table.add_column(title, justify="right")
        for title, key in self._rows():
            if any(key in figures for figures, _ in sets):
                table.add_row(title, *(_percent(figures, key) for figures, _ in sets))
        table.add_section()
        for title, key in (("labels counted", "labels"), ("labels left out", "labels_left_out"), ("images", "images")):
            table.add_row(title, *(str(figures[key]) for figures, _ in sets))
        return table

    def _rows(self) -> list[tuple[str, str]]:
        at_k = [
            (title.format(k=k), key.format(k=k))
            for k in self.protocol.ks
            for title, key in (
                ("precision@{k}", "precision@{k}"),
                ("recall@{k}", "recall@{k}"),
                ("F1@{k}", "f1@{k}"),
                ("  a perfect ranking", "f1_ceiling@{k}"),
            )
        ]
        return [*_ROWS, *at_k]


def _percent(figures: Figures, key: str) -> str:
    value = figures.get(key)
    return "" if value is None else f"{100 * value:.1f}"
