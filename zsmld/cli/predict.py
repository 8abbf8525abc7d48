"""`zsmld predict`: photographs and words → ranked labels."""

from __future__ import annotations

import sys

import click

from zsmld.cli.options import settings_options
from zsmld.settings import PredictSettings


@click.command("predict")
@click.argument("images", nargs=-1)
@settings_options(PredictSettings)
def predict(settings: PredictSettings, images: tuple[str, ...]) -> None:
    """Tag the photographs IMAGES with any words.

    IMAGES are files, folders, patterns such as 'photos/**/*.jpg', or - for a list of files on standard input. The words
    need not be the ones that the model was trained on; a closed-set model scores its classes. Without a trained model a
    CLIP model scores. A photograph that cannot be read becomes a record with an error; the run goes on and ends with
    exit code 4.

    \b
    Examples:
      zsmld predict img.jpg --labels any.txt
      zsmld predict img.jpg --labels 'dog,polar bear,sea' --explain
      zsmld predict holidays/ --labels words.txt --threshold auto --format jsonl --output tags.jsonl
      zsmld predict holidays/ --labels words.txt --gallery gallery/
      zsmld predict holidays/ --labels words.txt --xmp full --dry-run
      zsmld predict --index photographs.index --labels other.txt
    """
    from zsmld.prediction import run

    run.predict(settings, images, sys.stdout)
