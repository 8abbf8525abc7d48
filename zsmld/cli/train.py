"""`zsmld train`: seen labels and their photographs → a model."""

from __future__ import annotations

import click

from zsmld.cli.options import settings_options
from zsmld.settings import TrainSettings


@click.command("train")
@settings_options(TrainSettings)
def train(settings: TrainSettings) -> None:
    """Train on the seen labels: a decoder, a linear path, and how much of each.

    Writes a run folder: the model, its settings and its metrics. runs/latest points at the newest finished one.
    Only records of the splits train and val are read, never a test record.

    \b
    Examples:
      zsmld train --seen seen.txt
      zsmld train --annotations photos.jsonl --seen seen.txt --backbone timm:resnet50 --run runs/resnet
      zsmld train --seen seen.txt --method linear
      zsmld train --seen seen.txt --recipe ml-decoder --epochs 20
      zsmld train --seen seen.txt --resume
      zsmld train --annotations photos.jsonl --closed-set
    """
    from zsmld.training import run

    run.train(settings)
