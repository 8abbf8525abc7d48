"""What is wrong with a vocabulary before it costs a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from zsmld import files
from zsmld.errors import InputError, UsageError
from zsmld.labels.distances import FEWEST_SEEN, FEWEST_TO_CENTRE, Distances, Nearest, find_twins, judge_nearest
from zsmld.labels.embeddings import LabelEmbeddings, listed
from zsmld.labels.findings import (
    COMPOSED,
    FAR,
    FAULTY_LINE,
    HARD_TO_TELL,
    IN_BOTH,
    KINDS,
    NO_VECTOR,
    NOT_LISTED,
    OTHER_FORM,
    SUBWORDS,
    SYNONYMS,
    Examination,
    Finding,
    Kind,
    counted,
)
from zsmld.labels.sources import Manner, Part, Sources, joined_parts, look_up_labels
from zsmld.labels.vocabulary import Vocabulary, canonical, sift_vocabulary, vocabulary_of

Labels = Path | Sequence[str]

_BY_ROUTE = {"composed": COMPOSED, "form": OTHER_FORM, "subwords": SUBWORDS}


@dataclass(frozen=True)
class _Lists:
    """The label lists that were given, and their faults.

    Attributes:
        given: what each is (labels, seen, unseen) → its sound labels.
        faults: what no command would take.
    """

    given: dict[str, Vocabulary]
    faults: tuple[Finding, ...]

    def labels(self, name: str) -> tuple[str, ...]:
        """The labels of a list, none where it was not given."""
        return self.given[name].labels if name in self.given else ()

    def all_labels(self) -> tuple[str, ...]:
        """Every label once, in the spelling of the first list that has it."""
        first = {canonical(label): label for each in reversed(self.given.values()) for label in reversed(each.labels)}
        order = dict.fromkeys(canonical(label) for each in self.given.values() for label in each.labels)
        return tuple(first[key] for key in order)

    def place(self, label: str, *names: str) -> str:
        """`FILE:LINE` of a label in the first of the named lists that has it."""
        key = canonical(label)
        return next((self._places[name][key] for name in names or self.given if key in self._places[name]), "")

    def placed(self, finding: Finding) -> Finding:
        """The finding with the place of its first label, where it has none."""
        if finding.place or not finding.labels:
            return finding
        # Twins and their like are about the unseen label.
        names = ("unseen", *self.given) if "unseen" in self.given else ()
        return replace(finding, place=self.place(finding.labels[0], *names))

    @cached_property
    def _places(self) -> dict[str, dict[str, str]]:
        return {
            name: {
                canonical(label): _place(each.path, line) for label, line in zip(each.labels, each.lines, strict=True)
            }
            for name, each in self.given.items()
        }


def check_labels(
    labels: Labels | None = None,
    *,
    seen: Labels | None = None,
    unseen: Labels | None = None,
    embeddings: LabelEmbeddings | Path | None = None,
    source: Sources | None = None,
    manner: Manner | None = None,
) -> tuple[Examination, LabelEmbeddings | None]:
    """Look for what is wrong with a vocabulary.

    Args:
        labels, seen, unseen: label files or lists of labels, at least one. What is seen and unseen counts as unseen.
        embeddings: label embeddings to examine, or
        source, manner: where to look the labels up instead, see `embed_labels`.

    Returns:
        The findings, and the vectors that were examined (None without any).

    Raises:
        UsageError: no labels.
        InputError: a file that is absent or unreadable (faults of single lines are findings); a shuffled control.
    """
    lists = _read_lists({"labels": labels, "seen": seen, "unseen": unseen})
    everything = lists.all_labels()
    unseen_labels = lists.labels("unseen")
    both = {canonical(label) for label in unseen_labels}
    seen_labels = tuple(label for label in lists.labels("seen") if canonical(label) not in both)
    table, told, found = _vectors(everything, lists, embeddings, source, manner)
    distances = Distances(table) if table is not None else None
    findings = [*lists.faults, *_list_findings(lists), *found]
    findings += find_twins(unseen_labels, seen_labels, distances)
    nearest: Nearest = {}
    thresholds: dict[str, float] = {}
    if distances is not None:
        thresholds = distances.thresholds(seen_labels)
        findings += [*distances.odd_lengths(), *distances.close_pairs(thresholds.get(HARD_TO_TELL.name))]
        if FAR.name in thresholds:
            nearest = distances.nearest(unseen_labels, seen_labels)
            findings += judge_nearest(nearest, synonym=thresholds[SYNONYMS.name], too_far=thresholds[FAR.name])
    order = {kind: at for at, kind in enumerate(KINDS)}
    examination = Examination(
        labels=everything,
        seen=seen_labels,
        unseen=unseen_labels,
        source=told,
        findings=tuple(sorted(map(lists.placed, findings), key=lambda finding: order[finding.kind])),
        nearest_seen=nearest,
        thresholds={name: cosine for name, cosine in thresholds.items() if nearest or name == HARD_TO_TELL.name},
        unjudged=_unjudged(distances, seen_labels if unseen_labels else ()),
        overlap=_overlap(lists),
    )
    return examination, table


def _unjudged(distances: Distances | None, seen: Sequence[str]) -> str:
    if distances is None:
        return ""
    if not distances.judged:
        return f"{len(distances.labels)} labels have vectors, {FEWEST_TO_CENTRE} are needed to know their space"
    rows = distances.rows(seen)
    if seen and len(rows) < FEWEST_SEEN:
        return f"{len(rows)} seen labels have vectors, {FEWEST_SEEN} are needed to say what is far from them"
    return ""


def _overlap(lists: _Lists) -> str:
    seen, unseen = ({canonical(label): label for label in lists.labels(name)} for name in ("seen", "unseen"))
    both = seen.keys() & unseen.keys()
    if not both:
        return ""
    others = [label for key, label in unseen.items() if key not in seen]
    never = f"; {len(others)} of {len(unseen)} unseen ones are not ({listed(others)})" if others else ""
    return (
        f"{len(both)} of {counted(len(seen), 'seen label')} are unseen too{never}; parted: "
        f"{len(seen) - len(both)} seen + {len(unseen)} unseen = {len(seen.keys() | unseen.keys())}"
    )


def _read_lists(sources: Mapping[str, Labels | None]) -> _Lists:
    given: dict[str, Vocabulary] = {}
    faults: list[Finding] = []
    for name, source in sources.items():
        if source is None:
            continue
        vocabulary, found = sift_vocabulary(source)
        path = source if isinstance(source, Path) else None
        faults += [Finding(FAULTY_LINE, (), fault.problem, place=_place(path, fault.line)) for fault in found]
        if vocabulary is None and not found:
            raise InputError("holds no label, expected one a line" if path else "no labels given", path=path)
        if vocabulary is not None:
            given[name] = vocabulary
    if all(source is None for source in sources.values()):
        raise UsageError(
            "no label file given", remedy="Name a file with one label a line, or give --seen and --unseen."
        )
    return _Lists(given, tuple(faults))


def _place(path: Path | None, line: int | None) -> str:
    """`FILE:LINE`; nothing for labels that stand in no file."""
    return "" if path is None else f"{_shown(path)}:{line}"


def _shown(path: Path) -> str:
    """The path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _list_findings(lists: _Lists) -> Iterator[Finding]:
    """What the lists say of each other."""
    unseen = {canonical(label) for label in lists.labels("unseen")}
    for label in lists.labels("seen"):
        if canonical(label) in unseen:
            yield Finding(
                IN_BOTH, (label,), f"unseen at {lists.place(label, 'unseen')}", place=lists.place(label, "seen")
            )
    if "labels" in lists.given:
        listed = {canonical(label) for label in lists.labels("labels")}
        for name in ("seen", "unseen"):
            for label in lists.labels(name):
                if canonical(label) not in listed:
                    yield Finding(NOT_LISTED, (label,), f"{name} label", place=lists.place(label, name))


