"""Towers of timm and open_clip, small ones built here; the real MobileNetV2 where its weights are."""

import contextlib
import json
import pickle

import numpy as np
import open_clip
import pytest
import safetensors.torch
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.layers import StdConv2d

from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.images import towers
from zsmld.images.backbones import Backbone, BackboneSpec, create_backbone, parse_arguments
from zsmld.labels import clip_models

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whatever is asked of the hub, here it is not there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def spec(name, weights="random", **values):
    torch.manual_seed(0)
    return BackboneSpec(name, weights, **values)


@pytest.fixture(scope="session")
def resnet_file(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A tiny CLIP with QuickGELU and a preprocessing of its own, as open_clip saves them."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("tiny-clip")
    model = open_clip.CLIP(**TINY_CLIP, quick_gelu=True)
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    own = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "interpolation": "bilinear"}
    config = {"model_cfg": {**TINY_CLIP, "quick_gelu": True}, "preprocess_cfg": own}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def test_arguments_are_literals_or_text():
    assert parse_arguments(["pad_type=same", "output_stride=8", "drop=0.1", "size=(1, 2)", "a=b=c", "e="]) == {
        "pad_type": "same", "output_stride": 8, "drop": 0.1, "size": (1, 2), "a": "b=c", "e": "",
    }  # fmt: skip


@pytest.mark.parametrize("pair", ["pad_type", "=8", "a b=1", "", "1a=2"])
def test_arguments_that_are_no_pairs_are_refused(pair):
    with pytest.raises(UsageError, match="is not key=value"):
        parse_arguments([pair])


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_an_argument_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        parse_arguments([text])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("timm:test_vit", (100, 64)),
        ("timm:test_resnet", (25, 96)),
        ("timm:test_efficientnet", (25, 64)),
    ],
)
def test_tokens_are_the_last_feature_map(name, shape):
    backbone = create_backbone(spec(name))
    assert (backbone.tokens, backbone.channels) == shape
    images = torch.zeros(2, 3, backbone.image_size, backbone.image_size)
    assert backbone(images).shape == (2, *shape)
    assert not backbone.training


def test_swin_tokens_are_not_transposed():
    """Swin gives (B,h,w,C) where others give (B,C,h,w)."""
    small = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "window_size": 7}
    backbone = create_backbone(spec("timm:swin_tiny_patch4_window7_224", arguments=small))
    assert (backbone.tokens, backbone.channels) == (49, 64)
    images = torch.rand(1, 3, 224, 224)
    tower = backbone.tower
    assert torch.allclose(backbone(images), tower.forward_features(images).flatten(1, 2), atol=1e-6)


def test_vit_tokens_are_patches_without_the_class_token():
    backbone = create_backbone(spec("timm:test_vit"))
    images = torch.rand(1, 3, 160, 160)
    assert torch.allclose(backbone(images), backbone.tower.forward_features(images)[:, 1:], atol=1e-6)


def test_token_order_is_row_by_row():
    backbone = create_backbone(spec("timm:test_resnet"))
    image = torch.zeros(1, 3, 160, 160)
    changed = image.clone()
    changed[:, :, :4, -4:] = 9.0
    difference = (backbone(changed) - backbone(image)).abs().sum(-1)[0]
    assert difference.argmax() == 4  # the end of the first of five rows


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_resnet", "open_clip:ViT-B-32"])
def test_image_size_can_be_changed(name):
    small = {"layers": 1, "width": 64} if name.startswith("open_clip") else {}
    backbone = create_backbone(spec(name, image_size=96, arguments=small))
    assert backbone.preprocess(PHOTO).shape == (3, 96, 96)
    assert backbone.tokens == {"timm:test_vit": 36, "timm:test_resnet": 9, "open_clip:ViT-B-32": 9}[name]
    assert Backbone.from_config(backbone.to_config()).tokens == backbone.tokens


