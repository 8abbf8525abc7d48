"""Where label embeddings came from, told so exactly that another table can be refused or be made alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from zsmld import files
from zsmld.errors import InputError

Kind = Literal["word_vectors", "clip_text"]
Composition = Literal["mean", "sif"]

_KINDS = get_args(Kind)
_COMPOSITIONS = (*get_args(Composition), None)


@dataclass(frozen=True)
class SourceRecord:
    """One source of vectors, as it was used.

    Attributes:
        source: the source in the grammar of `--source`, paths made absolute.
        digest: SHA-256 of the content of the vector file, or of the text tower's parameters.
        kind: how its vectors were made.
        width: how many numbers a vector of it has.
        weight: its share in the squared length of a vector, where several sources stand side by side.
        templates: the prompt templates of a CLIP text tower, else empty.
        composition: how the vector of a phrase was composed of those of its words; None for a CLIP text tower.
        forms: labels were also looked up under their plural, singular and -ing forms.
        coverage: how many labels were found in which way (whole, composed, form, subwords, clip), and how many lacked.
        note: what else is known of the reading, such as the order of an array's rows.
    """

    source: str
    digest: str
    kind: Kind
    width: int
    weight: float = 1.0
    templates: tuple[str, ...] = ()
    composition: Composition | None = None
    forms: bool = False
    coverage: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def space(self) -> list[object]:
        """What the numbers depend on. Paths, labels, and the search for other forms of a word are not part of it."""
        return [self.kind, self.digest, self.width, self.weight, list(self.templates), self.composition]

    @classmethod
    def from_json(cls, value: Any) -> SourceRecord:
        """Read what `asdict` made.

        Raises:
            InputError: a key is absent, unknown or of another type.
        """
        if not isinstance(value, dict) or set(value) != set(cls.__dataclass_fields__):
            raise InputError("its record of a source has other keys than expected")
        templates, coverage = value["templates"], value["coverage"]
        sound = (
            all(isinstance(value[key], str) for key in ("source", "digest", "note"))
            and value["kind"] in _KINDS
            and value["composition"] in _COMPOSITIONS
            and isinstance(value["width"], int)
            and isinstance(value["weight"], (int, float))
            and isinstance(value["forms"], bool)
            and isinstance(templates, list)
            and all(isinstance(template, str) for template in templates)
            and isinstance(coverage, dict)
            and all(isinstance(count, int) for count in coverage.values())
        )
        if not sound:
            raise InputError("its record of a source holds values of other types than expected")
        return cls(**{**value, "templates": tuple(templates)})


@dataclass(frozen=True)
class Provenance:
    """Where label embeddings came from.

    Attributes:
        parts: the sources, in the order in which their vectors stand side by side; mostly one.
        shuffled: the seed with which the rows were permuted (a control), None for a true table.
    """

    parts: tuple[SourceRecord, ...]
    shuffled: int | None = None

    @property
    def source(self) -> str:
        """All sources in one text, for messages."""
        return " + ".join(part.source for part in self.parts)

    @property
    def normalisation(self) -> str:
        """What was done to the vectors' lengths, in words."""
        if len(self.parts) > 1:
            return "each source to length sqrt(weight / sum of weights), so that the whole has length 1"
        return "length 1" if self.parts[0].kind == "clip_text" else "none"

    @property
    def fingerprint(self) -> str:
        """Digest of the space: tables with the same fingerprint can be used together."""
        spaces = [[part.space for part in self.parts], self.shuffled]
        return files.digest_bytes(files.to_json(spaces).encode())

    def to_json(self) -> list[dict[str, Any]]:
        """The parts, as they are written to a file."""
        return [
            asdict(part) | {"templates": list(part.templates), "coverage": dict(part.coverage)} for part in self.parts
        ]
