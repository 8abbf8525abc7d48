"""Runs and simple methods side by side: the same images, labels, tokens and rules, and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from zsmld import config, console, files
from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.reading import present, read_dataset
from zsmld.datasets.records import Dataset
from zsmld.decoder.model_folder import TrainedModel, load_model
from zsmld.decoder.scoring import score_dataset, token_blocks
from zsmld.devices import PRECISIONS, pick_device
from zsmld.errors import UsageError, nearest
from zsmld.evaluation.bootstrap import interval
from zsmld.evaluation.clip_scores import clip_scores
from zsmld.evaluation.figures import ScoreTable, SetResult, as_lists, evaluate_sets
from zsmld.evaluation.protocols import Protocol, protocol_named
from zsmld.evaluation.repeat import data_of
from zsmld.evaluation.report_text import percent, percent_range
from zsmld.evaluation.run import seen_and_unseen
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.sources import embed_like
from zsmld.labels.vocabulary import canonical
from zsmld.linear import METHODS, Problem, fit_method
from zsmld.markdown import escaped
from zsmld.settings import CompareSettings

if TYPE_CHECKING:
    from rich.table import Table

CLIP, ALL = "clip", "all"
_AT_ONCE = 64


@dataclass(frozen=True)
class Row:
    """One run or method.

    Attributes:
        name: of it.
        about: hyper-parameters of a simple method, as they were chosen.
        sets: figures, intervals and resamples by set.
    """

    name: str
    about: dict[str, Any]
    sets: dict[str, SetResult]


@dataclass(frozen=True)
class Comparison:
    """All of them; differences are against the first."""

    protocol: Protocol
    rows: tuple[Row, ...]
    images: int

    def difference(self, row: Row, part: str, figure: str) -> tuple[float, tuple[float, float] | None] | None:
        """By how much a figure is higher than that of the first row, with the 95 % interval of paired resamples."""
        own, first = row.sets[part], self.rows[0].sets[part]
        one, other = own.figures[figure], first.figures[figure]
        if one is None or other is None:
            return None
        paired = own.resampled[figure] - first.resampled[figure] if own.resampled else np.zeros(0)
        return float(one - other), interval(paired)

    def _difference_json(self, row: Row, part: str, figure: str) -> dict[str, Any] | None:
        found = self.difference(row, part, figure)
        return None if found is None else {"by": found[0], "interval": found[1] and list(found[1])}

    def columns(self) -> list[tuple[str, str, str]]:
        """Title, set and figure of what the table shows."""
        k = self.protocol.ks[0]
        return [
            ("ZSL mAP", "zsl", "map"), (f"ZSL F1@{k}", "zsl", f"f1@{k}"), ("GZSL mAP", "gzsl", "map"),
            ("harmonic mean", "gzsl", "harmonic_map"), (f"GZSL F1@{k}", "gzsl", f"f1@{k}"),
        ]  # fmt: skip

    def cells(self, row: Row) -> Iterator[str]:
        """A figure with its difference, a column: `*` where the interval of the difference leaves 0 out."""
        for _, part, figure in self.columns():
            value = percent(row.sets[part].figures[figure])
            found = self.difference(row, part, figure)
            if row is self.rows[0] or found is None:
                ends = row.sets[part].intervals.get(figure)
                yield value if ends is None else f"{value} ({percent_range(ends)})"
                continue
            amount, ends = found
            certain = ends is not None and (ends[0] > 0 or ends[1] < 0)
            yield f"{value} ({100 * amount:+.1f}{'*' if certain else ''})"

    def table(self) -> Table:
        """For a terminal, in percent."""
        from rich.table import Table

        table = Table(title=f"protocol {self.protocol.name!r}, in percent, {self.images} images", title_justify="left")
        table.add_column("")
        for title, _, _ in self.columns():
            table.add_column(title, justify="right")
        for row in self.rows:
            table.add_row(row.name, *self.cells(row))
        return table

    def markdown(self) -> str:
        """The same as Markdown."""
        titles = [title for title, _, _ in self.columns()]
        lines = ["| | " + " | ".join(titles) + " |", "|---" + "|---:" * len(titles) + "|"]
        lines += [f"| {escaped(row.name)} | " + " | ".join(self.cells(row)) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Rules, and of every row its figures, intervals and differences."""
        return {
            "protocol": self.protocol.to_json(),
            "images": self.images,
            "rows": [
                {
                    "name": row.name,
                    "settings": row.about,
                    **{
                        part: result.figures | {
                            "intervals": as_lists(result.intervals),
                            "differences": {
                                key: self._difference_json(row, part, key) for key in result.intervals
                            },
                        }
                        for part, result in row.sets.items()
                    },
                }
                for row in self.rows
            ],
        }  # fmt: skip


