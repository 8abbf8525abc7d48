"""Rehearsals: trainings without a fifth of the seen labels, which tell how the final one should be done.

What a model does on words never trained on cannot be seen on seen labels. So a fifth of these is held out in turn, and
a quarter of the training images, whole groups of them; a decoder is trained on the others, a linear path is fitted on
them, and the held-out labels on the held-out images show which epoch, and how much of the decoder beside the linear
path (the gate), transfers best. No unseen label and no test image has a part in it.

Shapes: I held-out images, S seen labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zsmld import console, distributed, files
from zsmld.errors import InputError
from zsmld.evaluation import ScoreTable
from zsmld.images.backbones import Backbone
from zsmld.images.features import GivenTokens
from zsmld.linear import PATH, Choice, Problem, Round, choose, fit_logistic, fit_path, rounds
from zsmld.tensors import read_tensors, write_tensors
from zsmld.training import run_folder
from zsmld.training.building import new_trainer
from zsmld.training.checkpoint import FILE_NAME as CHECKPOINT
from zsmld.training.feeding import Inputs
from zsmld.training.job import Job
from zsmld.training.objective import Transfer
from zsmld.training.probabilities import some_of

GATES = tuple(number / 10 for number in range(11))
FEWEST_LABELS = 10
# A decoder that adds less than this, relatively, is left out: it costs its time, and so little is within the noise of a
# few rehearsals.
_LEAST_GAIN = 0.03
ProblemOf = Callable[[Job, Backbone | GivenTokens, Inputs], Problem]


@dataclass(frozen=True)
class Plan:
    """How the final training is to be done.

    Attributes:
        epoch: the last one.
        gate: what the decoder counts beside the linear path.
        scale, shift: of the decoder's logits.
        choice: the linear path's hyper-parameters; None where they are to be chosen by itself.
        told: what was measured, in words.
    """

    epoch: int
    gate: float
    scale: float
    shift: float
    choice: Choice | None
    told: str


def rehearse(job: Job, problem_of: ProblemOf) -> Plan:
    """Train `settings.rehearsals` times, or read what was written of it, and plan the final training.

    Args:
        job: the final training.
        problem_of: a backbone's tokens of all images, pooled, with the seen labels.
    """
    truth = job.measured_targets
    if truth.labels < FEWEST_LABELS:
        told = f"{truth.labels} seen labels are too few to hold some out: decoder and linear path in equal parts"
        return Plan(job.settings.epochs, 0.5, 1.0, 0.0, None, told)
    path = job.folder / run_folder.REHEARSALS
    done = distributed.from_first(lambda: _read(path) if path.exists() else [])
    for number, each in enumerate(rounds(job.dataset, truth.labels, job.settings.rehearsals)):
        if number < len(done):
            continue
        console.info(f"rehearsal {number + 1} of {job.settings.rehearsals}: without {len(each.hidden)} seen labels")
        # Tokens of a frozen backbone are the same every time: so is what is best on them.
        known = _choice_of(done[0]) if done and not job.settings.train_backbone else None
        done.append(_rehearsal(job, number, each, known, problem_of))
        files.write_json(path, done)
    return _plan(done)


def _read(path: Path) -> list[dict[str, Any]]:
    """What a run that was cut has measured so far."""
    try:
        done: list[dict[str, Any]] = files.read_json(path)
        if not done:
            raise ValueError("is empty")
        _plan(done)
    except (InputError, KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise InputError("is no record of rehearsals", path=path, remedy="Start over with --force.") from error
    return done


def _choice_of(entry: dict[str, Any]) -> Choice:
    """The linear path's hyper-parameters, as a rehearsal wrote them."""
    linear = entry["linear_path"]
    return Choice(linear["settings"], tuple(linear["unseen_map"]))


def held_out_scores(job: Job, plan: Plan) -> list[ScoreTable]:
    """Scores of held-out images for all seen labels, as the planned head makes them: a table a rehearsal.

    Raises:
        InputError: what a rehearsal kept of them is damaged, or absent.
    """
    labels = job.measured_targets
    if labels.labels < FEWEST_LABELS:
        return []
    tables = []
    for number, each in enumerate(rounds(job.dataset, labels.labels, job.settings.rehearsals)):
        kept, _ = read_tensors(run_folder.held_out_file(job.folder, number), remedy="Start over with --force.")
        rows, known = each.held_out[some_of(len(each.held_out))], None
        scores = _mixed(kept["linear"], kept["decoder"], plan.gate, plan.scale, plan.shift)
        if (sure := labels.known(rows)) is not None:
            known = sure.numpy()
        trained_on = np.isin(np.arange(labels.labels), each.shown)
        tables.append(ScoreTable(job.seen, trained_on, scores, labels.read(rows).numpy() > 0, known))
    return tables


