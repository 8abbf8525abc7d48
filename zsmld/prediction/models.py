"""Which model scores: the one that is named, the workspace's newest, or CLIP as it is."""

from __future__ import annotations

import os

from zsmld import console
from zsmld.config import Workspace
from zsmld.decoder.model_folder import load_model
from zsmld.decoder.scoring import photographic
from zsmld.errors import UsageError
from zsmld.images.backbones import Backbone
from zsmld.labels.clip_models import PREFIX
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.vocabulary import Vocabulary
from zsmld.prediction.tagging import ZeroShotTagger
from zsmld.prediction.training_free import DEFAULT_CLIP, notice, training_free
from zsmld.settings import DEFAULT_MODEL, ModelSettings, PredictSettings, WordsSettings


def load_tagger(
    settings: WordsSettings, words: Vocabulary | LabelEmbeddings | None
) -> tuple[ZeroShotTagger, LabelEmbeddings | tuple[str, ...]]:
    """The model that settings ask for, and the words for it.

    Raises:
        UsageError: no words, where the model has no classes of its own.
        InputError, EnvironmentFailure: a model or words that cannot be used.
    """
    # A short list is made in float32.
    precision = settings.precision if isinstance(settings, PredictSettings) else "float32"
    name = settings.model or _newest()
    if not name.startswith(PREFIX):
        tagger = ZeroShotTagger.from_pretrained(name, device=settings.device, precision=precision)
        return tagger, tagger.words(words, source=settings.source or None, missing=settings.missing)
    if words is None:
        raise UsageError("no labels given", remedy="Give --labels FILE, or words with commas between.")
    if settings.source:
        raise UsageError("--source is for models that were trained with vectors", remedy="Leave it out.")
    # Before what it may have to fetch.
    console.info(notice(name))
    trained = training_free(name, words, device=settings.device)
    return ZeroShotTagger(trained, settings.device, precision), trained.label_space()


def load_backbone(settings: ModelSettings) -> Backbone:
    """The image tower of the model that settings ask for.

    Raises:
        InputError, EnvironmentFailure: a model that cannot be used.
    """
    name = settings.model or _newest()
    if name.startswith(PREFIX):
        return photographic(training_free(name, device=settings.device))
    return photographic(load_model(name))


def _newest() -> str:
    """The newest run of the workspace, and CLIP where there is none."""
    latest = Workspace.find().folder / DEFAULT_MODEL
    return str(latest) if os.path.lexists(latest) else DEFAULT_CLIP
