"""What the doctor says: findings of three severities, and the examination that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.cells import cell_len

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: what scripts know it by.
        severity: errors stop a later command; warnings make its figures look better or worse than they are.
        about: what it means, in one sentence.
        advice: what to do.
        bound: how its figures lie to the threshold (`at least`, `under`), where there is one.
    """

    name: str
    severity: Severity
    about: str
    advice: str = ""
    bound: str = ""


FAULTY_LINE = Kind("faulty-line", "error", "a line of a label file that no command would take", "Mend the line.")
IN_BOTH = Kind(
    "in-both", "error", "labels that are seen and unseen at once",
    "Take them out of the seen ones: --split-into DIR writes both lists that way.",
)  # fmt: skip
NOT_LISTED = Kind("not-listed", "warning", "seen or unseen labels that LABELS lacks", "Add them.")
NO_VECTOR = Kind("no-vector", "error", "labels without a vector", "Correct them, or embed with --missing skip.")
IDENTICAL = Kind(
    "identical-vectors", "warning", "labels with the same vector: a model gives them the same score",
    "Keep one of them, or take another source.",
)  # fmt: skip
ODD_LENGTH = Kind("odd-length", "warning", "vectors far shorter or longer than the others", "Look at the source.")
TWINS = Kind(
    "twins", "warning", "unseen labels with another form among the seen ones: figures look better than they are",
    "Take one of the two out, or report figures with and without them.",
)  # fmt: skip
SYNONYMS = Kind(
    "synonyms", "note", "unseen labels as near to a seen one as synonyms are", "Report figures with and without them.",
    "at least",
)  # fmt: skip
FAR = Kind(
    "far", "warning", "unseen labels far from every seen one: there is little to predict them from",
    "Add a seen label near them, or expect little of them.", "under",
)  # fmt: skip
HARD_TO_TELL = Kind("hard-to-tell", "note", "labels whose vectors are hard to tell from each other", bound="at least")
COMPOSED = Kind("composed", "note", "labels whose vector is composed of those of their words")
OTHER_FORM = Kind("other-form", "note", "labels that stand under another form in the source")
SUBWORDS = Kind("subwords", "note", "labels that the source never saw, made of their letters")
KINDS = (
    FAULTY_LINE, IN_BOTH, NO_VECTOR, NOT_LISTED, IDENTICAL, ODD_LENGTH, TWINS, FAR, SYNONYMS, HARD_TO_TELL, COMPOSED,
    OTHER_FORM, SUBWORDS,
)  # fmt: skip
# A long label does not push the columns of the others off the screen.
_WIDEST = 48
_BY_COSINE = (IDENTICAL, TWINS, SYNONYMS, FAR, HARD_TO_TELL)


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what it is.
        labels: the labels concerned, the one it is about first.
        told: the particulars, in a few words.
        figure: the centred cosine behind it (of odd lengths the ratio), where there is one.
        place: `FILE:LINE` of the first label, where it is known.
    """

    kind: Kind
    labels: tuple[str, ...]
    told: str = ""
    figure: float | None = None
    place: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON, without empty parts."""
        whole = {
            "kind": self.kind.name, "severity": self.kind.severity, "labels": list(self.labels), "told": self.told,
            "figure": None if self.figure is None else round(self.figure, 4), "place": self.place,
        }  # fmt: skip
        return {key: value for key, value in whole.items() if value not in ("", None)}


@dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes:
        labels, seen, unseen: the vocabulary, and its two parts (empty where they were not given).
        source: where the vectors come from; empty without vectors.
        findings: errors first.
        nearest_seen: for each unseen label its nearest seen ones, with centred cosines.
        thresholds: name of a kind → the cosine that makes a finding of that kind.
        unjudged: why distances were not judged; empty where they were.
        overlap: what seen and unseen lists that overlap come to when they are parted; empty where they do not.
    """

    labels: tuple[str, ...]
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    source: str = ""
    findings: tuple[Finding, ...] = ()
    nearest_seen: dict[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    unjudged: str = ""
    overlap: str = ""

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(finding.kind.severity == severity for finding in self.findings)

    def of(self, kind: Kind) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind is kind]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "labels": len(self.labels),
            "seen": len(self.seen),
            "unseen": len(self.unseen),
            "source": self.source or None,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "notes": self.count("note"),
            "overlap": self.overlap or None,
            "unjudged": self.unjudged or None,
            "thresholds": {name: round(cosine, 4) for name, cosine in self.thresholds.items()},
            "findings": [finding.to_json() for finding in self.findings],
            "nearest_seen": {
                label: [[near, round(cosine, 4)] for near, cosine in nearest]
                for label, nearest in self.nearest_seen.items()
            },
        }

    def lines(self, most: int = 12) -> list[str]:
        """All of it for people: the kinds one after another, `most` findings of each."""
        parts = f" ({len(self.seen)} seen, {len(self.unseen)} unseen)" if self.seen or self.unseen else ""
        lines = [f"{len(self.labels)} labels{parts}", f"vectors: {self.source or 'none given'}"]
        if self.overlap:
            lines.append(self.overlap)
        if self.unjudged:
            lines.append(f"distances not judged: {self.unjudged}")
        if any(finding.kind in _BY_COSINE and finding.figure is not None for finding in self.findings):
            lines.append("figures are cosines of centred vectors: 1 the same, 0 as near as any two labels")
        for kind in KINDS:
            if found := self.of(kind):
                lines += ["", *self._told(kind, found, most)]
        told = ", ".join(counted(self.count(severity), severity) for severity in ("error", "warning", "note"))
        return [*lines, "", told]

    def _told(self, kind: Kind, found: Sequence[Finding], most: int) -> Iterator[str]:
        threshold = f" ({kind.bound} {self.thresholds[kind.name]:.2f})" if kind.name in self.thresholds else ""
        yield f"{kind.severity.upper()}  {kind.name} ({len(found)}): {kind.about}{threshold}"
        yield from _columns(found[:most])
        if len(found) > most:
            yield f"    and {len(found) - most} more, all with --json"
        if kind.advice:
            yield f"  → {kind.advice}"


def counted(count: int, what: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _columns(findings: Sequence[Finding]) -> list[str]:
    """Label, particulars, figure and place of each finding, below one another."""
    rows = []
    for finding in findings:
        figure = "" if finding.figure is None else f"{finding.figure:.2f}"
        rows.append((*finding.labels[:1], finding.told, "" if figure in finding.told else figure, finding.place))
    widths = [min(_WIDEST, max(cell_len(part) for part in column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [part + " " * (width - cell_len(part)) for part, width in zip(row, widths, strict=True) if width]
        lines.append(f"    {'  '.join(padded).rstrip()}")
    return lines
