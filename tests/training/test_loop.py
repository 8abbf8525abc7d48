"""The training loop on small generated tokens: it learns, resumes to the same bits, chooses by validation."""

import json

import numpy as np
import pytest
import torch
from small_problem import trainer

from zsmld import MLDecoder
from zsmld.config import build
from zsmld.errors import InputError, UsageError
from zsmld.settings import TrainSettings
from zsmld.training import loop
from zsmld.training.feeding import PackedTargets, batches, steps_per_epoch
from zsmld.training.loss import asymmetric_loss
from zsmld.training.optimizer import build_optimizer, warmed_up_average
from zsmld.training.step import sample_labels


@pytest.mark.parametrize("sampled", [0, 1])
def test_it_learns_and_keeps_the_epoch_that_validated_best(tmp_path, sampled):
    run = trainer(tmp_path, epochs=20, patience=0, learning_rate=1e-2, label_sample=sampled)
    best = run.fit()
    history = [json.loads(line) for line in (tmp_path / loop.METRICS_FILE).read_text().splitlines()]
    assert [record["epoch"] for record in history] == list(range(1, 21))
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    values = [record["validation_map"] for record in history]
    assert run.progress.best_figure == max(values) == values[run.progress.best_epoch] > 0.9
    run.average.module.load_state_dict(best)
    assert run.validate() == max(values)


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("stop_at", "sampled"), [(1, 0), (5, 0), (6, 0), (7, 0), (13, 0), (23, 0), (8, 1)])
def test_a_run_that_was_cut_anywhere_ends_with_the_same_bits(tmp_path, monkeypatch, stop_at, sampled):
    whole = trainer(tmp_path / "whole", label_sample=sampled).fit()
    cut = trainer(tmp_path / "cut", seconds=0.0, label_sample=sampled)  # a checkpoint after every step
    step = cut._train_step
    taken = []

    def stopping(*given):
        if len(taken) == stop_at:
            raise Stopped
        taken.append(given)
        return step(*given)

    monkeypatch.setattr(cut, "_train_step", stopping)
    with pytest.raises(Stopped):
        cut.fit()
    torch.manual_seed(999)
    resumed = trainer(tmp_path / "cut", seconds=0.0, label_sample=sampled)
    resumed.restore()
    assert resumed.progress.epoch * resumed.steps + resumed.progress.step == stop_at
    chosen = resumed.fit()
    assert all(torch.equal(chosen[name], whole[name]) for name in whole)
    metrics = [(tmp_path / name / loop.METRICS_FILE).read_bytes() for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


def test_every_step_is_augmented_by_a_seed_of_its_own(tmp_path):
    seeds = []
    run = trainer(tmp_path, epochs=2, validate=False)
    read = run.training.inputs.read
    run.training.inputs.read = lambda rows, augmentation_seed=None: (seeds.append(augmentation_seed), read(rows))[1]
    run.fit()
    assert len(set(seeds)) == len(seeds) == 12


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(tmp_path):
    first, again, other = (trainer(tmp_path / name, seed=seed).fit() for name, seed in [("a", 0), ("b", 0), ("c", 1)])
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_loss_that_is_no_number_stops_with_the_last_good_checkpoint(tmp_path):
    class Breaking(MLDecoder):
        steps = 0

        def decode(self, memory, label_embeddings=None):
            self.steps += self.training
            return super().decode(memory, label_embeddings) * (float("nan") if self.steps == 9 else 1.0)

    module = Breaking(8, label_features=8, width=16, heads=2, feed_forward=16)
    broken = trainer(tmp_path, module=module)
    with pytest.raises(UsageError, match=r"loss is nan in epoch 2, step 3.*--learning-rate"):
        broken.fit()
    kept = trainer(tmp_path)
    kept.restore()
    assert (kept.progress.epoch, kept.progress.step) == (1, 0)
    assert all(torch.isfinite(tensor).all() for tensor in kept.module.state_dict().values())


def test_patience_stops_early_and_without_validation_the_last_epoch_is_taken(tmp_path):
    patient = trainer(tmp_path / "a", epochs=30, patience=2, learning_rate=0.0)
    patient.fit()
    assert patient.progress.epoch == 3
    last = trainer(tmp_path / "b", validate=False)
    chosen = last.fit()
    assert last.progress.best_epoch == 3
    averaged = last.average.module.state_dict()
    assert all(torch.equal(chosen[name], averaged[name]) for name in chosen)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    trainer(tmp_path).fit()
    path = tmp_path / "checkpoint.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        trainer(tmp_path).restore()


def test_norms_and_biases_are_not_decayed_and_the_backbone_has_its_own_rate():
    module = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    settings = build(TrainSettings, {"learning_rate": 1.0, "backbone_learning_rate": 0.1, "weight_decay": 0.5})
    groups = {(g["lr"], g["weight_decay"], g["params"][0].ndim) for g in build_optimizer(module, settings).param_groups}
    assert groups == {(1.0, 0.5, 2), (1.0, 0.0, 1), (0.1, 0.5, 2), (0.1, 0.0, 1)}


def test_the_average_warms_up_and_then_forgets_slowly():
    update = warmed_up_average(0.99)
    zero, one = torch.zeros(()), torch.ones(())
    assert update(zero, one, 0).item() == pytest.approx(0.9)
    assert update(zero, one, 10_000).item() == pytest.approx(0.01)


def test_every_full_batch_is_fed_once():
    fed = [rows for _, rows in batches(np.arange(10), 3)]
    assert np.concatenate(fed).tolist() == list(range(9)) and steps_per_epoch(10, 3) == 3
    assert [rows.tolist() for _, rows in batches(np.arange(2), 3)] == [[0, 1]]
    assert [step for step, _ in batches(np.arange(10), 3, start=2)] == [2]


def test_packed_targets_unpack_to_the_truth():
    truth = np.random.default_rng(0).random((7, 11)) < 0.5
    packed = PackedTargets(truth)
    assert packed.bits.nbytes == 14
    np.testing.assert_array_equal(packed.read(np.array([6, 0])).numpy(), truth[[6, 0]])


def test_a_step_takes_the_labels_of_its_images_and_those_drawn_along(tmp_path):
    asked, logits = [], []

    class Asked(MLDecoder):
        def decode(self, memory, label_embeddings=None):
            asked.append(label_embeddings)
            logits.append(super().decode(memory, label_embeddings))
            return logits[-1]

    run = trainer(tmp_path, label_sample=1, module=Asked(8, label_features=8, width=16, heads=2, feed_forward=16))
    run.module.train()
    rows = np.array([0])
    of_image = run.training.targets.read(rows)[0] > 0
    seed = run._seed_of_step(0)
    loss = run._train_step(*run._read((0, rows)))
    labels, weights = sample_labels(run.training.targets.read(rows), 1, seed)
    targets = run.training.targets.read(rows)[:, labels]
    assert loss == pytest.approx(float(asymmetric_loss(logits[0].detach(), targets, weights=weights)))
    assert len(asked[0]) == int(of_image.sum()) + 1 < len(of_image)
    own = run.label_embeddings[of_image]
    assert all(any(torch.equal(vector, given) for given in asked[0]) for vector in own)