def _rehearsal(job: Job, number: int, each: Round, choice: Choice | None, problem_of: ProblemOf) -> dict[str, Any]:
    """What one rehearsal measured; `choice` is of the linear path, where it is known."""
    trained_on = np.isin(np.arange(len(job.seen)), each.shown)
    objective = Transfer(job.settings, trained_on)
    folder = run_folder.rehearsal_folder(job.folder, number)
    part = job.rehearsal(each.rows, each.held_out, tuple(job.seen[at] for at in each.shown), folder)
    model, trainer = new_trainer(part, objective)
    if distributed.from_first((folder / CHECKPOINT).exists):
        trainer.restore()
    trainer.take(trainer.fit())
    assert trainer.measured_embeddings is not None
    decoder = trainer.score(trainer.measured_embeddings)
    truth = job.measured_targets.read(each.held_out).numpy() > 0
    sure = job.measured_targets.known(each.held_out)
    known = None if sure is None else sure.numpy()
    counted = np.broadcast_to(trained_on, truth.shape) if known is None else known & trained_on
    scale, shift = distributed.from_first(lambda: _probable(decoder, truth, counted))
    problem = problem_of(job, model.backbone, trainer.training.inputs)
    # Tokens of a backbone that was trained along are this rehearsal's own: nothing else can be measured on them.
    given = [each] if job.settings.train_backbone else []
    chosen = choice or distributed.from_first(lambda: choose(PATH, problem, given))
    linear = distributed.from_first(lambda: _linear(problem, each, chosen))
    gates = []
    for gate in GATES:
        scores = _mixed(linear, decoder, gate, scale, shift)
        seen, unseen, harmonic = objective.parts(scores, truth, known)
        gates.append({"gate": gate, "seen_map": seen, "unseen_map": unseen, "harmonic_map": harmonic})
    some = some_of(len(each.held_out))
    write_tensors(run_folder.held_out_file(job.folder, number), {"linear": linear[some], "decoder": decoder[some]}, {})
    distributed.from_first(lambda: run_folder.clear_rehearsal(folder))
    return {
        "epoch": trainer.progress.best_epoch + 1, "scale": scale, "shift": shift, "gates": gates,
        "linear_path": {"settings": chosen.settings, "unseen_map": list(chosen.figures)},
        "held_out": [job.seen[at] for at in each.hidden], "images": len(each.held_out),
    }  # fmt: skip


def _mixed(
    linear: NDArray[np.float32], decoder: NDArray[np.float32], gate: float, scale: float, shift: float
) -> NDArray[np.float32]:
    """What the head makes of the logits of both paths."""
    return ((1 - gate) * linear + gate * (scale * decoder + shift)).astype(np.float32)


def _probable(
    decoder: NDArray[np.float32], truth: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> tuple[float, float]:
    """Scale and shift that make probabilities of a decoder's logits, on images that it was not trained on."""
    logits = torch.from_numpy(decoder).double()
    scale, shift, _ = fit_logistic(logits, torch.from_numpy(truth), torch.from_numpy(counted.copy()))
    return float(scale), float(shift)


def _linear(problem: Problem, each: Round, choice: Choice) -> NDArray[np.float32]:
    """(I,S) logits of a linear path that was fitted on what the decoder was trained on."""
    path, _ = fit_path(problem.part(each.rows, each.shown), PATH, choice)
    with torch.inference_mode():
        logits = path(torch.from_numpy(problem.pooled[each.held_out]), torch.from_numpy(problem.vectors))
    numbers: NDArray[np.float32] = logits.numpy()
    return numbers


def _plan(done: list[dict[str, Any]]) -> Plan:
    """The epoch and the gate that are best on the mean of the rehearsals."""
    means = {
        name: np.mean([[entry[name] for entry in each["gates"]] for each in done], axis=0)
        for name in ("seen_map", "unseen_map", "harmonic_map")
    }
    harmonic = means["harmonic_map"]
    best = int(harmonic.argmax())
    if harmonic[best] < (1 + _LEAST_GAIN) * harmonic[0]:
        best = 0
    told = "; ".join(
        f"{name} seen {means['seen_map'][at]:.3f}, held out {means['unseen_map'][at]:.3f}"
        for name, at in (("linear path", 0), ("decoder", len(GATES) - 1), (f"gate {GATES[best]:g}", best))
    )
    first = done[0]
    return Plan(
        epoch=max(round(float(np.mean([each["epoch"] for each in done]))), 1),
        gate=GATES[best],
        scale=float(np.mean([each["scale"] for each in done])),
        shift=float(np.mean([each["shift"] for each in done])),
        choice=_choice_of(first),
        told=f"mAP, mean of rehearsals ({len(done)}): {told}",
    )
