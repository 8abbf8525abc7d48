"""Dropout: how often, by what scale, where, and the same again from the same seed."""

import pytest
import torch

from zsmld.decoder.dropout import Dropout


def test_in_eval_and_at_zero_it_does_nothing():
    x = torch.randn(5, 7)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_each_number_is_dropped_as_often_as_asked_and_the_others_are_scaled(p):
    torch.manual_seed(0)
    count = 200_001  # no multiple of 4
    dropped = Dropout(p).train()(torch.full((count,), 2.0))
    kept = dropped[dropped != 0]
    assert torch.allclose(kept, torch.full_like(kept, 2 / (1 - p)), rtol=1e-4)
    deviation = (p * (1 - p) / count) ** 0.5
    assert abs(1 - len(kept) / count - p) < 5 * deviation
    # Each of the four that share a random number, and every pair of neighbours, too.
    zero = (dropped[: count - 1] == 0).view(-1, 4).float()
    assert ((zero.mean(dim=0) - p).abs() < 10 * deviation).all()
    correlation = torch.corrcoef(torch.cat([zero, zero.roll(1, 0)], dim=1).T) - torch.eye(8)
    assert correlation.abs().max() < 0.03


def test_the_gradient_goes_where_the_number_went():
    x = torch.ones(3, 11, requires_grad=True)
    dropped = Dropout(0.5).train()(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    assert 0 < int((dropped == 0).sum()) < 33


def test_the_same_seed_gives_the_same_mask():
    dropout, x = Dropout(0.5).train(), torch.ones(100)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
