"""Train a model on the seen labels: from settings to a run folder that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zsmld import config, console, distributed, files
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_card import CONTROL
from zsmld.decoder.model_folder import CALIBRATION, RECORD, save_model
from zsmld.decoder.probabilities import FILE_NAME as PROBABILITIES
from zsmld.decoder.probabilities import Probabilities
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.settings import TrainSettings
from zsmld.training import calibrate, run_folder, two_path
from zsmld.training.building import inputs_of, new_backbone, new_trainer
from zsmld.training.checkpoint import FILE_NAME as CHECKPOINT
from zsmld.training.job import Job, describe, prepare, told_backbone
from zsmld.training.loop import Trainer
from zsmld.training.probabilities import measured


def train(
    settings: TrainSettings | None = None, *, embeddings: LabelEmbeddings | str | Path | None = None, **values: Any
) -> Path:
    """Train on the seen labels and return the run folder, which holds the model.

    With `closed_set=True` no vectors are read: the head has one output a class, and knows no other words.

    Args:
        settings: all settings at once, as the command line builds them; or
        embeddings: label embeddings, or the file that `embed_labels` saved, and
        values: the fields of `TrainSettings` by name.

    Raises:
        UsageError: settings that do not fit.
        InputError: labels, vectors, annotations or images that cannot be used.
    """
    table = embeddings if isinstance(embeddings, LabelEmbeddings) else None
    if settings is None:
        if embeddings is not None and table is None:
            values["embeddings"] = embeddings
        settings = config.build(TrainSettings, values)
    with distributed.together(settings.device):
        return _train(settings, table)


def _train(settings: TrainSettings, table: LabelEmbeddings | None) -> Path:
    job = prepare(settings, table)
    if settings.calibrate:
        calibrate.check_possible(job)
    if settings.dry_run:
        describe(job)
        return job.folder
    if settings.resume and run_folder.is_finished(job.folder):
        console.info(f"{job.folder} is finished, nothing to resume")
        return job.folder
    console.info(job.settings.told_recipe())
    with files.locked(job.folder):
        return _run(job)


def _run(job: Job) -> Path:
    settings, folder, vectors = job.settings, job.folder, job.seen_vectors()
    files.remove_leftovers(folder)
    begun = distributed.from_first(lambda: any((folder / name).exists() for name in (RECORD, CHECKPOINT)))
    resuming = settings.resume and begun
    described = run_folder.describe_run(
        settings,
        {
            "annotations": job.dataset.digest(),
            "seen labels": files.digest_bytes("\n".join(job.seen).encode()),
            "label embeddings": files.digest_bytes(b"" if vectors is None else vectors.numpy().tobytes()),
        },
    )
    if resuming:
        run_folder.check_same_run(folder, described)
    # Not before everything is built and every photograph read: --force must not cost a model for a typing error.
    if settings.has_decoder:
        new_trainer(job)
    else:
        inputs_of(job, new_backbone(job))
    if not resuming:
        distributed.from_first(lambda: run_folder.start_over(folder))
        files.write_json(folder / RECORD, described)
    if settings.method == "decoder":
        model, about = _decoder(job)
    else:
        model, about = two_path.fit(job, _trained)
    _finish(job, model, about)
    return folder


def _decoder(job: Job) -> tuple[ZeroShotModel, dict[str, str]]:
    """The decoder alone, and what the card says of its training."""
    model, trainer = _trained(job)
    best = trainer.progress.history[trainer.progress.best_epoch]
    about = {"epoch chosen": f"{best['epoch']} of {len(trainer.progress.history)}"}
    objective = trainer.objective
    if objective.figure in best:
        about[f"{objective.told} of the seen labels on held-out training images"] = f"{best[objective.figure]:.4f}"
    if not job.settings.single_label:
        about["probabilities"] = _measured(job, trainer).told()
    return model, about


def _measured(job: Job, trainer: Trainer) -> Probabilities:
    """Probabilities of a decoder that is trained alone, kept in the run folder; with `--calibrate` the offset, too."""
    if not distributed.from_first((job.folder / PROBABILITIES).exists):
        seen = [calibrate.validated(job, trainer)] if len(job.validation_rows) else []
        unseen = []
        if job.settings.calibrate:
            unseen = [calibrate.without_a_fifth(job, lambda part: new_trainer(part)[1])]
            files.write_json(job.folder / CALIBRATION, calibrate.of_scores(unseen[0]))
        distributed.from_first(lambda: measured(seen, unseen)).save(job.folder)
    return distributed.from_first(lambda: Probabilities.load(job.folder))


def _trained(job: Job) -> tuple[ZeroShotModel, Trainer]:
    """A model with the weights that its training chose, from where a run that was cut had come."""
    model, trainer = new_trainer(job)
    if distributed.from_first((job.folder / CHECKPOINT).exists):
        trainer.restore()
        console.info(f"resumed in epoch {trainer.progress.epoch + 1}, step {trainer.progress.step + 1}")
    trainer.take(trainer.fit())
    return model, trainer


def _finish(job: Job, model: ZeroShotModel, about: dict[str, str]) -> None:
    about = {"training images": str(len(job.training_rows)), "method": job.settings.method} | about
    if job.settings.control:
        about[CONTROL] = "trained with shuffled label vectors, not for use"
    save_model(
        job.folder, model.cpu(), seen=job.seen, labels=job.table, single_label=job.settings.single_label,
        backbone_trained=job.settings.train_backbone, about=about,
    )  # fmt: skip
    # A control is not what eval and predict should take unasked; nor is a run that was put elsewhere.
    if not job.settings.control and job.folder.parent.resolve() == job.settings.runs.resolve():
        files.point_latest(job.folder.parent / run_folder.LATEST, job.folder)
    told = {"tokens": told_backbone(job)} | about
    for line in (f"finished: {job.folder}", *(f"  {name}: {value}" for name, value in told.items())):
        console.info(line)
