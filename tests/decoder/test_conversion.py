"""Published checkpoints as model folders: the same logits, and every way in which one does not fit."""

import argparse
import os
import shutil

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from model_folders import table
from PIL import Image
from published_tresnet import ARGUMENTS, published_tower
from reference import ReferenceMLDecoder

import zsmld
from zsmld.decoder.model_folder import load_model
from zsmld.errors import InputError, UsageError

WORDS = ("dog", "sea", "sky")
CLASSES = tuple(f"class {number}" for number in range(7))
WIDTH = 6


@pytest.fixture(scope="module", params=["tresnet_v2_l", "tresnet_m"])
def published(request):
    """Name, tower, zero-shot head, closed-set head, and the checkpoints' tensors of the two."""
    tower, body = published_tower(request.param)
    torch.manual_seed(1)
    heads = {
        "zero-shot": ReferenceMLDecoder(tower.num_features, 16, 8, 32, e=WIDTH).eval(),
        "closed-set": ReferenceMLDecoder(tower.num_features, 16, 8, 32, n=7, k=3).eval(),
    }
    states = {
        kind: body | {f"head.{key}": value for key, value in head.state_dict().items()} for kind, head in heads.items()
    }
    return request.param, tower, heads, states


@pytest.fixture(scope="module")
def small():
    """The same of one architecture, for what does not depend on it: name and zero-shot tensors."""
    tower, body = published_tower("tresnet_v2_l")
    head = ReferenceMLDecoder(tower.num_features, 16, 8, 32, e=WIDTH)
    return body | {f"head.{key}": value for key, value in head.state_dict().items()}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seen.txt").write_text("dog\nsea\n")
    table(WORDS).save(tmp_path / "embeddings.safetensors")
    return tmp_path


def arguments(name="tresnet_v2_l"):
    return {
        "backbone": f"timm:{name}", "backbone_arg": [f"{key}={value}" for key, value in ARGUMENTS[name].items()],
        "image_size": 64, "output": "out",
    }  # fmt: skip


def zero_shot(path="c.pth", **changed):
    return zsmld.convert(path, **arguments() | {"seen": "seen.txt", "embeddings": "embeddings.safetensors"} | changed)


def expected(tower, head, images, words=None):
    with torch.no_grad():
        maps = tower.forward_features(images)
        return head(maps.flatten(2).transpose(1, 2), *([] if words is None else [words]))


WRAPPINGS = {
    "bare": lambda state: state,
    "model": lambda state: {"model": state, "num_classes": 7, "epoch": 3, "idx_to_class": dict(enumerate(CLASSES))},
    "state_dict": lambda state: {"state_dict": state},
    "parallel": lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
    "half": lambda state: {key: value.half() for key, value in state.items()},
}


def test_a_converted_model_gives_the_published_logits(files, published):
    name, tower, heads, states = published
    torch.save(states["zero-shot"], "c.pth")
    trained = load_model(zero_shot(**arguments(name)))
    images, words = torch.rand(2, 3, 64, 64), torch.from_numpy(table(WORDS).vectors)
    found, wanted = trained.model(images, words), expected(tower, heads["zero-shot"], images, words)
    assert wanted.std() > 0.1 and torch.allclose(found, wanted, atol=1e-5)
    assert trained.seen == ("dog", "sea") and trained.labels.labels == WORDS and trained.backbone_trained


def test_towers_whose_published_names_are_timms_own_are_converted(files):
    torch.manual_seed(2)
    tower = timm.create_model("test_resnet", num_classes=0).eval()
    head = ReferenceMLDecoder(tower.num_features, 16, 8, 32, e=WIDTH).eval()
    torch.save(tower.state_dict() | {f"fc.{key}": value for key, value in head.state_dict().items()}, "c.pth")
    trained = load_model(zero_shot(backbone="timm:test_resnet", backbone_arg=[]))
    images, words = torch.rand(2, 3, 64, 64), torch.from_numpy(table(WORDS).vectors)
    assert torch.allclose(trained.model(images, words), expected(tower, head, images, words), atol=1e-5)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_however_the_tensors_were_saved_the_model_is_the_same(files, small, wrapping):
    torch.save(WRAPPINGS[wrapping](small), "c.pth")
    torch.save({key: value.half().float() for key, value in small.items()}, "d.pth")
    torch.save(small, "e.pth")
    model = load_model(zero_shot()).model
    same = load_model(zero_shot("d.pth" if wrapping == "half" else "e.pth", output="same")).model
    assert all(torch.equal(value, same.state_dict()[key]) for key, value in model.state_dict().items())


