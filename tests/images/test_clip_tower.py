"""Tokens of a CLIP image tower in the space of its words, against open_clip used by hand."""

import numpy as np
import pytest
import tiny_clip
import torch
from PIL import Image

from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.clip_tower import ClipBackbone
from zsmld.images.token_cache import TokenCache
from zsmld.labels.clip_models import load_clip

# Patches of each tower.
PATCHES = {"vit": 9, "resnet": 4, "siglip": 0, "coca": 0}


@pytest.fixture(scope="module", params=PATCHES)
def clip(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / request.param
    return load_clip(tiny_clip.save(folder, tiny_clip.CONFIGS[request.param]))


def patches_by_hand(visual, images):
    if hasattr(visual, "attnpool"):
        grid = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
        return visual.attnpool.c_proj(visual.attnpool.v_proj(grid.flatten(2).transpose(1, 2)))
    return visual.ln_post(visual.transformer(visual._embeds(images)))[:, 1:] @ visual.proj


def test_the_first_token_is_the_whole_image_the_others_are_its_patches(clip, request):
    name = request.node.callspec.params["clip"]
    backbone = ClipBackbone.of(clip)
    side = backbone.image_size
    images = torch.randn(3, 3, side, side)
    with torch.inference_mode():
        tokens = backbone(images)
        whole = clip.model.encode_image(images, normalize=True)
        torch.testing.assert_close(tokens[:, 0], whole, rtol=0, atol=1e-6)
        if PATCHES[name]:
            patches = torch.nn.functional.normalize(patches_by_hand(clip.model.visual, images), dim=-1)
            torch.testing.assert_close(tokens[:, 1:], patches, rtol=0, atol=1e-5)
    assert (backbone.tokens, backbone.channels) == (1 + PATCHES[name], whole.shape[1]) == tuple(tokens.shape[1:])
    torch.testing.assert_close(tokens.norm(dim=2), torch.ones(tokens.shape[:2]))
    assert tokens.dtype == torch.float32 and not backbone.training
    # Both towers are of one model: nothing was loaded twice.
    assert backbone.tower is clip.model.visual


@pytest.mark.parametrize("clip", ["vit", "resnet", "siglip"], indirect=True)
def test_it_takes_photographs_as_the_plain_backbone_does_and_is_not_taken_for_it(clip):
    plain, own = create_backbone(BackboneSpec(clip.source.spec)), ClipBackbone.of(clip)
    assert own.preprocess == plain.preprocess
    assert plain.config.items() <= own.config.items()
    assert own.fingerprint != plain.fingerprint and own.fingerprint == ClipBackbone.of(clip).fingerprint


@pytest.mark.parametrize("clip", ["vit"], indirect=True)
def test_tokens_are_cached_and_computed_under_autocast(clip, tmp_path):
    backbone = ClipBackbone.of(clip)
    draw = np.random.default_rng(0)
    paths = [tmp_path / f"{at}.png" for at in range(3)]
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(path)
    images = [backbone.preprocess.open(path) for path in paths]
    expected = backbone.encode(images, 4)
    store = TokenCache(tmp_path / "cache", backbone).fill(paths, batch_size=4)
    assert store.read([0, 1, 2]) == pytest.approx(expected.numpy(), abs=1e-3)
    rounded = backbone.encode_filled(images, 4, torch.bfloat16)
    assert torch.equal(backbone.converted(torch.bfloat16).encode_filled(images, 4, torch.bfloat16), rounded)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded[:3], expected, rtol=0, atol=0.03)
    torch.testing.assert_close(rounded.norm(dim=2), torch.ones(4, 10))
