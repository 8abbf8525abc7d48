"""What the doctor says: findings of three severities, and the examination that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: what scripts know it by.
        severity: errors stop a later command; warnings make its figures look better or worse than they are.
        about: what it means, in one sentence.
        advice: what to do.
    """

    name: str
    severity: Severity
    about: str
    advice: str = ""


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
    "synonyms", "warning", "unseen labels with a seen one that means nearly the same",
    "Report figures with and without them.",
)  # fmt: skip
FAR = Kind(
    "far", "warning", "unseen labels far from every seen one: there is little to predict them from",
    "Add a seen label near them, or expect little of them.",
)  # fmt: skip
HARD_TO_TELL = Kind("hard-to-tell", "note", "labels whose vectors are hard to tell from each other")
COMPOSED = Kind("composed", "note", "labels whose vector is composed of those of their words")
OTHER_FORM = Kind("other-form", "note", "labels that stand under another form in the source")
SUBWORDS = Kind("subwords", "note", "labels that the source never saw, made of their letters")
KINDS = (
    FAULTY_LINE, IN_BOTH, NO_VECTOR, NOT_LISTED, IDENTICAL, ODD_LENGTH, TWINS, SYNONYMS, FAR, HARD_TO_TELL, COMPOSED,
    OTHER_FORM, SUBWORDS,
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what it is.
        labels: the labels concerned, the one it is about first.
        told: the particulars, in a few words.
        figure: the cosine or ratio behind it, where there is one.
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
        unjudged: why distances were not judged; empty where they were.
    """

    labels: tuple[str, ...]
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    source: str = ""
    findings: tuple[Finding, ...] = ()
    nearest_seen: dict[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    unjudged: str = ""

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
            "unjudged": self.unjudged or None,
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
        if self.unjudged:
            lines.append(f"distances not judged: {self.unjudged}")
        for kind in KINDS:
            found = self.of(kind)
            if found:
                lines += ["", f"{kind.severity.upper()}  {kind.name} ({len(found)}): {kind.about}"]
                lines += _columns(found[:most])
                lines += [f"    and {len(found) - most} more, all with --json"] if len(found) > most else []
                lines += [f"  → {kind.advice}"] if kind.advice else []
        told = ", ".join(f"{self.count(severity)} {severity}s" for severity in ("error", "warning", "note"))
        return [*lines, "", told]


def _columns(findings: Sequence[Finding]) -> list[str]:
    rows = [
        (
            ", ".join(finding.labels[:1]),
            finding.told,
            "" if finding.figure is None else f"{finding.figure:.2f}",
            finding.place,
        )
        for finding in findings
    ]
    widths = [min(48, max(len(row[at]) for row in rows)) for at in range(3)]
    return [
        "    "
        + "  ".join(part.ljust(width) for part, width in zip(row, [*widths, 0], strict=True) if width or part).rstrip()
        for row in rows
    ]