def test_safetensors_are_read_too(files, small):
    safetensors.torch.save_file({key: value.contiguous() for key, value in small.items()}, "c.safetensors")
    torch.save(small, "c.pth")
    one, other = load_model(zero_shot("c.safetensors")), load_model(zero_shot(output="other"))
    for key, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[key])


def test_pixels_are_taken_as_the_published_code_takes_them(files, small):
    torch.save(small, "c.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    preprocess = load_model(zero_shot()).model.backbone.preprocess
    assert torch.allclose(
        preprocess(Image.fromarray(pixels)), torch.from_numpy(pixels).permute(2, 0, 1) / 255, atol=1e-6
    )
    other = load_model(zero_shot(output="other", mean=(0.5,), std=(0.25,), image_size=32)).model.backbone.preprocess
    assert (other.mean, other.std, other.image_size) == ((0.5,) * 3, (0.25,) * 3, 32)


def test_a_converted_model_is_one_like_any_other(files, small):
    torch.save(small, "c.pth")
    tagger = zsmld.ZeroShotTagger.from_pretrained(zero_shot())
    Image.new("RGB", (80, 60), (200, 30, 30)).save("photo.png")
    (prediction,) = tagger.predict(["photo.png"], labels=WORDS, top_k=0)
    assert {each.label for each in prediction.labels} == set(WORDS)
    card = (files / "out/README.md").read_text()
    assert "converted from" in card and "c\\.pth" in card and "Not measured" in card and str(files) not in card


@pytest.mark.parametrize("named", ["file", "checkpoint"])
def test_closed_set_checkpoints_name_their_classes_or_are_told_them(files, published, named):
    name, tower, heads, states = published
    wrapping = "bare" if named == "file" else "model"
    torch.save(WRAPPINGS[wrapping](states["closed-set"]), "c.pth")
    (files / "classes.txt").write_text("\n".join(reversed(CLASSES)))
    given = {"seen": "classes.txt"} if named == "file" else {}
    trained = load_model(zsmld.convert("c.pth", **arguments(name), closed_set=True, single_label=True, **given))
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(trained.model(images, None), expected(tower, heads["closed-set"], images), atol=1e-5)
    assert trained.seen == (CLASSES[::-1] if named == "file" else CLASSES)
    assert trained.closed_set and trained.single_label


# What does not fit.


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


def narrow():
    head = ReferenceMLDecoder(512, 12, 2, 32, e=WIDTH)
    return {f"head.{key}": value for key, value in head.state_dict().items()}


CHANGES = {
    "head of twelve": (lambda s: s | narrow(), r"c\.pth: holds a head of sizes that no published one has"),
    "no backbone": (lambda s: {k: v for k, v in s.items() if "head" in k}, r"c\.pth: holds a head without a backbone"),
    "no head": (lambda s: {k: v for k, v in s.items() if "head" not in k}, r"c\.pth: 0 keys end in"),
    "missing": (lambda s: without(s, "body.conv1.0.weight"), r"c\.pth: .*lacks 'body\.conv1\.conv\.weight'"),
    "too many": (lambda s: s | {"body.more": torch.ones(1), "b": torch.ones(1)}, "no place for 'body.more' and 1 more"),
    "another shape": (lambda s: s | {"body.conv1.1.bias": torch.ones(3)}, r"has shape \(3,\), expected \(16,\)"),
    "head missing": (lambda s: without(s, "head.decoder.layers.0.linear2.bias"), r"c\.pth: .*does not fit"),
    "head's shape": (lambda s: s | {"head.decoder.duplicate_pooling_bias": torch.ones(2)}, r"c\.pth: .*does not fit"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_with_a_tensor_too_many_or_too_few_is_refused_by_name(files, small, change):
    spoil, told = CHANGES[change]
    torch.save(spoil(small), "c.pth")
    with pytest.raises(InputError, match=told):
        zero_shot()
    assert not (files / "out").exists()


def test_another_backbone_is_told_by_the_first_tensor_that_does_not_fit(files, small):
    torch.save(small, "c.pth")
    with pytest.raises(InputError, match=r"does not fit timm:tresnet_m.*--backbone-arg"):
        zero_shot(backbone="timm:tresnet_m", backbone_arg=[])
    with pytest.raises(InputError, match=r"does not fit timm:test_resnet"):
        zero_shot(backbone="timm:test_resnet", backbone_arg=[])


def test_labels_and_vectors_must_be_those_of_the_checkpoint(files, published):
    name, _, _, states = published
    torch.save(WRAPPINGS["model"](states["closed-set"]), "closed.pth")
    torch.save(states["zero-shot"], "c.pth")
    wide = table(WORDS)
    wide = type(wide)(WORDS, np.ones((3, 8), np.float32), wide.routes, wide.provenance)
    wide.save("wide.safetensors")
    (files / "few.txt").write_text("one\ntwo\n")
    (files / "other.txt").write_text("dog\nwolf\n")
    both = arguments(name)
    for values, told in (
        ({"embeddings": "wide.safetensors"}, r"wide\.safetensors: holds vectors of 8 numbers, .* with 6"),
        ({"seen": "other.txt"}, r"other\.txt: the label embeddings lack 'wolf'"),
        ({"closed_set": True}, "its head is zero-shot. Leave --closed-set out"),
    ):
        with pytest.raises(InputError, match=told):
            zero_shot(**both | values)
    with pytest.raises(InputError, match=r"closed-set, of 7 classes\. Add --closed-set"):
        zero_shot("closed.pth", **both)
    with pytest.raises(InputError, match=r"few\.txt: names 2 classes, the checkpoint has 7"):
        zsmld.convert("closed.pth", **both, closed_set=True, seen="few.txt")
    for named in (None, ["a"], {1: "a"}, {0: ["a"]}):
        torch.save({"model": states["closed-set"], "idx_to_class": named}, "closed.pth")
        with pytest.raises(InputError, match=r"closed\.pth"):
            zsmld.convert("closed.pth", **both, closed_set=True)
    torch.save(states["closed-set"], "closed.pth")
    with pytest.raises(InputError, match=r"closed\.pth: does not name its classes.*--seen FILE"):
        zsmld.convert("closed.pth", **both, closed_set=True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"backbone": None}, "no backbone of timm"),
        ({"backbone": "open_clip:ViT-B-32"}, "no backbone of timm"),
        ({"backbone": "timm:tresnet_v2_1"}, "Did you mean"),
        ({"output": None}, "--output"),
        ({"seen": None}, "no seen given"),
        ({"single_label": True}, "Add --closed-set"),
        ({"backbone_arg": ["checkpoint_path=c.pth"]}, "no argument of a model"),
    ],
)
def test_settings_that_do_not_fit_are_refused(files, small, values, told):
    torch.save(small, "c.pth")
    with pytest.raises(UsageError, match=told):
        zero_shot(**values)


