"""What commands that score words have in common: a model, and the words with their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from zsmld.labels.embeddings import LabelEmbeddings
    from zsmld.prediction.tagging import ZeroShotTagger
    from zsmld.settings import WordsSettings


def load_words(
    settings: WordsSettings, images: tuple[str, ...]
) -> tuple[list[Path], ZeroShotTagger, LabelEmbeddings | tuple[str, ...]]:
    """The photographs, the model, and what it is to score; what is cheap to refuse is refused first."""
    from zsmld.labels.vocabulary import read_vocabulary
    from zsmld.prediction.inputs import find_images
    from zsmld.prediction.tagging import ZeroShotTagger
    from zsmld.settings import PredictSettings

    paths = list(find_images(images).paths)
    vocabulary = None if settings.labels is None else read_vocabulary(settings.labels)
    # A short list is made in float32.
    precision = settings.precision if isinstance(settings, PredictSettings) else "float32"
    tagger = ZeroShotTagger.from_pretrained(settings.model, device=settings.device, precision=precision)
    missing = "skip" if settings.missing == "skip" else "error"
    return paths, tagger, tagger.words(vocabulary, source=settings.source or None, missing=missing)
