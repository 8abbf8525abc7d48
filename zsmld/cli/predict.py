"""`zsmld predict`: photographs and words → ranked labels."""

from __future__ import annotations

from collections.abc import Iterator

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.cli.words import load_words
from zsmld.errors import PartialFailure
from zsmld.settings import PredictSettings


@click.command("predict")
@click.argument("images", nargs=-1)
@settings_options(PredictSettings)
def predict(settings: PredictSettings, images: tuple[str, ...]) -> None:
    """Tag the photographs IMAGES (files and folders) with the words of a label file.

    The words need not be the ones that the model was trained on; a closed-set model scores its classes, or those of
    them that the label file names. A photograph that cannot be read becomes a record with an error; the run goes on
    and ends with exit code 4.

    \b
    Examples:
      zsmld predict img.jpg --labels any.txt
      zsmld predict holidays/ --labels words.txt --format jsonl --output tags.jsonl
    """
    from zsmld import files
    from zsmld.prediction.output import FORMATS
    from zsmld.prediction.results import Prediction

    if settings.output is not None:
        files.refuse_overwrite(settings.output, force=settings.force)
    paths, tagger, words = load_words(settings, images)
    failed = 0

    def counted() -> Iterator[Prediction]:
        nonlocal failed
        stream = tagger.stream(
            paths, words,
            top_k=settings.top_k, batch_size=settings.batch_size, short_list=settings.short_list,
        )  # fmt: skip
        for prediction in stream:
            failed += prediction.error is not None
            yield prediction

    lines = FORMATS[settings.format](counted())
    if settings.output is None:
        for line in lines:
            click.echo(line, nl=False)
    else:
        with files.atomic_writer(settings.output, force=settings.force) as stream:
            for line in lines:
                stream.write(line.encode())
    console.info(f"{len(paths)} photographs: {len(paths) - failed} tagged, {failed} failed")
    if failed:
        raise PartialFailure(f"{failed} of {len(paths)} photographs could not be read", remedy="See their records.")
