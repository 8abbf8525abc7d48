"""The asymmetric loss against its equations, written down again in float64."""

import math

import pytest
import torch

from zsmld.training.loss import asymmetric_loss


def by_hand(logits, targets, gamma_negative, gamma_positive, margin):
    total = 0.0
    for row, truth in zip(logits.tolist(), targets.tolist(), strict=True):
        for logit, positive in zip(row, truth, strict=True):
            p = 1 / (1 + math.exp(-logit))
            if positive:
                total += -((1 - p) ** gamma_positive) * math.log(p)
            else:
                shifted = max(p - margin, 0)
                total += -(shifted**gamma_negative) * math.log(1 - shifted)
    return total / len(logits)


@pytest.mark.parametrize("numbers", [(4, 0, 0.05), (2, 1, 0.0), (0, 0, 0.0)])
def test_equals_the_equations(numbers):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, generator=generator, dtype=torch.float64) * 3
    targets = torch.rand(7, 5, generator=generator) < 0.3
    negative, positive, margin = numbers
    ours = asymmetric_loss(logits, targets, gamma_negative=negative, gamma_positive=positive, margin=margin)
    assert ours.item() == pytest.approx(by_hand(logits, targets, negative, positive, margin), rel=1e-9)


def test_without_focus_it_is_binary_cross_entropy_with_its_gradient():
    logits = torch.linspace(-5, 5, 12).view(3, 4).requires_grad_()
    targets = (torch.arange(12).view(3, 4) % 3 == 0).float()
    ours = asymmetric_loss(logits, targets, gamma_negative=0, margin=0)
    reference = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / 3
    assert ours.item() == pytest.approx(reference.item(), rel=1e-5)
    (a,), (b,) = torch.autograd.grad(ours, logits), torch.autograd.grad(reference, logits)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_focus_carries_no_gradient():
    logits = torch.tensor([[1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(asymmetric_loss(logits, torch.zeros(1, 1)), logits)
    p = torch.sigmoid(logits.detach())
    expected = (p - 0.05) ** 4 * p * (1 - p) / (1 - p + 0.05)
    torch.testing.assert_close(gradient, expected)


def test_easy_negatives_are_free_and_extreme_logits_stay_finite():
    assert asymmetric_loss(torch.tensor([[-4.0]]), torch.zeros(1, 1)).item() == 0
    assert torch.isfinite(asymmetric_loss(torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]]), margin=0))


def test_unknown_labels_cost_nothing_and_carry_no_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator).requires_grad_()
    targets = (torch.rand(6, 4, generator=generator) < 0.3).float()
    known = torch.rand(6, 4, generator=generator) < 0.5
    partly = asymmetric_loss(logits, targets, known=known)
    (gradient,) = torch.autograd.grad(partly, logits)
    assert not gradient[~known].any() and gradient[known].any()
    entries = [tuple(at) for at in known.nonzero().tolist()]
    alone = sum(asymmetric_loss(logits[at].view(1, 1), targets[at].view(1, 1)) for at in entries)
    assert partly.item() == pytest.approx(alone.item() / 6, rel=1e-5)
    whole = asymmetric_loss(logits, targets, known=torch.ones_like(known))
    torch.testing.assert_close(whole, asymmetric_loss(logits, targets))