def test_mean_and_std_are_the_towers_own_or_those_given():
    own = timm.get_pretrained_cfg("test_resnet")
    assert create_backbone(spec("timm:test_resnet")).mean == own.mean
    changed = create_backbone(spec("timm:test_resnet", mean=(0.5,), std=(0.1, 0.2, 0.3)))
    assert (changed.mean, changed.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    white = Image.new("RGB", (4, 4), "white")
    assert torch.allclose(changed.preprocess(white)[:, 0, 0], torch.tensor([5.0, 2.5, 5 / 3]))


@pytest.mark.parametrize(
    "values", [{"mean": (0.5, 0.5)}, {"std": (0.0,)}, {"std": (-1.0,)}, {"mean": (float("nan"),)}, {"image_size": 0}]
)
def test_preprocessing_that_makes_no_sense_is_refused(values):
    with pytest.raises(UsageError):
        create_backbone(spec("timm:test_resnet", **values))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("test_resnet", {}, "expected timm:NAME or open_clip:NAME@TAG"),
        ("timm:", {}, "expected timm:NAME or open_clip:NAME@TAG"),
        ("timm:mobilenetv2_10", {}, "Did you mean 'mobilenetv2_1"),
        ("timm:test_resnet.nonesuch", {}, "nonesuch"),
        ("timm:test_resnet", {"nonsense": 1}, "nonsense"),
        ("timm:test_vit", {"depth": -1}, "timm:test_vit"),
        ("open_clip:ViT-B-23", {}, "Did you mean 'ViT-B-32'?"),
        ("open_clip:ViT-B-32", {"patchsize": 8}, "Did you mean 'patch_size'?"),
        ("open_clip:ViT-B-32", {"patch_size": 0}, "open_clip"),
    ],
)
def test_unknown_towers_and_arguments_are_usage_errors(name, arguments, message):
    with pytest.raises(UsageError) as caught:
        create_backbone(spec(name, arguments=arguments))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_open_clip_without_weights_is_refused():
    with pytest.raises(UsageError, match="names no weights"):
        create_backbone(spec("open_clip:ViT-B-32", weights=None))


def test_weights_of_a_file(resnet_file):
    backbone = create_backbone(spec("timm:test_resnet", str(resnet_file)))
    stored = safetensors.torch.load_file(resnet_file)
    assert all(torch.equal(stored[name], value) for name, value in backbone.tower.state_dict().items())


