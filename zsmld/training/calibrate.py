"""How much higher seen labels are scored than unseen ones, measured without an unseen label.

A fifth of the seen labels is held out, a head is trained on the others as the model itself is, and held-out images show
how far the scores of trained labels lie above those of held-out ones: the offset with the highest harmonic mean of the
two (`zsmld.evaluation.calibration`). No unseen label and no test image takes part, and the model's own weights are
those of a training without this.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zsmld import console
from zsmld.errors import InputError
from zsmld.evaluation import ScoreTable, offset_curve
from zsmld.linear import rounds
from zsmld.training.job import Job
from zsmld.training.loop import Trainer

_HELD_OUT = 5  # one in so many
_FEWEST = 10


def check_possible(job: Job) -> None:
    """Refuse data that cannot tell, before anything is trained.

    Raises:
        InputError: too few labels that validation images have, or the held-out labels have none.
    """
    truth, rows = job.dataset.targets(job.seen), job.validation_rows
    remedy = "Raise --validation-fraction, or leave --calibrate out."
    if job.settings.method != "decoder":
        each = rounds(job.dataset, len(job.seen), 1)[0]
        rows, remedy = each.held_out, "Leave --calibrate out."
        if not truth[np.ix_(rows, each.hidden)].any():
            raise InputError("no held-out label has a held-out image", path=job.settings.annotations, remedy=remedy)
    there = int(truth[rows].any(axis=0).sum())
    if there < _FEWEST:
        raise InputError(
            f"{there} seen labels have a validation image, calibration needs {_FEWEST}",
            path=job.settings.annotations, remedy=remedy,
        )  # fmt: skip


def validated(job: Job, trainer: Trainer) -> ScoreTable:
    """Scores of the validation images for the seen labels, by what was trained on these."""
    rows = job.validation_rows
    known = job.targets.known(rows)
    return ScoreTable(
        job.seen, np.ones(len(job.seen), dtype=np.bool_), trainer.score(trainer.label_embeddings),
        job.targets.read(rows).numpy() > 0, None if known is None else known.numpy(),
    )  # fmt: skip


def without_a_fifth(job: Job, trainer_of: Callable[[Job], Trainer]) -> ScoreTable:
    """Scores of the validation images for all seen labels, by a decoder that was trained without a fifth of them.

    Args:
        job: what the model was trained on.
        trainer_of: a trainer of a new model for a job, seeded as its settings say.
    """
    rows = job.validation_rows
    truth, known = job.dataset.targets(job.seen)[rows], job.dataset.known(job.seen)
    there = np.flatnonzero(truth.any(axis=0))
    # Only labels that can tell something are held out.
    order = np.random.default_rng([job.settings.seed, len(job.seen)]).permutation(there)
    trained_on = np.ones(len(job.seen), dtype=np.bool_)
    trained_on[order[: len(there) // _HELD_OUT]] = False
    kept = tuple(label for label, is_kept in zip(job.seen, trained_on, strict=True) if is_kept)
    console.info(f"calibration: training again without {len(job.seen) - len(kept)} of the seen labels")
    words = job.seen_vectors()
    assert words is not None
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(job.without_labels(kept, Path(folder)))
        trainer.fit()
        scores = trainer.score(words)
    return ScoreTable(job.seen, trained_on, scores, truth, None if known is None else known[rows])


def of_scores(table: ScoreTable) -> dict[str, Any]:
    """What `calibration.json` is to hold.

    Args:
        table: of held-out images, `seen` being the labels that the scores were trained on.
    """
    curve = offset_curve(table)
    assert curve is not None  # both parts have an image
    harmonic = dict(zip(curve.offsets.tolist(), curve.harmonic.tolist(), strict=True))
    return {
        "offset": curve.best(),
        "harmonic_mean_without": harmonic[0.0],
        "harmonic_mean_with": harmonic[curve.best()],
        "validation_images": len(table.scores),
        "held_out": [label for label, is_kept in zip(table.labels, table.seen, strict=True) if not is_kept],
        "curve": curve.to_json(),
    }
