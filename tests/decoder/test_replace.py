"""`zsmld.replace_head` on towers of every layout."""

import pytest
import timm
import torch
from torch import nn

import zsmld
from zsmld.errors import UsageError

SMALL = {"width": 16, "heads": 2, "feed_forward": 16}
SWIN = {"embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "img_size": 64, "window_size": 2}
VIT = {"embed_dim": 16, "depth": 1, "num_heads": 2, "img_size": 64}
# How to get at the tokens of each, written out for each.
TOWERS = {
    "resnet18": ({}, lambda y: y.flatten(2).transpose(1, 2)),
    "mobilenetv3_small_050": ({}, lambda y: y.flatten(2).transpose(1, 2)),
    "test_efficientnet": ({}, lambda y: y.flatten(2).transpose(1, 2)),
    "convnext_atto": ({}, lambda y: y.flatten(2).transpose(1, 2)),
    "tresnet_m": ({}, lambda y: y.flatten(2).transpose(1, 2)),
    "swin_tiny_patch4_window7_224": (SWIN, lambda y: y.reshape(len(y), -1, y.shape[-1])),
    "vit_tiny_patch16_224": (VIT, lambda y: y[:, 1:]),
    "vit_small_patch16_dinov3": (VIT, lambda y: y[:, 5:]),  # a class token and four registers
    "deit_tiny_distilled_patch16_224": (VIT, lambda y: y[:, 2:]),
    "mixer_s32_224": ({}, lambda y: y),
}


@pytest.fixture(params=TOWERS)
def tower(request):
    torch.manual_seed(0)
    arguments, tokens = TOWERS[request.param]
    return timm.create_model(request.param, num_classes=10, **arguments), tokens


def images_for(model, count=2):
    size = getattr(getattr(model, "patch_embed", None), "img_size", None) or (224, 224)
    return torch.randn(count, 3, *size)


def test_it_is_the_decoder_on_what_comes_before_pooling_and_all_of_it_is_trained(tower):
    model, tokens = tower
    images, before = images_for(model), {name: value.clone() for name, value in model.state_dict().items()}
    replaced = zsmld.replace_head(model, num_classes=7, groups=3, **SMALL)
    assert replaced.training
    replaced.train()(images).square().sum().backward()
    trained = dict(replaced.named_parameters())
    assert all(value.grad is not None for value in trained.values() if value.requires_grad)
    of_tower = [name for name, value in trained.items() if name.startswith("tower.") and value.requires_grad]
    assert len(of_tower) > 0.8 * sum(name.startswith("tower.") for name in trained)

    replaced.eval()
    with torch.inference_mode():
        model.load_state_dict({name: before[name] for name in model.state_dict()})  # running means have moved
        expected = replaced.head(tokens(model.forward_features(images)))
        logits = replaced(images)
    assert logits.shape == (2, 7) and torch.allclose(logits, expected, atol=1e-5)
    gone = before.keys() - model.state_dict().keys()
    assert gone and all(before[name].shape[0] == 10 for name in gone)  # the classifier of 10 classes, nothing else


def test_its_weights_are_saved_and_loaded(tower):
    model, _ = tower
    first = zsmld.replace_head(model, num_classes=7, **SMALL).eval()
    name, (arguments, _) = next(each for each in TOWERS.items() if each[1][1] is tower[1])
    again = zsmld.replace_head(timm.create_model(name, num_classes=3, **arguments), num_classes=7, **SMALL).eval()
    again.load_state_dict(first.state_dict())
    images = images_for(model)
    with torch.inference_mode():
        assert torch.equal(first(images), again(images))


def test_frozen_parameters_stay_frozen_and_the_head_is_of_the_models_type():
    model = timm.create_model("test_resnet").double()
    for parameter in model.layer1.parameters():
        parameter.requires_grad_(False)
    replaced = zsmld.replace_head(model, 5, **SMALL)
    assert not any(parameter.requires_grad for parameter in replaced.tower.layer1.parameters())
    assert {parameter.dtype for parameter in replaced.parameters()} == {torch.float64}
    assert all(parameter.grad is None for parameter in replaced.parameters())


def test_what_is_behind_pooling_is_frozen():
    replaced = zsmld.replace_head(timm.create_model("mobilenetv3_small_050"), 5, **SMALL)
    frozen = {name for name, value in replaced.named_parameters() if not value.requires_grad}
    key = "head.layer.attention.key.bias"  # of any head: nothing depends on it
    assert frozen == {"tower.conv_head.weight", "tower.conv_head.bias", key}


@pytest.mark.parametrize(
    ("make", "arguments", "problem"),
    [
        (lambda: nn.Linear(3, 2), {}, "Linear has no forward_features"),
        (lambda: timm.create_model("coat_tiny"), {}, "CoaT gives no one feature map"),
        (lambda: timm.create_model("test_resnet"), {"num_classes": 0}, "num_classes is 0"),
        (lambda: timm.create_model("test_resnet"), {"groups": 0}, "groups is 0"),
    ],
)
def test_what_cannot_be_replaced_is_refused(make, arguments, problem):
    with pytest.raises(UsageError, match=problem):
        zsmld.replace_head(make(), **{"num_classes": 5, **arguments})
