"""What an evaluation found: headline figures, rules, and every label's own average precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zsmld.evaluation.protocols import Figures, Protocol

if TYPE_CHECKING:
    from rich.table import Table

_ROWS = (
    ("accuracy (best label)", "accuracy@1"),
    ("accuracy (best 5 labels)", "accuracy@5"),
    ("mAP", "map"),
    ("  of a random ranking", "chance_map"),
    ("part of the truth that is known", "known"),
    ("  seen labels", "seen_map"),
    ("  unseen labels", "unseen_map"),
    ("  harmonic mean", "harmonic_map"),
)
_SETS = {
    "closed_set": "closed set",
    "zsl": "ZSL (unseen)",
    "gzsl": "GZSL (seen + unseen)",
    "seen": "seen only",
}


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
        sets: figures by what was scored: `zsl`, unseen labels among themselves; `gzsl`, seen and unseen labels
            together, where it was asked for; `seen`, seen labels among themselves; `closed_set` alone, the classes of
            a closed-set model.
        labels: every label's own result, in GZSL order (seen, then unseen).
        about: model, data and their digests.
    """

    protocol: Protocol
    sets: dict[str, Figures]
    labels: tuple[LabelResult, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The headline figures and the rules, as `zsmld eval --json` prints them."""
        return {"protocol": self.protocol.to_json(), **self.about, **self.sets}

    def full_json(self) -> dict[str, Any]:
        """`to_json` and the per-label table, as it stands in `report.json`."""
        return self.to_json() | {"labels": [vars(result) for result in self.labels]}

    def table(self) -> Table:
        """The headline figures as a table for a terminal, in percent."""
        from rich.table import Table

        sets = [(self.sets[name], title) for name, title in _SETS.items() if name in self.sets]
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
