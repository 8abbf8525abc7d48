"""Weights of timm towers out of foreign checkpoints: all of them, and no others."""

import pytest
import timm
import torch

from zsmld.errors import InputError
from zsmld.images.published_weights import load_published


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=0)


@pytest.fixture
def target():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=0)


def test_every_tensor_is_loaded(source, target):
    load_published(target, source.state_dict(), "x")
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


def test_counters_may_lack_and_nothing_else(source, target):
    state = source.state_dict()
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    assert counters
    load_published(target, {key: value for key, value in state.items() if key not in counters}, "x")
    for key in set(state) - counters:
        with pytest.raises(InputError, match=f"does not fit x: the checkpoint lacks '{key}'"):
            load_published(target, {name: value for name, value in state.items() if name != key}, "x")


def test_what_has_no_place_or_another_shape_is_named(source, target):
    state = source.state_dict()
    with pytest.raises(InputError, match=r"does not fit x: the backbone has no place for 'fc\.weight' and 1 more"):
        load_published(target, state | {"fc.weight": torch.ones(1), "fc.bias": torch.ones(1)}, "x")
    with pytest.raises(InputError, match=r"conv1\.0\.weight has shape \(2, 2\), expected \("):
        load_published(target, state | {"conv1.0.weight": torch.ones(2, 2)}, "x")


def test_a_function_that_renames_and_fails_on_foreign_tensors_is_an_input_error():
    tower = timm.create_model("test_vit", num_classes=0)
    with pytest.raises(InputError, match="does not fit timm:test_vit: RuntimeError"):
        load_published(tower, {"patch_embed.proj.weight": torch.ones(2)}, "timm:test_vit")
