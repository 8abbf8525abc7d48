"""What makes training need less: gradients in parts, half precision, activations computed twice."""

import pytest
import torch
from small_problem import trainer

from zsmld.errors import UsageError
from zsmld.images.backbones import BackboneSpec, create_backbone

TOWERS = {
    "timm:test_vit2": {}, "timm:test_convnext": {}, "timm:test_resnet": {}, "timm:test_efficientnet": {},
    "timm:tresnet_m": {}, "open_clip:ViT-B-32": {"layers": 3, "width": 64, "head_width": 32},
}  # fmt: skip


@pytest.mark.parametrize("parts", [2, 3, 8, 50])
def test_a_batch_in_parts_gives_the_weights_of_the_whole(tmp_path, parts):
    """Parts of unequal size, and more parts than images, too."""
    from zsmld import MLDecoder

    def weights(accumulate):
        torch.manual_seed(0)
        head = MLDecoder(8, label_features=8, width=16, heads=2, feed_forward=16, dropout=0.0)
        return trainer(tmp_path / str(accumulate), module=head, epochs=2, accumulate=accumulate).fit()

    whole, split = weights(1), weights(parts)
    for name, tensor in whole.items():
        torch.testing.assert_close(split[name], tensor, atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_what_full_precision_does(tmp_path, precision):
    settings = {"epochs": 20, "patience": 0, "learning_rate": 1e-2}
    full, half = trainer(tmp_path / "full", **settings), trainer(tmp_path / "half", precision=precision, **settings)
    seen = []
    layer = half.module.layer.attention.value
    layer.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    full.fit()
    half.fit()
    assert set(seen[:5]) == {getattr(torch, precision)}
    assert half.progress.best_figure > 0.9
    assert half.progress.best_figure == pytest.approx(full.progress.best_figure, abs=0.1)
    # What is kept is full precision all the same.
    assert {tensor.dtype for tensor in half.best.values() if tensor.is_floating_point()} == {torch.float32}


def test_a_gradient_that_float16_cannot_hold_is_passed_over(tmp_path, monkeypatch):
    run = trainer(tmp_path, precision="float16", epochs=1)
    scales = []
    update = run._update

    def noting():
        before = {name: tensor.clone() for name, tensor in run.module.state_dict().items()}
        if not scales:
            next(p for p in run.module.parameters() if p.grad is not None).grad.fill_(torch.inf)
        rate = run.schedule.last_epoch
        update()
        changed = any(not torch.equal(tensor, before[name]) for name, tensor in run.module.state_dict().items())
        scales.append((run.scaler.get_scale(), changed, run.schedule.last_epoch - rate))

    monkeypatch.setattr(run, "_update", noting)
    run.fit()
    assert scales[0] == (scales[1][0], False, 0)
    assert scales[0][0] < 65536
    assert all(changed and stepped == 1 for _, changed, stepped in scales[1:])


@pytest.mark.parametrize("name", TOWERS)
def test_activations_computed_twice_give_the_same_gradients_and_keep_less(name):
    def measured(twice):
        torch.manual_seed(0)
        backbone = create_backbone(BackboneSpec(name, "random", TOWERS[name], None, None, 64)).train()
        if twice:
            backbone.checkpoint_activations()
        kept = []
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)  # of stochastic depth, where a tower has it
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (kept.append(tensor.nbytes), tensor)[1], lambda x: x
        ):
            tokens = backbone(images)
        (tokens * torch.linspace(-1, 1, tokens.shape[-1])).sum().backward()
        gradients = {key: value.grad for key, value in backbone.named_parameters() if value.grad is not None}
        return sum(kept), gradients

    (whole, expected), (less, gradients) = measured(False), measured(True)
    assert less < 0.7 * whole
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[key], atol=1e-4, rtol=1e-3, msg=key)


def test_a_tower_that_cannot_is_told():
    tower = {"layers": [1, 1, 1, 1], "width": 8}
    backbone = create_backbone(BackboneSpec("open_clip:RN50", "random", tower, None, None, 64))
    with pytest.raises(UsageError, match="open_clip:RN50 cannot compute its activations twice"):
        backbone.checkpoint_activations()
