"""`zsmld convert`: a published ML-Decoder checkpoint → a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.settings import ConvertSettings


@click.command("convert")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@settings_options(ConvertSettings)
def convert(settings: ConvertSettings, checkpoint: Path) -> None:
    """Make a model folder of the published ML-Decoder checkpoint CHECKPOINT (.pth, .ckpt, safetensors).

    It is read without running what is in it. Every tensor must have its place in the backbone or the head.

    \b
    Examples:
      zsmld convert model-highest.ckpt --seen seen.txt --backbone timm:tresnet_v2_l --image-size 224 --output nus
      zsmld convert tresnet_m_COCO_224.pth --closed-set --backbone timm:tresnet_m --output coco
    """
    from zsmld.decoder import conversion

    console.info(f"written: {conversion.convert(checkpoint, settings)}")
