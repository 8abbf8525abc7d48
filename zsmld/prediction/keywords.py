"""The labels of photographs as keywords in XMP sidecars, photograph after photograph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from zsmld import console
from zsmld.console import clean
from zsmld.errors import ZsmldError
from zsmld.prediction.results import Prediction
from zsmld.prediction.sidecars import Naming, Sidecar, write_sidecar


def write_keywords(predictions: Iterable[Prediction], naming: Naming, *, dry_run: bool, stdout: IO[str]) -> int:
    """Write the labels of photographs; a sidecar that cannot be read or written is told, and left as it is.

    Args:
        predictions: with the labels that reach their threshold alone.
        naming: see `write_sidecar`.
        dry_run: print what would change, a line a sidecar, and write nothing.
        stdout: where that is printed to.

    Returns:
        How many sidecars could not be written.
    """
    changed = unchanged = failed = 0
    for prediction in predictions:
        if prediction.error is not None:
            continue
        keywords = [each.label for each in prediction.labels]
        try:
            sidecar = write_sidecar(prediction.path, keywords, naming=naming, dry_run=dry_run)
        except ZsmldError as error:
            failed += 1
            console.warn(str(error))
            continue
        if not (sidecar.added or sidecar.removed):
            unchanged += 1
            continue
        changed += 1
        if dry_run:
            stdout.write(_told(sidecar) + "\n")
    would = "would be " if dry_run else ""
    console.info(f"sidecars: {changed} {would}written, {unchanged} as they are, {failed} failed")
    return failed


def _told(sidecar: Sidecar) -> str:
    changes = [f"+{word}" for word in sidecar.added] + [f"-{word}" for word in sidecar.removed]
    return clean(f"{sidecar.path}: {', '.join(changes)}")
