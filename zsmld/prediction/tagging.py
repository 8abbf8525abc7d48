"""Photographs and words → ranked labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zsmld import files
from zsmld.decoder.model_folder import TrainedModel, load_model
from zsmld.decoder.probabilities import Probabilities
from zsmld.decoder.scoring import Photograph, TokenBatch, photograph_batches, photographic, score_batches
from zsmld.decoder.short_list_fit import Calibration
from zsmld.decoder.similarity import SimilarityHead
from zsmld.devices import PRECISIONS, pick_device
from zsmld.errors import InputError, UsageError
from zsmld.images.photo_index import PhotoIndex
from zsmld.labels.clip_models import PREFIX
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.sources import Sources, embed_like
from zsmld.labels.vocabulary import Vocabulary
from zsmld.prediction.asked import Asked
from zsmld.prediction.classes import classes_among
from zsmld.prediction.explaining import Explainer
from zsmld.prediction.given import as_photographs
from zsmld.prediction.results import Prediction, Predictions
from zsmld.prediction.selection import Selection
from zsmld.prediction.short_lists import make_short_list, usable_short_list
from zsmld.prediction.training_free import training_free
from zsmld.tensors import content_digest

BATCH_SIZE = 16
Words = Vocabulary | Sequence[str] | LabelEmbeddings | None


class ZeroShotTagger:
    """A trained model that tags photographs with any words; a closed-set model with its classes.

    Args:
        trained: what `load_model` returned.
        device: see `pick_device`.
        precision: of the backbone: float32, bfloat16 or float16. The decoder computes in float32 always: rounded, a
            label's score would depend on how many others are asked for.
    """

    def __init__(self, trained: TrainedModel, device: str = "auto", precision: str = "float32") -> None:
        self.trained = trained
        self.device = pick_device(device)
        self.dtype = PRECISIONS[precision]
        self.probabilities = Probabilities.load(trained.folder)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str = "auto", precision: str = "float32") -> ZeroShotTagger:
        """Load a run or model folder, `ORG/NAME` from the hub, or `open_clip:MODEL@WEIGHTS` to score without training.

        Raises:
            InputError: no finished model there, or a damaged one.
            EnvironmentFailure: it is not on this machine, and cannot be fetched.
        """
        text = str(name)
        trained = training_free(text, device=device) if text.startswith(PREFIX) else load_model(name)
        return cls(trained, device, precision)

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
                labels, table, source=source, missing="skip" if missing == "skip" else "error",
                device=self.device.type, clip=self.trained.clip,
            )  # fmt: skip
        if labels.provenance.fingerprint != table.provenance.fingerprint:
            raise InputError(
                f"the label embeddings come from {labels.provenance.source}, the model was trained with "
                f"{table.provenance.source}",
                remedy="Embed the labels with the model's own source.",
            )
        return labels

    def words(
        self,
        labels: Words,
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
        images: Sequence[str | Path | Image.Image | NDArray[np.uint8]],
        labels: Words = None,
        *,
        top_k: int | None = None,
        threshold: float | str | None = None,
        explain: bool = False,
        batch_size: int = BATCH_SIZE,
        short_list: str = "auto",
    ) -> Predictions:
        """Tag photographs: one prediction each, in order.

        Args:
            images: files; PIL images; or arrays (h,w,3) of RGB and (h,w) of grey, 8 bits.
            labels: L words, or their embeddings; None for all classes of a closed-set model.
            top_k: how many labels an image, 0 for all; by default 5, and all where a threshold is given.
            threshold: only labels whose probability reaches it; `auto` for the threshold of each label.
            explain: look for where each label looked, and for the labels trained on that it is nearest to.
            batch_size: images at a time.
            short_list: whether the best labels are picked by the model's short list: on, off, or auto, which is on
                from `LARGE` labels on where the model has one.

        Raises:
            UsageError: a threshold that is none, or an array of another shape.
            InputError: a word that the model cannot score.
        """
        asked = self.asked(labels, Selection.of(top_k, threshold))
        photographs, names = as_photographs(images)
        batches = self.batches(photographs, batch_size=batch_size)
        found = self.stream(batches, names, asked, explain=explain, short_list=short_list)
        pictures = (each if isinstance(each, Image.Image) else None for each in photographs)
        return Predictions(replace(each, picture=picture) for each, picture in zip(found, pictures, strict=True))

    def asked(
        self, labels: Words, selection: Selection, *, source: Sources | None = None, missing: str = "error"
    ) -> Asked:
        """`words`, with what the model says of each."""
        words = self.words(labels, source=source, missing=missing)
        table = words if isinstance(words, LabelEmbeddings) else None
        names = words.labels if isinstance(words, LabelEmbeddings) else words
        return Asked(self.trained, names, table, selection, self.probabilities)

    def batches(self, photographs: Sequence[Photograph], *, batch_size: int, first: int = 0) -> Iterator[TokenBatch]:
        """The tokens of photographs, batch after batch, from the row `first` on."""
        self.trained.model.to(self.device)
        backbone = photographic(self.trained)
        return photograph_batches(backbone, photographs, batch_size=batch_size, first=first, dtype=self.dtype)

    def index(self, folder: Path) -> PhotoIndex:
        """The photographs of an index that was made with the model's backbone.

        Raises:
            InputError: no index, a damaged one, or that of another backbone.
        """
        backbone = photographic(self.trained)
        shape = backbone.tokens, backbone.channels
        return PhotoIndex.open(folder, fingerprint=backbone.fingerprint, shape=shape)

    def digest(self) -> str:
        """What scores depend on, beside the words: the weights, and how probabilities are made of logits."""
        weights = {name: tensor.cpu().numpy() for name, tensor in self.trained.model.state_dict().items()}
        return content_digest(weights, {"probabilities": files.to_json(asdict(self.probabilities))})

    def stream(
        self,
        batches: Iterable[TokenBatch],
        names: Sequence[Path],
        asked: Asked,
        *,
        explain: bool = False,
        short_list: str = "auto",
    ) -> Iterator[Prediction]:
        """The predictions of tokens, each batch as soon as it is done.

        Args:
            batches: of `batches`, or of an index.
            names: of the photographs, by row.
            asked: what `asked` gave.
            explain, short_list: see `predict`.
        """
        scoring = score_batches(
            self.trained, batches, asked.vectors, device=self.device,
            short_list=self._listed(asked, short_list), top=asked.selection.top_k,
        )  # fmt: skip
        explainer = Explainer(self.trained, asked, self.device) if explain else None
        for scored in scoring:
            batch, chosen = scored.batch, asked.chosen(scored.logits, scored.labels)
            found = dict(zip(batch.rows, zip(batch.places, chosen, strict=True), strict=True))
            for row in sorted([*found, *batch.errors]):
                if row in batch.errors:
                    yield Prediction(names[row], error=batch.errors[row])
                    continue
                place, labels = found[row]
                if explainer is not None and batch.tokens is not None:
                    labels = explainer.explained(labels, batch.tokens[place])
                yield Prediction(names[row], tuple(labels.values()))

    def _listed(self, asked: Asked, short_list: str) -> Calibration | None:
        """The short list that is to be used, if any."""
        if asked.table is None:
            if short_list == "on":
                self.trained.label_space()  # refuses
            return None
        if isinstance(self.trained.model.head, SimilarityHead) and short_list != "on":
            return None  # all labels cost it little
        return usable_short_list(self.trained.folder, len(asked.names), asked.selection.top_k, short_list)

    def make_short_list(self, paths: Sequence[Path], labels: Sequence[str] | LabelEmbeddings) -> Calibration:
        """Fit and measure a short list for huge vocabularies, and keep it in the model folder.

        Args:
            paths: photographs, of which some are drawn; those that cannot be read are left out.
            labels: L words, or their embeddings: the vocabulary that it is for, or one as large.

        Raises:
            UsageError: too few photographs, or labels.
        """
        return make_short_list(self.trained, paths, torch.from_numpy(self.embed(labels).vectors), self.device)
