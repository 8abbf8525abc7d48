"""The training loop: one module, one loss, an average of the weights, the best epoch by validation.

Everything random is drawn from generators whose state is either a function of (seed, epoch, step) or stands in the
checkpoint, so that a run that was cut and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from zsmld import console, distributed, files
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.devices import PRECISIONS
from zsmld.errors import InputError, UsageError
from zsmld.images.ahead import ahead
from zsmld.settings import TrainSettings
from zsmld.training import checkpoint as checkpoints
from zsmld.training.checkpoint import Checkpoint, Progress
from zsmld.training.feeding import Part, Rows, batches, steps_per_epoch
from zsmld.training.objective import Objective
from zsmld.training.optimizer import build_optimizer, rising_part, warmed_up_average
from zsmld.training.step import backward_in_chunks, sample_labels
from zsmld.training.validation import logits_of

METRICS_FILE = "metrics.jsonl"
SECONDS_BETWEEN_CHECKPOINTS = 300.0


class Trainer:
    """Fits `module(inputs, label_embeddings) → logits` on the seen labels.

    Args:
        module: what is trained; parameters under `backbone.` get the backbone's rate.
        label_embeddings: (L,E) of the seen labels; None for a closed-set head.
        objective: the loss, and what chooses the epoch.
        training: the training images.
        validation: images that choose the epoch; None takes the last one.
        settings: see `TrainSettings`.
        folder: where checkpoint and metrics go.
        measured_embeddings: of the labels that validation images are scored for; None for the seen ones.
        last_epoch: the epoch that is taken, whatever validation says; nothing is trained behind it.
    """

    def __init__(
        self,
        module: MLDecoder | ZeroShotModel,
        label_embeddings: Tensor | None,
        objective: Objective,
        training: Part,
        validation: Part | None,
        settings: TrainSettings,
        folder: Path,
        device: torch.device,
        measured_embeddings: Tensor | None = None,
        last_epoch: int | None = None,
        seconds_between_checkpoints: float = SECONDS_BETWEEN_CHECKPOINTS,
    ) -> None:
        self.module, self.settings, self.folder, self.device = module.to(device), settings, folder, device
        self.label_embeddings = None if label_embeddings is None else label_embeddings.to(device)
        self.measured_embeddings = self.label_embeddings if measured_embeddings is None else measured_embeddings
        self.objective, self.last_epoch = objective, last_epoch
        self.epochs = settings.epochs if last_epoch is None else last_epoch
        self.training, self.validation = training, validation
        self.seconds_between_checkpoints = seconds_between_checkpoints
        self.steps = steps_per_epoch(len(training.rows), settings.batch_size)
        self.average = AveragedModel(self.module, avg_fn=warmed_up_average(settings.ema_decay))
        self.optimizer = build_optimizer(self.module, settings)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=[group["lr"] for group in self.optimizer.param_groups],
            total_steps=self.steps * settings.epochs,
            pct_start=rising_part(settings.warmup, self.steps * settings.epochs),
        )
        self.dtype = PRECISIONS[settings.precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}

    def fit(self) -> dict[str, Tensor]:
        """Train to the end or until patience is spent; returns the chosen weights, a state dict of the module.

        Several processes (`zsmld.distributed`) compute a share of each batch and add up their gradients. They are not
        wrapped in PyTorch's DistributedDataParallel, because a step has a backward pass for each chunk of labels.

        Raises:
            UsageError: the loss is no longer finite; the last good checkpoint stays.
        """
        total = self.steps * self.epochs
        done = self.progress.epoch * self.steps + self.progress.step
        with console.progress("training", total, done=done) as meter:
            while self.progress.epoch < self.epochs and not self._patience_is_spent():
                self._train_epoch(meter)
                self._close_epoch()
        return self.best

    def _train_epoch(self, meter: console.Meter) -> None:
        self.module.train()
        self._part_ways()
        saved = time.monotonic()
        steps = batches(self._order(), self.settings.batch_size, self.progress.step)
        # The next batch is read while this one is trained on.
        with closing(ahead(self._read, steps, count=1, threads=1)) as reading:
            for step, rows, inputs in reading:
                loss = self._train_step(step, rows, inputs)
                if not math.isfinite(loss):
                    raise self._lost(f"the loss is {loss} in epoch {self.progress.epoch + 1}, step {step + 1}")
                self.progress.loss_sum += loss
                self.progress.step = step + 1
                meter.advance(note=f"epoch {self.progress.epoch + 1}/{self.epochs}, loss {loss:.4f}")
                waited = distributed.gathered(time.monotonic() - saved)[0]
                if waited >= self.seconds_between_checkpoints and self.progress.step < self.steps:
                    self.save()
                    saved = time.monotonic()

    def _part_ways(self) -> None:
        """Give each process dropout masks of its own, where there are several, at the start of an epoch."""
        if distributed.size() > 1 and self.progress.step == 0:
            sequence = np.random.SeedSequence([self.settings.seed, self.progress.epoch, distributed.rank()])
            torch.manual_seed(int(sequence.generate_state(1)[0]))

    def _lost(self, what: str) -> UsageError:
        return UsageError(
            what, path=self.folder,
            remedy="The last good checkpoint is kept; lower --learning-rate and start over with --force.",
        )  # fmt: skip

    def _read(self, step: tuple[int, Rows]) -> tuple[int, Rows, Tensor]:
        own = step[1][distributed.share(len(step[1]))]
        return *step, self.training.inputs.read(own, augmentation_seed=self._seed_of_step(step[0]))

    def _train_step(self, step: int, rows: Rows, inputs: Tensor) -> float:
        targets = self.training.targets.read(rows)
        known, words, weights = self.training.targets.known(rows), self.label_embeddings, None
        if words is not None and self.settings.label_sample:
            labels, weights = sample_labels(targets, self.settings.label_sample, self._seed_of_step(step))
            words, targets, weights = words[labels.to(self.device)], targets[:, labels], weights.to(self.device)
            known = None if known is None else known[:, labels]
        self.optimizer.zero_grad(set_to_none=True)
        value = torch.zeros((), dtype=torch.float64)
        own = distributed.share(len(rows))
        for part in np.array_split(np.arange(len(own)), min(self.settings.accumulate, len(own))):
            truth = targets[own[part]].to(self.device)
            sure = None if known is None else known[own[part]].to(self.device)
            cost = self._cost(truth, sure, weights, len(part) / len(rows))
            value += backward_in_chunks(
                self.module, inputs[part].to(self.device), words, cost, dtype=self.dtype, scale=self.scaler.scale
            )
        loss = distributed.add_up_gradients(self.module.parameters(), value)
        if math.isfinite(loss):  # weights stay as they were when the loss is lost
            self._update()
        return loss

    def _cost(
        self, targets: Tensor, known: Tensor | None, weights: Tensor | None, share: float
    ) -> Callable[[Tensor, slice], Tensor]:
        """The loss of a part of a batch, times its share of the images."""

        def cost(logits: Tensor, chunk: slice) -> Tensor:
            sure, counted = None if known is None else known[:, chunk], None if weights is None else weights[chunk]
            return share * self.objective.cost(logits, targets[:, chunk], sure, counted)

        return cost

    def _update(self) -> None:
        """One step of the optimiser, the schedule and the average."""
        self.scaler.unscale_(self.optimizer)
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # A gradient that half precision cannot hold makes the scale smaller, and no step.
        if self.scaler.get_scale() >= before:
            self.schedule.step()
            self.average.update_parameters(self.module)

    def _close_epoch(self) -> None:
        """Validate the averaged weights, keep them if they are the best, record, save."""
        progress = self.progress
        record: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "loss": progress.loss_sum / self.steps,
            "learning_rate": self.schedule.get_last_lr()[0],
        }
        figure = self.objective.figure
        if self.validation is not None:
            record[figure] = self.validate()
        # Where nothing is to choose, every epoch is better than the one before.
        if self.validation is None or self.last_epoch is not None or record[figure] > progress.best_figure:
            progress.best_figure, progress.best_epoch = record.get(figure, -1.0), progress.epoch
            self.best = {name: tensor.detach().clone() for name, tensor in self.average.module.state_dict().items()}
        progress.history.append(record)
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self.save()
        lines = "".join(files.to_json(line) + "\n" for line in progress.history)
        files.write_text(self.folder / METRICS_FILE, lines)
        if self._patience_is_spent():
            console.info(
                f"stopped early: no better validation {self.objective.told} since epoch {progress.best_epoch + 1}"
            )

    def take(self, weights: dict[str, Tensor]) -> None:
        """Put weights that `fit` returned into the module and the average: `score` is then what they give."""
        self.module.load_state_dict(weights)
        averaged: Any = self.average.module
        averaged.load_state_dict(weights)

    def validate(self) -> float:
        """The objective's figure on the validation images, with the averaged weights."""
        assert self.validation is not None
        rows = self.validation.rows
        scores, truth = self.score(self.measured_embeddings), self.validation.targets.read(rows).numpy() > 0
        if not np.isfinite(scores).all():
            raise self._lost(f"scores are no longer numbers in epoch {self.progress.epoch + 1}")
        known = self.validation.targets.known(rows)
        return self.objective.measure(scores, truth, None if known is None else known.numpy())

    def score(self, label_embeddings: Tensor | None) -> NDArray[np.float32]:
        """Logits (I,L) of the validation images for these labels, with the averaged weights."""
        assert self.validation is not None
        self.average.eval()
        averaged: Any = self.average.module
        words = None if label_embeddings is None else label_embeddings.to(self.device)
        return logits_of(averaged, self.validation, words, self.device)

    def _order(self) -> Rows:
        generator = np.random.default_rng([self.settings.seed, self.progress.epoch])
        return self.training.rows[generator.permutation(len(self.training.rows))]

    def _seed_of_step(self, step: int) -> int:
        sequence = np.random.SeedSequence([self.settings.seed, self.progress.epoch, step])
        return int(sequence.generate_state(1)[0])

    def _patience_is_spent(self) -> bool:
        waited = self.progress.epoch - 1 - self.progress.best_epoch
        return bool(self.settings.patience and self.progress.epoch and waited >= self.settings.patience)

    def save(self) -> None:
        """Write the checkpoint."""
        Checkpoint(
            tensors={
                "model": self.module.state_dict(),
                "average": self.average.state_dict(),
                "best": self.best,
                "optimizer": checkpoints.optimizer_tensors(self.optimizer),
                "random": checkpoints.random_states(),
            },
            state={
                "progress": vars(self.progress),
                "schedule": self.schedule.state_dict(),
                "groups": self.optimizer.state_dict()["param_groups"],
                "scaler": self.scaler.state_dict(),
            },
        ).save(self.folder / checkpoints.FILE_NAME)

    def restore(self) -> None:
        """Go on from the checkpoint in the run folder.

        Raises:
            InputError: it is absent, damaged, of another format, or of another model.
        """
        path = self.folder / checkpoints.FILE_NAME
        try:
            self._restore(Checkpoint.load(path))
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"is no checkpoint of this model: {reason}", path=path, remedy="Start over with --force."
            ) from error

    def _restore(self, loaded: Checkpoint) -> None:
        self.module.load_state_dict(loaded.tensors["model"])
        self.average.load_state_dict(loaded.tensors["average"])
        self.best = loaded.tensors.get("best", {})
        checkpoints.restore_optimizer(self.optimizer, loaded.tensors["optimizer"], loaded.state["groups"])
        self.schedule.load_state_dict(loaded.state["schedule"])
        self.scaler.load_state_dict(loaded.state["scaler"])
        checkpoints.restore_random_states(loaded.tensors["random"])
        self.progress = Progress(**loaded.state["progress"])