def compare(runs: Sequence[Path], settings: CompareSettings) -> Comparison:
    """Score the test images with every run and every chosen simple method.

    Args:
        runs: run folders, or names on the hub, of models that were trained on the same seen labels; the first is what
            differences are against, and its tokens, vectors and training records are what the simple methods take.
        settings: see `CompareSettings`.

    Raises:
        UsageError: runs that cannot be compared, an unknown method.
        InputError: a model, labels, annotations or images that cannot be used.
    """
    names = _methods(settings)
    models = [load_model(run) for run in runs]
    _check_comparable(models)
    settings = _completed(settings, data_of(runs[0]))
    annotations, unseen = config.given(settings, "annotations"), config.given(settings, "unseen")
    everything = read_dataset(annotations, ReadOptions(settings.images, settings.split_file))
    everything = present(everything, allow_missing=settings.allow_missing)
    first = models[0]
    scene = _Scene(settings, first, everything, seen_and_unseen(first, unseen))
    rows = [scene.row(str(run), {}, scene.decoder(model)) for run, model in zip(runs, models, strict=True)]
    for name in names:
        console.info(f"baseline {name}")
        rows += list(scene.baseline(name))
    return Comparison(scene.protocol, tuple(rows), len(scene.test))


def _completed(settings: CompareSettings, known: dict[str, Path]) -> CompareSettings:
    """The settings with what is known of the first run in the place of what is not given."""
    if settings.annotations is not None:
        # Images and split are those of the data set that was given.
        known = {"unseen": known["unseen"]} if "unseen" in known else {}
    lacking: dict[str, Any] = {name: path for name, path in known.items() if getattr(settings, name) is None}
    return replace(settings, **lacking)


def _methods(settings: CompareSettings) -> list[str]:
    known = [*METHODS, CLIP]
    names = [name for name in known if settings.clip or name != CLIP] if ALL in settings.baselines else []
    for name in settings.baselines:
        if name not in (*known, ALL):
            raise UsageError(
                f"{name!r} is no baseline, expected one of {', '.join((*known, ALL))}", remedy=nearest(name, known)
            )
        if name == CLIP and not settings.clip:
            raise UsageError("no CLIP model given", remedy="Give --clip open_clip:MODEL@WEIGHTS.")
        if name != ALL and name not in names:
            names.append(name)
    return names


def _check_comparable(models: Sequence[TrainedModel]) -> None:
    for model in models:
        if model.closed_set:
            raise UsageError("is a closed-set model, it scores no unseen words", path=model.folder)
        if [canonical(label) for label in model.seen] != [canonical(label) for label in models[0].seen]:
            raise UsageError(
                f"was trained on other labels than {models[0].folder}", path=model.folder,
                remedy="Compare runs of one split of the labels.",
            )  # fmt: skip


class _Scene:
    """What all rows have in common."""

    def __init__(
        self, settings: CompareSettings, first: TrainedModel, everything: Dataset, labels: tuple[str, ...]
    ) -> None:
        self.settings, self.first, self.labels = settings, first, labels
        self.test = everything.part(settings.split)
        self.training = everything.take(~everything.is_of("test"))
        self.protocol = protocol_named(settings.protocol, min_positives=settings.min_positives)
        self.truth, self.known = self.test.targets(labels), self.test.known(labels)
        self.seen = np.arange(len(labels)) < len(first.seen)
        self.vectors: LabelEmbeddings = embed_like(labels, first.label_space())
        self.device = pick_device(settings.device)

    def decoder(self, model: TrainedModel) -> NDArray[np.float32]:
        """(I,L) logits of a run."""
        words = torch.from_numpy(embed_like(self.labels, model.label_space()).vectors)
        return score_dataset(
            model, self.test, words, batch_size=self.settings.batch_size, device=self.device,
            dtype=PRECISIONS[self.settings.precision],
        )  # fmt: skip

    def baseline(self, name: str) -> Iterator[Row]:
        """The rows of a simple method."""
        if name == CLIP:
            for title, scores in clip_scores(
                str(self.settings.clip), self.labels, self.test,
                device=self.device, batch_size=self.settings.batch_size,
            ).items():  # fmt: skip
                yield self.row(title, {"model": self.settings.clip}, scores)
            return
        fitted = fit_method(name, self._problem)
        vectors = torch.from_numpy(self.vectors.vectors).double()
        found = fitted.scorer(torch.from_numpy(self._pooled).double(), vectors)
        yield self.row(fitted.name, fitted.choice.settings, found.float().numpy())

    @cached_property
    def _problem(self) -> Problem:
        """The training images with the tokens of the first run's backbone."""
        seen = self.first.seen
        return Problem(
            pooled(self.first, self.training), self.training.targets(seen), self.training.known(seen),
            self.vectors.vectors[: len(seen)], self.training,
        )  # fmt: skip

    @cached_property
    def _pooled(self) -> NDArray[np.float32]:
        return pooled(self.first, self.test)

    def row(self, name: str, about: dict[str, Any], scores: NDArray[np.float32]) -> Row:
        """The figures of scores."""
        table = ScoreTable(self.labels, self.seen, scores, self.truth, self.known)
        sets = table.sets(gzsl=True)
        return Row(name, about, evaluate_sets(table, self.protocol, sets, resamples=self.settings.resamples))


def pooled(trained: TrainedModel, dataset: Dataset) -> NDArray[np.float32]:
    """(I,C): the tokens of the model's backbone, averaged over the image.

    Raises:
        InputError: an image cannot be read.
    """
    blocks = token_blocks(trained, dataset, _AT_ONCE)
    return np.concatenate([tokens[: len(rows)].float().mean(dim=1).cpu().numpy() for rows, tokens in blocks])


def write(comparison: Comparison, folder: Path) -> None:
    """Write `compare.json` and `compare.md`."""
    files.write_text(folder / "compare.md", comparison.markdown())
    files.write_json(folder / "compare.json", comparison.to_json())
