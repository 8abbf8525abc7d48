"""`zsmld short-list`: make a model fast on huge vocabularies."""

from __future__ import annotations

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.settings import ShortListSettings


@click.command("short-list")
@click.argument("images", nargs=-1)
@settings_options(ShortListSettings)
def short_list(settings: ShortListSettings, images: tuple[str, ...]) -> None:
    """Fit a short list of labels to a model, with some of the photographs IMAGES (files and folders).

    With it `zsmld predict` decodes a small part of a huge vocabulary: a probe picks the labels that are worth it. The
    probe is fitted on half of the photographs; on a quarter that it has not seen it is measured how many of the 10 best
    labels it finds, which is printed and kept in the model folder. No labels of the photographs are needed.

    \b
    Examples:
      zsmld short-list photos/ --labels words.txt
      zsmld predict photos/ --labels words.txt --top-k 10
    """
    from zsmld.prediction.inputs import find_images
    from zsmld.prediction.models import load_tagger
    from zsmld.prediction.words import asked_words

    paths, words = find_images(images).paths, asked_words(settings.labels)
    tagger, table = load_tagger(settings, words)
    console.info(tagger.make_short_list(paths, table).told())