class Evil:
    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def test_nothing_in_a_checkpoint_is_run(files, small):
    for hostile in (Evil("canary"), {"model": small, "more": Evil("canary")}, small | {"body.x": Evil("canary")}):
        torch.save(hostile, "c.pth")
        with pytest.raises(InputError, match=r"c\.pth: .*nothing was run.*torch\.save\(model\.state_dict\(\)"):
            zero_shot()
    assert not (files / "canary").exists() and not (files / "out").exists()
    torch.load("c.pth", weights_only=False)
    assert (files / "canary").exists()


def test_objects_beside_the_tensors_are_refused_with_what_to_do(files, small):
    torch.save({"model": small, "args": argparse.Namespace(lr=1)}, "c.pth")
    with pytest.raises(InputError, match=r"argparse\.Namespace.*save the tensors alone"):
        zero_shot()


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(files, small, part):
    torch.save(small, "c.pth")
    data = (files / "c.pth").read_bytes()
    (files / "c.pth").write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError, match=r"c\.pth"):
        zero_shot()
    assert not (files / "out").exists()


def test_a_folder_that_is_there_is_replaced_with_force_alone(files, small):
    torch.save(small, "c.pth")
    out = zero_shot()
    (out / "report.json").write_text("{}")
    with pytest.raises(UsageError, match="exists already"):
        zero_shot()
    zero_shot(force=True)
    assert not (out / "report.json").exists()  # it was another model's
    shutil.rmtree(out)
    (files / "c.pth").unlink()
    with pytest.raises(InputError, match="no such file"):
        zero_shot()