def _vectors(
    labels: tuple[str, ...],
    lists: _Lists,
    embeddings: LabelEmbeddings | Path | None,
    source: Sources | None,
    manner: Manner | None,
) -> tuple[LabelEmbeddings | None, str, list[Finding]]:
    """The vectors of the labels, what they are in words, and what is to be said of how they were found."""
    if not labels:
        return None, "", []
    if embeddings is not None:
        table = embeddings if isinstance(embeddings, LabelEmbeddings) else LabelEmbeddings.load(embeddings)
        told = table.provenance.source if isinstance(embeddings, LabelEmbeddings) else _shown(Path(embeddings))
        if table.provenance.shuffled is not None:
            raise InputError(f"{told} is a shuffled control: its vectors belong to other labels")
        return *_from_table(labels, table, told), _absent(labels, table, lists)
    if source:
        vocabulary = vocabulary_of(labels)
        parts = look_up_labels(vocabulary, source, manner)
        found = [finding for part in parts for finding in _looked_up(part, labels, lists)]
        there = vocabulary.where(lambda label: all(label in part.found for part in parts))
        told = " + ".join(part.record.source for part in parts)
        return joined_parts(there, parts) if there.labels else None, told, found
    return None, "", []


def _from_table(labels: tuple[str, ...], table: LabelEmbeddings, told: str) -> tuple[LabelEmbeddings | None, str]:
    known = {canonical(label) for label in table.labels}
    there = [label for label in labels if canonical(label) in known]
    return (table.select(there) if there else None), told


