"""Model folders that travel: `push` to the Hugging Face hub, `pull` from it.

What is sent is the model, its card, and what was measured: never checkpoints or photographs, and no path of the machine
that it was made on. What comes is data alone; nothing in it is run, and all of it is checked by its digests.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zsmld import __version__, config, console, files, folders, hub, hub_names, hub_writing
from zsmld.decoder import model_card
from zsmld.decoder.model_folder import (
    CALIBRATION,
    CARD,
    FOLDER,
    LABELS,
    RECORD,
    REPORT,
    TRAVELLING,
    card_of,
    has_own_card,
    load_model,
)
from zsmld.decoder.probabilities import FILE_NAME as PROBABILITIES
from zsmld.decoder.short_list_fit import Calibration
from zsmld.errors import UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.settings import PullSettings, PushSettings

# Where run.json and report.json name files. Elsewhere they hold labels, which may look like paths (`/m/01g317`).
_PLACES = ("settings", "evaluation", "model", "data", "title")


@dataclass(frozen=True)
class Sent:
    """What `push` sent, or would have.

    Attributes:
        files: name → bytes.
        url: of the repository; None of a dry run.
    """

    files: Mapping[str, int]
    url: str | None


def push(model: str | Path, name: str, settings: PushSettings | None = None, **values: Any) -> Sent:
    """Send a model folder to the hub, as one commit to a repository that is made where there is none.

    Of the names in `TRAVELLING` those that are there travel; those that an earlier push left in the repository and that
    are no more go. A card that a person has edited, here or on the hub, is not replaced by a new one.

    Args:
        model: run or model folder.
        name: ORG/NAME.
        settings: all settings at once, as the command line builds them; or
        values: the fields of `PushSettings` by name.

    Raises:
        UsageError: no hub name; a licence for a card that was edited; `private` of a repository that is public.
        InputError: no whole model.
        EnvironmentFailure: no network, no token, or none that may write there.
    """
    settings = settings or config.build(PushSettings, values)
    repository = _checked(name, settings)
    if not settings.dry_run:
        hub_writing.check_writable()
    folder = load_model(model).folder
    with tempfile.TemporaryDirectory() as staging:
        sent = pack(folder, Path(staging), name=repository, licence=settings.licence)
        sizes = {each: path.stat().st_size for each, path in sent.items()}
        if settings.dry_run:
            return Sent(sizes, None)
        there = hub_writing.text_in(repository, CARD)
        if CARD in sent and there is not None and not model_card.is_own(there) and sent[CARD].parent == Path(staging):
            console.warn(f"the card of {repository} was edited there and stays: remove its {CARD} to get a new one")
            del sent[CARD], sizes[CARD]
        url = hub_writing.commit(
            repository, sent, stale=set(TRAVELLING) - {CARD}, private=settings.private,
            message=f"Model folder of zsmld {__version__}",
        )  # fmt: skip
    return Sent(sizes, url)


def _checked(name: str, settings: PushSettings) -> str:
    found = hub_names.named(name)
    if found.revision is not None:
        raise UsageError(f"{name!r} names a revision, a model is sent to the newest", remedy="Leave @... out.")
    if settings.licence is not None and not model_card.is_licence(settings.licence):
        raise UsageError(f"--licence {settings.licence!r} is no name of a licence", remedy="Give one like apache-2.0.")
    return found.repository


def pack(folder: Path, staging: Path, *, name: str, licence: str | None = None) -> dict[str, Path]:
    """The files of a model folder that travel, by name: as they are, or where they name this machine's paths anew.

    Args:
        folder: of a model that was found whole.
        staging: an empty folder for those that are written anew.
        name: ORG/NAME, for the card.
        licence: for the card.

    Raises:
        UsageError: a licence for a card that was edited.
        InputError: a damaged file.
    """
    sent = {each: folder / each for each in TRAVELLING if (folder / each).exists()}
    Calibration.load(folder)
    for each in {CALIBRATION, PROBABILITIES} & set(sent):
        files.read_json(sent[each])
    for each in {RECORD, REPORT} & set(sent):
        files.write_json(staging / each, _without_paths(files.read_json(sent[each])))
        sent[each] = staging / each
    if LABELS in sent:
        table = LabelEmbeddings.load(sent[LABELS])
        bare = _without_sources(table)
        if bare.provenance != table.provenance:
            bare.save(staging / LABELS)
            sent[LABELS] = staging / LABELS
    if has_own_card(folder):
        files.write_text(staging / CARD, card_of(folder, name=name, licence=licence))
        sent[CARD] = staging / CARD
    elif licence is not None:
        raise UsageError(
            "was edited, a licence is not written into it", path=folder / CARD,
            remedy=f"Write 'license: {licence}' between its first lines of ---.",
        )  # fmt: skip
    return sent


def _without_paths(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    return record | {key: _bare(record[key]) for key in _PLACES if key in record}


def _bare(value: Any) -> Any:
    """`value` with every text in it without folders."""
    if isinstance(value, str):
        return model_card.without_folders(value)
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items()}
    return [_bare(each) for each in value] if isinstance(value, list) else value


def _without_sources(table: LabelEmbeddings) -> LabelEmbeddings:
    """The table whose sources are named without their folders; the space that they make is the same."""
    parts = tuple(
        replace(part, source=model_card.without_folders(part.source), note=model_card.without_folders(part.note))
        for part in table.provenance.parts
    )
    return replace(table, provenance=replace(table.provenance, parts=parts))


def pull(name: str, settings: PullSettings | None = None, **values: Any) -> Path:
    """Fetch a model folder from the hub, whole or not at all, and return it.

    Args:
        name: ORG/NAME.
        settings: all settings at once, as the command line builds them; or
        values: the fields of `PullSettings` by name.

    Raises:
        UsageError: no hub name, or the folder is there already.
        InputError: the hub has no such model, or what it has is damaged.
        EnvironmentFailure: it cannot be fetched, or not written.
    """
    settings = settings or config.build(PullSettings, values)
    found = hub_names.named(name)
    if settings.revision is not None:
        found = replace(found, revision=settings.revision)
    target = settings.output or Path(found.repository.rpartition("/")[2])
    with folders.whole_folder(target, FOLDER, force=settings.force) as unfinished:
        cached = hub.snapshot(found, TRAVELLING)
        Calibration.load(load_model(cached).folder)
        for each in TRAVELLING:
            if (cached / each).exists():
                with files.open_input(cached / each) as source, files.atomic_writer(unfinished.folder / each) as copy:
                    shutil.copyfileobj(source, copy)
    return target
