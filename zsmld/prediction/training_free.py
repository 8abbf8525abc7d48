"""A CLIP model as it is in the place of a trained one: its towers score photographs and words without any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import TrainedModel
from zsmld.decoder.similarity import SimilarityHead
from zsmld.errors import InputError, UsageError
from zsmld.images.clip_tower import ClipBackbone
from zsmld.labels.clip_models import Clip, load_clip
from zsmld.labels.clip_text import prompt_features, text_tower_digest
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.prompt_templates import Templates, read_templates
from zsmld.labels.source_spec import parse_sources
from zsmld.labels.sources import Manner, joined_parts, look_up_labels
from zsmld.labels.vocabulary import Vocabulary, vocabulary_of

DEFAULT_CLIP = "open_clip:ViT-B-32@laion2b_s34b_b79k"
# The word of the neutral text that every other word is held against: it stands in the same templates, and says nothing
# of what is to be seen.
NEUTRAL = "something"


def training_free(
    spec: str,
    labels: Vocabulary | Sequence[str] | LabelEmbeddings | None = None,
    *,
    templates: Templates | None = None,
    device: str = "auto",
) -> TrainedModel:
    """Load a CLIP model, once for both towers, and embed the words with it.

    What comes out is used as a trained model is. It has seen no label, its label space is that of the text tower, and
    its `folder` is the name of the CLIP model. The text tower is kept only where no words are given; other words that
    are asked for later are embedded all the same, but load it again.

    Args:
        spec: `open_clip:MODEL@WEIGHTS`, `open_clip:local-dir:FOLDER` or `open_clip:hf-hub:ORG/NAME`.
        labels: L words, or their embeddings if they were made with the same text tower; None where words are yet to
            come.
        templates: prompt templates, see `read_templates`; not with embeddings, which were made with some.
        device: where to compute, see `pick_device`.

    Raises:
        UsageError: `spec` names no CLIP model; templates for words that are embedded already.
        InputError: weights that are absent or damaged; embeddings of another space.
        EnvironmentFailure: weights that are not on this machine and cannot be fetched.
    """
    sources = parse_sources(spec)
    if sources[0].kind != "open_clip":
        raise UsageError(f"{spec!r} is no CLIP model, expected open_clip:MODEL@WEIGHTS")
    if isinstance(labels, LabelEmbeddings) and templates is not None:
        raise UsageError("templates are for words, these are embedded already", remedy="Leave the templates out.")
    words = [NEUTRAL] if labels is None else labels
    words = words if isinstance(words, (LabelEmbeddings, Vocabulary)) else vocabulary_of(words)
    texts = read_templates(templates)
    clip = load_clip(sources[0].name)
    if isinstance(words, LabelEmbeddings):
        table = _checked(words, clip)
    else:
        table = joined_parts(words, look_up_labels(words, spec, Manner(texts, device=device, clip=clip)))
    return TrainedModel(
        model=ZeroShotModel(ClipBackbone.of(clip), _head(clip, table)).eval(),
        seen=(),
        labels=table,
        single_label=False,
        backbone_trained=False,
        folder=Path(clip.source.spec),
        clip=clip if labels is None else None,
    )


def _checked(table: LabelEmbeddings, clip: Clip) -> LabelEmbeddings:
    """`table`, if it was made with the text tower of `clip` and nothing else."""
    parts, shuffled = table.provenance.parts, table.provenance.shuffled
    if len(parts) > 1 or shuffled is not None or parts[0].digest != text_tower_digest(clip.model):
        control = "" if shuffled is None else ", a shuffled control"
        raise InputError(
            f"the label embeddings come from {table.provenance.source}{control}, not from the text tower of "
            f"{clip.source.spec} alone",
            remedy=f"Give the words themselves, or embed them with --source {clip.source.spec}.",
        )
    return table


def _head(clip: Clip, table: LabelEmbeddings) -> SimilarityHead:
    scale, bias = clip.model.logit_scale.exp().item(), getattr(clip.model, "logit_bias", None)
    if bias is not None:
        return SimilarityHead(table.width, scale, bias=bias.item())
    neutral = prompt_features([NEUTRAL], clip, table.provenance.parts[0].templates)[0]
    return SimilarityHead(table.width, scale, reference=torch.from_numpy(neutral))


def notice(spec: str) -> str:
    """What people are told where `spec` scores in the place of a trained model, in one line."""
    return (
        f"no trained model: {spec} scores with its image and text towers alone. Training on photographs with labels "
        "(zsmld train) adds what you mean by them, and probabilities that are measured: docs/training_free.md"
    )
