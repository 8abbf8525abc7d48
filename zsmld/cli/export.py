"""`zsmld export`: a model → one ONNX file."""

from __future__ import annotations

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.settings import ExportSettings


@click.command("export")
@settings_options(ExportSettings)
def export(settings: ExportSettings) -> None:
    """Write a model as one ONNX file, which gives its logits without zsmld.

    Images and label embeddings go in, so that the words are not settled by the file; a closed-set model takes images
    alone. What the file gives is compared with the model before it is written. Needs pip install 'zsmld[export]';
    docs/export.md says what is in the file, and has an example of its use.

    \b
    Examples:
      zsmld export --model runs/latest --output model.onnx
      zsmld export --part head --output head.onnx
    """
    from zsmld.prediction import export as exporting

    for line in exporting.export(settings).told():
        console.info(line)
