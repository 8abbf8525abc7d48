"""The gradients of a step: in chunks of labels as in one piece; with sampled labels right on average."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from zsmld import MLDecoder
from zsmld.training import step
from zsmld.training.loss import asymmetric_loss
from zsmld.training.step import backward_in_chunks, sample_labels

IMAGES, LABELS, C, E = 4, 11, 6, 5


@pytest.fixture
def head():
    torch.manual_seed(0)
    return MLDecoder(C, label_features=E, width=8, heads=2, feed_forward=12, dropout=0.0).train()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randn(IMAGES, 7, C, generator=generator)
    words = torch.randn(LABELS, E, generator=generator)
    targets = (torch.rand(IMAGES, LABELS, generator=generator) < 0.3).float()
    return tokens, words, targets


def gradients(head):
    found = {name: parameter.grad.clone() for name, parameter in head.named_parameters() if parameter.requires_grad}
    head.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("rows", [1, 8, 12, 44, 10_000])
def test_chunks_of_labels_give_the_gradients_of_the_whole(head, batch, monkeypatch, rows):
    tokens, words, targets = batch
    loss = asymmetric_loss(head(tokens, words), targets)
    loss.backward()
    expected = gradients(head)
    monkeypatch.setattr(step, "ROWS", rows)
    sizes = []

    def cost(logits, chunk):
        sizes.append(logits.shape[1])
        return asymmetric_loss(logits, targets[:, chunk])

    assert backward_in_chunks(head, tokens, words, cost) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert sum(sizes) == LABELS
    assert len(sizes) == 1 or max(sizes) * IMAGES <= max(rows, IMAGES)
    for name, gradient in gradients(head).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def test_a_closed_set_head_goes_through_in_one_piece(batch, monkeypatch):
    tokens, _, targets = batch
    head = MLDecoder(C, num_classes=LABELS, groups=3, width=8, heads=2, feed_forward=12, dropout=0.0).train()
    loss = asymmetric_loss(head(tokens), targets)
    loss.backward()
    expected = gradients(head)
    monkeypatch.setattr(step, "ROWS", 4)
    backward_in_chunks(head, tokens, None, lambda logits, chunk: asymmetric_loss(logits, targets[:, chunk]))
    for name, gradient in gradients(head).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


class Largest(TorchDispatchMode):
    """The most numbers that any tensor made inside has."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made


def test_no_more_than_a_chunk_is_kept_whatever_the_number_of_labels(head, monkeypatch):
    monkeypatch.setattr(step, "ROWS", 20)
    tokens = torch.randn(IMAGES, 7, C)
    words, targets = torch.randn(400, E), torch.zeros(IMAGES, 400)
    with Largest() as largest:
        backward_in_chunks(head, tokens, words, lambda logits, at: asymmetric_loss(logits, targets[:, at]))
    assert largest.numbers <= 20 * 12  # rows × feed-forward width


def masks_on_queries(head, batch):
    """How many dropout masks the queries get."""
    counted = []
    head.layer.query_norm.register_forward_pre_hook(lambda _, given: counted.append(len(given[0])))
    head(batch[0], batch[1])
    return counted


def test_one_dropout_mask_on_the_queries_a_batch_or_one_an_image(head, batch):
    published = MLDecoder(C, label_features=E, width=8, heads=2, feed_forward=12, mask_per_image=True).train()
    assert masks_on_queries(head, batch) == [1]
    assert masks_on_queries(published, batch) == [IMAGES]


def test_sampled_labels_are_those_of_the_images_and_some_of_the_others(batch):
    targets = batch[2].clone()
    targets[:, [0, 3, 7, 9, 10]] = 0
    has_images = {int(label) for label in targets.any(dim=0).nonzero()}
    drawn = [sample_labels(targets, 2, seed) for seed in range(50)]
    for labels, weights in drawn:
        chosen = labels.tolist()
        assert chosen == sorted(set(chosen))
        assert has_images <= set(chosen)
        assert len(chosen) == len(has_images) + 2
        others = LABELS - len(has_images)
        assert weights.tolist() == [1.0 if label in has_images else others / 2 for label in chosen]
    assert len({tuple(labels.tolist()) for labels, _ in drawn}) > 5
    again = sample_labels(targets, 2, 7)
    assert torch.equal(again[0], drawn[7][0])


def test_with_as_many_as_there_are_the_loss_is_that_of_all_labels(batch):
    labels, weights = sample_labels(batch[2], 10_000, 0)
    assert labels.tolist() == list(range(LABELS))
    assert set(weights.tolist()) == {1.0}


def test_the_loss_and_its_gradient_are_right_on_average(head, batch):
    tokens, words, targets = batch
    targets = targets.clone()
    targets[:, 2:] = 0
    whole = backward_in_chunks(head, tokens, words, lambda z, at: asymmetric_loss(z, targets[:, at]))
    expected = gradients(head)["readout.linear.weight"]
    losses, sums = [], torch.zeros_like(expected)
    for seed in range(400):
        labels, weights = sample_labels(targets, 3, seed)
        some = targets[:, labels]

        def cost(logits, at, some=some, weights=weights):
            return asymmetric_loss(logits, some[:, at], weights=weights[at])

        losses.append(backward_in_chunks(head, tokens, words[labels], cost))
        sums += gradients(head)["readout.linear.weight"]
    assert abs(np.mean(losses) - whole) < 4 * np.std(losses) / 20
    assert np.std(losses) > 0
    assert (sums / 400 - expected).norm() < 0.1 * expected.norm()
