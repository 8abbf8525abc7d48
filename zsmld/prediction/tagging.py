"""Photographs and words → ranked labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray

from zsmld.decoder.model_folder import TrainedModel, load_model
from zsmld.decoder.scoring import score_files
from zsmld.decoder.short_list_fit import Calibration
from zsmld.devices import PRECISIONS, pick_device
from zsmld.errors import InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.sources import Sources, embed_like
from zsmld.labels.vocabulary import Vocabulary
from zsmld.prediction.classes import classes_among
from zsmld.prediction.results import Prediction, ScoredLabel
from zsmld.prediction.short_lists import make_short_list, usable_short_list


class ZeroShotTagger:
    """A trained model that tags photographs with any words; a closed-set model with its classes.

    Args:
        trained: what `load_model` returned.
        device: see `pick_device`.
        precision: float32, bfloat16 or float16.
    """

    def __init__(self, trained: TrainedModel, device: str = "auto", precision: str = "float32") -> None:
        self.trained = trained
        self.device = pick_device(device)
        self.dtype = PRECISIONS[precision]

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str = "auto", precision: str = "float32") -> ZeroShotTagger:
        """Load a run or model folder.

        Raises:
            InputError: no finished model there, or a damaged one.
        """
        return cls(load_model(Path(folder)), device, precision)

    def embed(
        self,
        labels: Vocabulary | Sequence[str] | LabelEmbeddings,
        *,
        source: Sources | None = None,
        missing: str = "error",
    ) -> LabelEmbeddings:
        """Vectors of any words, in the space that the model was trained in.

        Raises:
            InputError: a word has no vector, or the source is another than the model's.
        """
        table = self.trained.label_space()
        if not isinstance(labels, LabelEmbeddings):
            return embed_like(
                labels, table, source=source, missing="skip" if missing == "skip" else "error", device=self.device.type
            )
        if labels.provenance.fingerprint != table.provenance.fingerprint:
            raise InputError(
                f"the label embeddings come from {labels.provenance.source}, the model was trained with "
                f"{table.provenance.source}",
                remedy="Embed the labels with the model's own source.",
            )
        return labels

    def words(
        self,
        labels: Vocabulary | Sequence[str] | LabelEmbeddings | None,
        *,
        source: Sources | None = None,
        missing: str = "error",
    ) -> LabelEmbeddings | tuple[str, ...]:
        """What the model is to score: `embed` of the labels, or some of the classes of a closed-set model.

        Args:
            labels: L words, or their embeddings; None for all classes of a closed-set model.
            source: see `embed`.
            missing: what to do with words that have no vector, or are no class: error or skip.

        Raises:
            UsageError: no labels, and a model that has no classes.
            InputError: a word that the model cannot score.
        """
        if not self.trained.closed_set:
            if labels is None:
                raise UsageError("no labels given", remedy="Give --labels FILE with one word a line.")
            return self.embed(labels, source=source, missing=missing)
        if source is not None or isinstance(labels, LabelEmbeddings):
            self.trained.label_space()  # refuses
        if labels is None:
            return self.trained.seen
        assert not isinstance(labels, LabelEmbeddings)
        return classes_among(labels, self.trained.seen, missing=missing)

    def predict(
        self,
        paths: Sequence[str | Path],
        labels: Sequence[str] | LabelEmbeddings | None = None,
        *,
        top_k: int = 5,
        batch_size: int = 16,
        short_list: str = "auto",
    ) -> list[Prediction]:
        """Tag photographs: one prediction a path, in order.

        Args:
            paths: image files.
            labels: L words, or their embeddings; None for all classes of a closed-set model.
            top_k: how many labels an image, 0 for all.
            batch_size: images at a time.
            short_list: whether the best labels are picked by the model's short list: on, off, or auto, which is on
                from `LARGE` labels on where the model has one.
        """
        given = [Path(path) for path in paths]
        return list(self.stream(given, labels, top_k=top_k, batch_size=batch_size, short_list=short_list))

    def stream(
        self,
        paths: Sequence[Path],
        labels: Sequence[str] | LabelEmbeddings | None,
        *,
        top_k: int,
        batch_size: int,
        short_list: str = "auto",
    ) -> Iterator[Prediction]:
        """`predict`, each batch as soon as it is done."""
        words = self.words(labels)
        chosen: slice | list[int] = slice(None)
        vectors, listed = None, None
        if isinstance(words, LabelEmbeddings):
            names, vectors = words.labels, torch.from_numpy(words.vectors)
            if self.dtype == torch.float32:
                listed = usable_short_list(self.trained.folder, len(names), top_k, short_list)
            elif short_list == "on":
                raise UsageError("a short list is for float32", remedy="Leave --precision or --short-list out.")
        else:
            names, chosen = words, [self.trained.seen.index(name) for name in words]
            if short_list == "on":
                self.trained.label_space()  # refuses
        batches = score_files(
            self.trained, paths, vectors,
            batch_size=batch_size, device=self.device, dtype=self.dtype, short_list=listed, top=top_k,
        )  # fmt: skip
        for scored in batches:
            found = dict(zip(scored.rows, range(len(scored.rows)), strict=True))
            probabilities = self._probabilities(scored.logits)
            for row in sorted([*found, *scored.errors]):
                if row in scored.errors:
                    yield Prediction(paths[row], error=scored.errors[row])
                    continue
                at = found[row]
                own = names if scored.labels is None else tuple(names[label] for label in scored.labels[at])
                ranked = _ranked(own, scored.logits[at][chosen], probabilities[at][chosen], top_k)
                yield Prediction(paths[row], ranked)

    def _probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        exact = logits.astype(np.float64)
        values: NDArray[np.float64]
        values = scipy.special.softmax(exact, axis=1) if self.trained.single_label else scipy.special.expit(exact)
        return values

    def make_short_list(self, paths: Sequence[Path], labels: Sequence[str] | LabelEmbeddings) -> Calibration:
        """Fit and measure a short list for huge vocabularies, and keep it in the model folder.

        Args:
            paths: photographs, of which some are drawn; those that cannot be read are left out.
            labels: L words, or their embeddings: the vocabulary that it is for, or one as large.

        Raises:
            UsageError: too few photographs, or labels.
        """
        return make_short_list(self.trained, paths, torch.from_numpy(self.embed(labels).vectors), self.device)


def _ranked(
    labels: tuple[str, ...], logits: NDArray[np.float32], probabilities: NDArray[np.float64], top_k: int
) -> tuple[ScoredLabel, ...]:
    # Stable: labels of equal score stay in the order they were given.
    order = np.argsort(-logits, kind="stable")[: top_k or len(labels)]
    return tuple(ScoredLabel(labels[index], float(probabilities[index])) for index in order)
