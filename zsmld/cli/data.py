"""`zsmld data`: what lies on the disk, and how it is written as zsmld's own annotations."""

from __future__ import annotations

from pathlib import Path

import click

from zsmld import console
from zsmld.cli.options import settings_options
from zsmld.errors import PartialFailure
from zsmld.settings import DataCheckSettings, DataConvertSettings


@click.group("data")
def data() -> None:
    """Look at data sets, and convert them.

    \b
    Examples:
      zsmld data check nus_wide/
      zsmld data convert coco/ converted/
    """


@data.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@settings_options(DataCheckSettings)
def check(settings: DataCheckSettings, path: Path) -> None:
    """Say what the data set at PATH is recognised as, what is missing, and what to do about it.

    Everything is read and checked as training would. Exit code 4 where images are missing.

    \b
    Example:
      zsmld data check nus_wide/
    """
    from zsmld.datasets.layouts import ReadOptions
    from zsmld.datasets.reading import describe, on_disk, recognise

    layout = recognise(path)
    # What is missing may be why it cannot be read.
    for line in (layout.name, *layout.told):
        click.echo(console.clean(line))
    dataset = layout.read(ReadOptions(settings.images, settings.split_file))
    missing = 0 if dataset.features is not None else len(dataset) - int(on_disk(dataset).sum())
    for line in describe(dataset):
        click.echo(console.clean(line))
    for name, labels in layout.lists.items():
        click.echo(f"{len(labels)} {name} labels follow from it; zsmld data convert writes {name}.txt")
    if missing:
        raise PartialFailure(
            f"{missing} of {len(dataset)} images are not below {dataset.root}",
            remedy="Give --images, or leave them out with --allow-missing.",
        )


@data.command("convert")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@settings_options(DataConvertSettings)
def convert(settings: DataConvertSettings, path: Path, folder: Path) -> None:
    """Write the data set at PATH as annotations.jsonl into FOLDER, with the label lists that follow from it.

    Images stay where they are: give their folder, which is printed, as --images.

    \b
    Example:
      zsmld data convert nus_wide/ converted/
    """
    from zsmld import files
    from zsmld.datasets.layouts import ReadOptions
    from zsmld.datasets.reading import recognise
    from zsmld.datasets.tables import write_annotations

    layout = recognise(path)
    targets = [folder / "annotations.jsonl", *(folder / f"{name}.txt" for name in layout.lists)]
    for target in targets:
        files.refuse_overwrite(target, force=settings.force)
    dataset = layout.read(ReadOptions(settings.images, settings.split_file))
    write_annotations(dataset, targets[0], force=settings.force)
    for target, labels in zip(targets[1:], layout.lists.values(), strict=True):
        files.write_text(target, "".join(f"{label}\n" for label in labels), force=settings.force)
    for target in targets:
        console.info(f"written: {target}")
    if dataset.features is not None:
        console.warn(f"the features stay behind: {targets[0]} names the photographs, give their folder as --images")
    else:
        console.info(f"images: {dataset.root}")
