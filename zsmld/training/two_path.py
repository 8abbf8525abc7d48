"""The final training of a head with a linear path: alone, or with a decoder as the rehearsals planned it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from zsmld import console, distributed, files
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import CALIBRATION
from zsmld.decoder.probabilities import FILE_NAME as PROBABILITIES
from zsmld.decoder.probabilities import Probabilities
from zsmld.decoder.two_path import TwoPathHead
from zsmld.devices import pick_device
from zsmld.evaluation import ScoreTable
from zsmld.images.backbones import Backbone
from zsmld.images.features import GivenTokens
from zsmld.linear import METHODS, PATH, Choice, Method, Problem, choose, fit_path, pool, rounds
from zsmld.training import calibrate, run_folder
from zsmld.training.building import inputs_of, new_backbone
from zsmld.training.feeding import Inputs, Rows
from zsmld.training.job import Job
from zsmld.training.loop import Trainer
from zsmld.training.probabilities import measured, some_of
from zsmld.training.rehearsal import FEWEST_LABELS, Plan, held_out_scores, rehearse

Trained = Callable[[Job], tuple[ZeroShotModel, Trainer]]
# Published methods that the linear path is held against, where that takes seconds.
_RIVALS = ("eszsl", "conse")
# A linear path is fitted again, without a fifth of the labels, until so many were held out, in at most so many trials.
_TRIED_LABELS, _MOST_TRIALS = 150, 8


def fit(job: Job, trained: Trained) -> tuple[ZeroShotModel, dict[str, str]]:
    """A model, and what its card says of the training.

    Args:
        job: its settings' method is not `decoder`.
        trained: trains a decoder (and its backbone) for a job.
    """
    model, about = _both(job, trained) if job.settings.has_decoder else _linear(job)
    return model, {"training images": str(int((~job.dataset.is_of("val")).sum()))} | about


def problem_of(job: Job, backbone: Backbone | GivenTokens, inputs: Inputs) -> Problem:
    """The tokens that the backbone gives for all images of the job, pooled, with its seen labels."""
    device = pick_device(job.settings.device)

    @torch.inference_mode()
    def read(rows: Rows) -> Tensor:
        given = inputs.read(rows)
        return backbone.eval()(given.to(device)) if job.settings.train_backbone else given

    vectors = job.measured_vectors()
    assert vectors is not None
    truth, known = job.dataset.targets(job.measured), job.dataset.known(job.measured)
    return Problem(pool(read, len(job.dataset)), truth, known, vectors.numpy(), job.dataset)


def _linear(job: Job) -> tuple[ZeroShotModel, dict[str, str]]:
    """The linear path alone: ours, or of a published method."""
    method = METHODS.get(job.settings.method, PATH)
    backbone = new_backbone(job)
    problem = problem_of(job, backbone, inputs_of(job, backbone))
    choice = distributed.from_first(lambda: choose(method, problem))
    about = {
        "hyper-parameters": _told(choice), "on held-out seen labels": _compared(problem, method, choice),
        "probabilities": distributed.from_first(lambda: _measured_linear(job, problem, method, choice)).told(),
    }  # fmt: skip
    path, _ = distributed.from_first(lambda: fit_path(problem, method, choice))
    return ZeroShotModel(backbone, TwoPathHead(path)), about


def _measured_linear(job: Job, problem: Problem, method: Method, choice: Choice) -> Probabilities:
    """Probabilities of a linear path alone; kept in the run folder, with the offset where that is asked for."""
    tables = [] if len(job.seen) < FEWEST_LABELS else _trials(job, problem, method, choice)
    if job.settings.calibrate:
        files.write_json(job.folder / CALIBRATION, calibrate.of_scores(tables[0]))
    # The path's own scale and offsets are fitted on scores of held-out images.
    found = measured(tables, tables, fitted=True)
    found.save(job.folder)
    return found


def _trials(job: Job, problem: Problem, method: Method, choice: Choice) -> list[ScoreTable]:
    """Scores of held-out images by paths that were fitted without a fifth of the labels, in turn."""
    tables = []
    count = min(max(-(-_TRIED_LABELS // max(len(job.seen) // 5, 1)), 2), _MOST_TRIALS)
    for each in rounds(job.dataset, len(job.seen), count):
        path, _ = fit_path(problem.part(each.rows, each.shown), method, choice)
        rows = each.held_out[some_of(len(each.held_out))]
        scores = path(torch.from_numpy(problem.pooled[rows]), torch.from_numpy(problem.vectors)).numpy()
        trained_on = np.isin(np.arange(len(job.seen)), each.shown)
        known = None if problem.known is None else problem.known[rows]
        tables.append(ScoreTable(job.seen, trained_on, scores, problem.truth[rows], known))
    return tables


def _both(job: Job, trained: Trained) -> tuple[ZeroShotModel, dict[str, str]]:
    """A decoder and a linear path, as far as the rehearsals found each of use."""
    settings, common = job.settings, _Frozen(job)
    plan = rehearse(job, common.problem_of)
    console.info(plan.told)
    about = {"rehearsals": plan.told, "gate of the decoder": f"{plan.gate:g}"}
    decoder: MLDecoder | None = None
    if plan.gate or settings.train_backbone:
        model, trainer = trained(job.on_all_images(plan.epoch))
        assert isinstance(model.head, MLDecoder)
        about["epochs"] = f"{plan.epoch} of {settings.epochs}"
        backbone, inputs = model.backbone, trainer.training.inputs
        decoder = model.head if plan.gate else None
    else:
        backbone = new_backbone(job)
        inputs = inputs_of(job, backbone)
    problem = common.problem_of(job, backbone, inputs)
    path, choice = distributed.from_first(lambda: fit_path(problem, PATH, plan.choice))
    if not settings.train_backbone:
        about["on held-out seen labels"] = _compared(problem, PATH, choice)
    about["probabilities"] = distributed.from_first(lambda: _measured(job, plan, problem, choice)).told()
    head = TwoPathHead(path, decoder, gate=plan.gate, scale=plan.scale, shift=plan.shift)
    return ZeroShotModel(backbone, head), about | {"hyper-parameters of the linear path": _told(choice)}


def _measured(job: Job, plan: Plan, problem: Problem, choice: Choice) -> Probabilities:
    """Probabilities of both paths at the gate that was chosen; kept in the run folder, as those of a linear path are.

    They are measured once: what the rehearsals scored is removed then.
    """
    if not (job.folder / PROBABILITIES).exists():
        if plan.gate == 0 and not job.settings.train_backbone:
            # What the decoder has no part in is cheap, and held out more often.
            _measured_linear(job, problem, PATH, choice)
        else:
            tables = held_out_scores(job, plan)
            if job.settings.calibrate:
                files.write_json(job.folder / CALIBRATION, calibrate.of_scores(tables[0]))
            measured(tables, tables).save(job.folder)
    run_folder.clear_held_out(job.folder)
    return Probabilities.load(job.folder)


class _Frozen:
    """`problem_of`, computed once where the backbone is frozen."""

    def __init__(self, job: Job) -> None:
        self.is_frozen = not job.settings.train_backbone
        self.problem: Problem | None = None

    def problem_of(self, job: Job, backbone: Backbone | GivenTokens, inputs: Inputs) -> Problem:
        """See `problem_of`."""
        if self.problem is None or not self.is_frozen:
            self.problem = problem_of(job, backbone, inputs)
        return self.problem


def _told(choice: Choice) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in choice.settings.items())


def _compared(problem: Problem, method: Method, choice: Choice) -> str:
    """The method's figure beside those of others, each with its best hyper-parameters; says so where one is better."""
    if choice.figure is None:
        return "not measured"
    told = f"mAP {choice.figure:.3f}"
    for name in _RIVALS:
        if METHODS[name] is not method:
            rival = distributed.from_first(partial(choose, METHODS[name], problem))
            told += f", {METHODS[name].name} {rival.figure or 0:.3f}"
            if rival.beats(choice):
                console.info(f"--method {name} is better on held-out seen labels: {rival.figure:.3f}")
    return told