def test_weights_that_do_not_fit_are_refused(resnet_file, tmp_path):
    whole = resnet_file.read_bytes()
    stored = safetensors.torch.load_file(resnet_file)
    name = "layer1.0.conv1.weight"
    safetensors.torch.save_file({key: stored[key] for key in stored if key != name}, tmp_path / "missing.safetensors")
    safetensors.torch.save_file(stored | {name: stored[name][:3]}, tmp_path / "shape.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "folder.safetensors").mkdir()
    torch.save(stored, tmp_path / "resnet.pth")
    for file, reason in {
        "missing": name, "shape": name, "cut": "whole safetensors", "empty": "whole safetensors",
        "pickle": "whole safetensors", "folder": "no such weights file", "absent": "no such weights file",
    }.items():  # fmt: skip
        path = tmp_path / f"{file}.safetensors"
        with pytest.raises(InputError) as caught:
            create_backbone(spec("timm:test_resnet", str(path)))
        assert str(caught.value).startswith(f"{path}: ")
        assert reason in str(caught.value)
    with pytest.raises(InputError, match="pickles, which can run code"):
        create_backbone(spec("timm:test_resnet", str(tmp_path / "resnet.pth")))
    with pytest.raises(InputError, match="does not fit timm:test_vit"):
        create_backbone(spec("timm:test_vit", str(resnet_file)))


def test_nothing_is_ever_unpickled(resnet_file, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("unpickled")

    monkeypatch.setattr(torch, "load", refuse)
    create_backbone(spec("timm:test_resnet", str(resnet_file)))
    (tmp_path / "renamed.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="safetensors"):
        create_backbone(spec("timm:test_resnet", str(tmp_path / "renamed.safetensors")))


def test_weights_that_cannot_be_fetched_say_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFailure) as caught:
        create_backbone(spec("timm:mobilenetv2_100", None))
    assert "timm/mobilenetv2_100" in str(caught.value)
    assert "model.safetensors" in str(caught.value)
    assert "--backbone-weights FILE" in str(caught.value)


def test_clip_tower_of_a_folder(clip_folder):
    backbone = create_backbone(spec(f"open_clip:local-dir:{clip_folder}", None))
    assert (backbone.tokens, backbone.channels, backbone.image_size) == (16, 32, 32)
    assert (backbone.mean, backbone.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert backbone.preprocess.interpolation == "bilinear"
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    images = torch.rand(2, 3, 32, 32)
    # The tokens of theirs, class token first, normalised.
    theirs.visual.output_tokens = True
    _, expected = theirs.eval().visual(images)
    assert torch.allclose(backbone(images), expected, atol=1e-5)
    assert str(clip_folder.parent) not in json.dumps(backbone.to_config())


def test_clip_tower_of_a_tag(clip_folder, tmp_path, monkeypatch):
    """Activation and preprocessing belong to the tag, not to the model of that name."""
    from_folder = create_backbone(spec(f"open_clip:local-dir:{clip_folder}", None))
    (tmp_path / "tiny-of-tests.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(tmp_path)
    weights = clip_folder / "open_clip_model.safetensors"
    tag = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bicubic", "quick_gelu": True}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: ["that", "other"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, each: tag if each == "that" else {})
    source = clip_models.ClipSource("open_clip:tiny-of-tests@that", "tiny-of-tests", weights, quick_gelu=True)
    monkeypatch.setattr(clip_models, "resolve", lambda _: source)
    backbone = create_backbone(spec("open_clip:tiny-of-tests@that", None))
    assert backbone.mean == (0.5, 0.5, 0.5)
    assert backbone.to_config()["name"] == "open_clip:tiny-of-tests"
    images = torch.rand(2, 3, 32, 32)
    # The folder was saved with QuickGELU.
    assert torch.equal(backbone(images), from_folder(images))


def test_clip_folder_without_weights_or_with_other_ones(clip_folder, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        create_backbone(spec(f"open_clip:local-dir:{tmp_path / 'absent'}", None))
    config = json.loads((clip_folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 48
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "open_clip_model.safetensors").write_bytes((clip_folder / "open_clip_model.safetensors").read_bytes())
    with pytest.raises(InputError, match="does not fit"):
        create_backbone(spec(f"open_clip:local-dir:{tmp_path}", None))


@pytest.mark.parametrize(
    ("name", "tag", "mean"),
    [
        ("ViT-B-16-SigLIP", "webli", 0.5),
        ("ViT-B-16-SigLIP", "", 0.5),
        ("ViT-L-14", "laion2b_s32b_b82k", 0.5),
        ("ViT-L-14", "openai", 0.48145466),
        ("ViT-B-32", "", 0.48145466),
    ],
)
def test_clip_preprocessing_is_that_of_the_weights(name, tag, mean):
    """open_clip knows it by tag only; a file of the same weights would get the default."""
    own = towers._own_of_clip(towers._published_preprocessing(name, tag), 224)
    assert own.mean[0] == mean


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_efficientnet", "folder"])
def test_a_config_and_a_state_dict_make_the_same_backbone(name, clip_folder):
    given = (
        spec("timm:" + name[5:], mean=(0.3,)) if name != "folder" else spec(f"open_clip:local-dir:{clip_folder}", None)
    )
    backbone = create_backbone(given)
    config = json.loads(json.dumps(backbone.to_config()))
    again = Backbone.from_config(config).eval()
    again.load_state_dict(backbone.state_dict())
    assert again.fingerprint == backbone.fingerprint
    image = backbone.preprocess(PHOTO)
    assert torch.equal(again.preprocess(PHOTO), image)
    # For the tiny CLIP this holds only if QuickGELU has travelled along.
    assert torch.equal(again(image[None]), backbone(image[None]))


@pytest.mark.parametrize("key", ["name", "arguments", "preprocessing", "architecture"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {"a": 1}, {"image_size": 10**6, "mean": [0], "std": "x"}])
def test_malformed_configs_are_input_errors(key, value):
    config = create_backbone(spec("timm:test_resnet")).to_config()
    if key == "arguments" and value == []:
        pytest.skip("as good as no arguments")
    try:
        Backbone.from_config(config | {key: value})
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert key == "architecture" and not value
    with pytest.raises(InputError):
        Backbone.from_config({name: each for name, each in config.items() if name != key})


@pytest.mark.parametrize("argument", ["checkpoint_path", "pretrained", "pretrained_cfg_overlay", "cache_dir"])
def test_a_description_has_no_say_in_where_weights_come_from(argument):
    config = create_backbone(spec("timm:test_resnet")).to_config()
    with pytest.raises(InputError, match=f"{argument}.* is no argument of a model"):
        Backbone.from_config(config | {"arguments": {argument: "weights.pth"}})
    vision = {"timm_model_name": "hf-hub:somebody/model", "image_size": 32}
    with pytest.raises(InputError, match="a tower of timm has no address"):
        Backbone.from_config(
            config
            | {"name": "open_clip:x", "architecture": {"embed_dim": 8, "vision_cfg": vision, "quick_gelu": False}}
        )


def test_the_fingerprint_tells_everything_that_changes_tokens(resnet_file):
    weights = str(resnet_file)
    base = create_backbone(spec("timm:test_resnet", weights))
    assert create_backbone(spec("timm:test_resnet", weights)).fingerprint == base.fingerprint
    others = [
        create_backbone(spec("timm:test_resnet")),
        create_backbone(spec("timm:test_resnet", weights, mean=(0.4,))),
        create_backbone(spec("timm:test_resnet", weights, std=(0.4,))),
        create_backbone(spec("timm:test_resnet", weights, image_size=64)),
        create_backbone(spec("timm:test_resnet", weights, arguments={"output_stride": 16})),
    ]
    assert len({base.fingerprint, *(each.fingerprint for each in others)}) == 6
    before = base.fingerprint
    with torch.no_grad():
        base.tower.conv1[0].weight[0, 0, 0, 0] += 1e-3
    assert base.fingerprint != before


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit"])
def test_tokens_do_not_depend_on_the_batch_of_an_image(name):
    backbone = create_backbone(spec(name, image_size=96))
    images = list(torch.rand(7, 3, 96, 96))
    given = []
    backbone.register_forward_pre_hook(lambda _, inputs: given.append(len(inputs[0])))
    full = backbone.encode(images, 8)
    assert full.dtype == torch.float32
    for count in (1, 2, 5):
        assert torch.equal(backbone.encode(images[:count], 8), full[:count])
    assert torch.equal(backbone.encode(images[3:], 8), full[3:])
    assert torch.equal(backbone.encode(images[::-1], 8).flip(0), full)
    # Towers this small give the same bits in any batch, large ones do not.
    assert set(given) == {8}


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit"])
def test_converted_weights_give_what_autocast_gives(name):
    backbone = create_backbone(spec(name, image_size=96))
    if name == "timm:test_resnet":
        # Its weights are computed from others, and those in float32.
        first = backbone.tower.conv1[0]
        backbone.tower.conv1[0] = StdConv2d(3, first.out_channels, 3, stride=first.stride, padding=first.padding)
    before, images = backbone.fingerprint, list(torch.rand(3, 3, 96, 96))
    converted = backbone.converted(torch.bfloat16)
    ours, theirs = (each.encode_filled(images, 4, torch.bfloat16) for each in (converted, backbone))
    assert torch.equal(ours, theirs) and not torch.equal(ours, backbone.encode_filled(images, 4))
    assert {weight.dtype for weight in converted.parameters()} == {torch.bfloat16, torch.float32}
    assert backbone.fingerprint == before and backbone.converted(torch.float32) is backbone


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit"])
def test_a_processor_computes_no_more_than_the_images_need(name):
    backbone = create_backbone(spec(name, image_size=96))
    images = list(torch.rand(11, 3, 96, 96))
    with torch.no_grad():
        expected = backbone(torch.stack(images))
    given = []
    backbone.register_forward_pre_hook(lambda _, inputs: given.append(len(inputs[0])))
    for count, calls in ((1, 1), (8, 1), (9, 2), (11, 2)):
        given.clear()
        tokens = backbone.encode_filled(images[:count], 20)
        assert given == [8] * calls and tokens.shape == (20, backbone.tokens, backbone.channels)
        torch.testing.assert_close(tokens[:count], expected[:count], atol=1e-5, rtol=1e-5)
    assert backbone.encode_filled(images, 11).shape[0] == 11


@pytest.mark.realdata
def test_mobilenet_before_its_last_convolution(shared_data):
    weights = str(shared_data / "backbones" / "mobilenetv2_100.safetensors")
    arguments = parse_arguments(["pad_type=same"])
    backbone = create_backbone(BackboneSpec("timm:mobilenetv2_100", weights, arguments, (0.5,), (0.5,)))
    assert (backbone.tokens, backbone.channels, backbone.image_size) == (49, 320, 224)
    image = Image.open(shared_data / "corel5k" / "images" / "1000.jpeg").convert("RGB")
    tokens = backbone(backbone.preprocess(image)[None])
    tower = backbone.tower
    grid = tokens.transpose(1, 2).unflatten(2, (7, 7))
    through_the_head = tower.forward_head(tower.bn2(tower.conv_head(grid)))
    assert torch.allclose(through_the_head, tower(backbone.preprocess(image)[None]), atol=1e-3)
    assert tokens.std() > 0.1