def _absent(labels: tuple[str, ...], table: LabelEmbeddings, lists: _Lists) -> list[Finding]:
    known = {canonical(label) for label in table.labels}
    return [
        Finding(NO_VECTOR, (label,), "not in the embeddings", place=lists.place(label))
        for label in labels
        if canonical(label) not in known
    ]


def _looked_up(part: Part, labels: tuple[str, ...], lists: _Lists) -> Iterator[Finding]:
    near = part.near_misses(list(part.lacking))
    for label in labels:
        if label in part.lacking:
            told = "; ".join(
                (f"no {word!r}" if word != label else "")
                + (", " if word != label and near.get(word) else "")
                + (f"nearest: {', '.join(near[word])}" if near.get(word) else "")
                for word in part.lacking[label]
            )
            yield Finding(NO_VECTOR, (label,), told, place=lists.place(label))
        elif kind := _kind_of(part.found[label].route):
            yield Finding(kind, (label,), part.found[label].route.partition(": ")[2], place=lists.place(label))


def _kind_of(route: str) -> Kind | None:
    return _BY_ROUTE.get(route.partition(":")[0].partition(" ")[0])


def split_names(folder: Path) -> tuple[Path, Path, Path]:
    """What `split_lists` writes: the seen labels, the unseen ones, all of them."""
    return folder / "seen.txt", folder / "unseen.txt", folder / "labels.txt"


def split_lists(seen: Path, unseen: Path, folder: Path, *, force: bool) -> tuple[Path, Path, Path]:
    """Write the seen labels without the unseen, the unseen, and both together, into `folder`.

    Raises:
        InputError: a faulty label file.
        UsageError: one of the files exists and `force` is not set; then none is written.
    """
    lists = _read_lists({"seen": seen, "unseen": unseen})
    if lists.faults:
        raise InputError(f"{lists.faults[0].place}: {lists.faults[0].told}", remedy="Mend the line.")
    unseen_keys = {canonical(label) for label in lists.labels("unseen")}
    kept = tuple(label for label in lists.labels("seen") if canonical(label) not in unseen_keys)
    if not kept:
        raise InputError("no seen label is left, all of them are unseen", path=seen)
    paths = split_names(folder)
    for path in paths:
        files.refuse_overwrite(path, force=force)
    for path, each in zip(paths, (kept, lists.labels("unseen"), (*kept, *lists.labels("unseen"))), strict=True):
        files.write_text(path, "".join(f"{label}\n" for label in each), force=force)
    return paths
