"""ONNX files of tiny real models: what they give, what they say of themselves, and when none is written."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import zsmld
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.linear import LinearPath
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import load_model, save_model
from zsmld.decoder.two_path import TwoPathHead
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.features import GivenTokens
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.prediction import export as exporting
from zsmld.prediction import onnx_graph
from zsmld.prediction.onnx_graph import Difference

REPOSITORY = Path(__file__).resolve().parents[2]
E = 6
LABELS = ("dog", "sea", "[red]", "polar bear", "sky")
SOURCE = SourceRecord("/home/somebody/secret/words.txt", "sha256:0", "word_vectors", E, composition="mean")
VECTORS = 3 * np.random.default_rng(0).normal(size=(len(LABELS), E)).astype(np.float32)
TABLE = LabelEmbeddings(LABELS, VECTORS, ("whole",) * len(LABELS), Provenance((SOURCE,)))
TINY_CLIP = {"layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
BACKBONES = {
    "convolutions": BackboneSpec("timm:test_convnext", "random", image_size=32),
    "padded": BackboneSpec("timm:test_efficientnet", "random", {"pad_type": "same"}, mean=(0.5,), image_size=33),
    "transformer": BackboneSpec("timm:test_vit", "random", image_size=32),
    "clip": BackboneSpec("open_clip:ViT-B-32", "random", TINY_CLIP, image_size=32),
}


def decoder(channels, **kind):
    return MLDecoder(channels, width=16, heads=2, feed_forward=16, **kind)


def linear_path(channels, standardised=True):
    path = LinearPath(
        channels, E, len(LABELS), bilinear=True, convex=True, sharpness=2.0, best=3, standardised=standardised
    )
    draw = torch.Generator().manual_seed(0)
    for buffer in path.buffers():
        buffer.copy_(torch.randn(buffer.shape, generator=draw) / max(buffer.ndim, 1))
    path.deviation.abs_().add_(0.5)
    path.centre.zero_()
    path.seen.copy_(nn.functional.normalize(torch.from_numpy(VECTORS)))
    if standardised:
        path.moment_covariance.copy_(path.moment_covariance @ path.moment_covariance.T)
    return path


HEADS = {
    "decoder": lambda channels: decoder(channels, label_features=E),
    "both": lambda channels: TwoPathHead(
        linear_path(channels), decoder(channels, label_features=E, centred=True), gate=0.4, scale=0.5, shift=-1.0
    ),
    "linear": lambda channels: TwoPathHead(linear_path(channels, standardised=False)),
    "closed": lambda channels: decoder(channels, num_classes=len(LABELS), groups=2),
}


def make(folder, backbone, head, **about):
    torch.manual_seed(0)
    tower = GivenTokens(4, 12) if backbone == "given" else create_backbone(BACKBONES[backbone])
    model = ZeroShotModel(tower, HEADS[head](tower.channels)).eval()
    labels = None if head == "closed" else TABLE
    seen = LABELS if head == "closed" else LABELS[:3]
    save_model(folder, model, seen=seen, labels=labels, backbone_trained=True, about={}, **about)
    return folder


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path, **inputs):
    (logits,) = session_of(path).run(["logits"], {name: np.asarray(each) for name, each in inputs.items()})
    return logits


def metadata(path):
    return session_of(path).get_modelmeta().custom_metadata_map


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A zero-shot model with both paths, and its file."""
    folder = tmp_path_factory.mktemp("whole")
    exported = zsmld.export(model=make(folder / "model", "convolutions", "both"), output=folder / "model.onnx")
    return folder / "model", exported


@pytest.fixture(scope="module")
def head_alone(tmp_path_factory):
    """A model of ready-made features, and the file of its head."""
    folder = tmp_path_factory.mktemp("given")
    make(folder / "model", "given", "both")
    return folder / "model", zsmld.export(model=folder / "model", output=folder / "head.onnx", part="head")


@pytest.fixture
def given(head_alone):
    return head_alone[0]


# What a file gives.


def check_against_torch(path, folder, *, images=None, tokens=None):
    """Sizes that the export itself does not try, and shapes as they are named in the file."""
    trained = load_model(folder)
    words = None if trained.closed_set else torch.randn(7, E)
    with torch.inference_mode():
        expected = trained.model(images, words) if tokens is None else trained.model.head(tokens, words)
    inputs = {"images": images} if tokens is None else {"tokens": tokens}
    if words is not None:
        inputs["label_embeddings"] = words
    assert np.abs(run(path, **inputs) - expected.numpy()).max() < 1e-5
    session = session_of(path)
    shapes = {each.name: each.shape for each in session.get_inputs()}
    if tokens is None:
        assert shapes.pop("images") == ["batch", 3, *images.shape[2:]]
    else:
        assert shapes.pop("tokens") == ["batch", "tokens", tokens.shape[2]]
    assert shapes == ({} if words is None else {"label_embeddings": ["labels", E]})
    ((name, shape),) = [(each.name, each.shape) for each in session.get_outputs()]
    assert (name, shape) == ("logits", ["batch", len(LABELS) if words is None else "labels"])


def test_a_whole_model_gives_its_logits(whole):
    folder, exported = whole
    check_against_torch(exported.path, folder, images=torch.randn(4, 3, 32, 32))
    assert exported.size == exported.path.stat().st_size
    assert [each.labels for each in exported.differences] == [1, 81, 1006]
    assert all(0 < each.largest < 1e-5 < each.scale for each in exported.differences)
    assert sorted(path.name for path in exported.path.parent.iterdir()) == ["model", "model.onnx"]
    onnx.checker.check_model(exported.path, full_check=True)


@pytest.mark.parametrize(("backbone", "head"), [("padded", "closed"), ("transformer", "decoder"), ("clip", "linear")])
def test_other_towers_with_other_heads(backbone, head, tmp_path):
    folder = make(tmp_path / "model", backbone, head)
    exported = zsmld.export(model=folder, output=tmp_path / "a.onnx")
    side = BACKBONES[backbone].image_size
    check_against_torch(exported.path, folder, images=torch.randn(4, 3, side, side))
    assert [each.labels for each in exported.differences] == ([5] if head == "closed" else [1, 81, 1006])


def check_tokens(exported, folder):
    assert exported.tokens == (1, 49, 196)
    for tokens in (1, 5, 300):
        check_against_torch(exported.path, folder, tokens=torch.randn(3, tokens, 12))


def test_a_head_takes_any_number_of_tokens(head_alone):
    folder, exported = head_alone
    check_tokens(exported, folder)


def test_the_head_of_a_model_with_a_backbone_is_the_second_half_of_it(whole, tmp_path):
    folder, exported = whole
    head = zsmld.export(model=folder, output=tmp_path / "head.onnx", part="head")
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        tokens = load_model(folder).model.backbone(images)
    logits = run(head.path, tokens=tokens, label_embeddings=VECTORS)
    assert np.abs(logits - run(exported.path, images=images, label_embeddings=VECTORS)).max() < 1e-5
    assert head.size < exported.size / 2


def test_the_seen_labels_of_a_linear_path_are_known_by_their_vectors(whole):
    """A random vector is no kin of any; the check must have rows that are."""
    folder, _ = whole
    trained = load_model(folder)
    inputs = onnx_graph.random_inputs(
        trained, whole=False, batch=1, labels=81, tokens=2, generator=torch.Generator().manual_seed(0)
    )
    path = trained.model.head.linear
    kinship = path.kinship(path.units(inputs["label_embeddings"])).amax(dim=1)
    assert (kinship[1::2] > 0.8).all() and (kinship[::2] < 0.5).any()
    assert inputs["label_embeddings"].std() == pytest.approx(VECTORS.std(), rel=0.2)


def test_the_same_model_gives_the_same_file(head_alone, tmp_path):
    folder, exported = head_alone
    again = zsmld.export(model=folder, output=tmp_path / "again.onnx", part="head")
    assert again.path.read_bytes() == exported.path.read_bytes()


# What a file says.


def test_it_says_what_it_is_and_nothing_of_this_machine(whole):
    folder, exported = whole
    about = metadata(exported.path)
    assert about.keys() == {
        "zsmld_version", "kind", "part", "backbone", "activation", "seen", "label_features", "label_source",
        "preprocessing",
    }  # fmt: skip
    assert (about["zsmld_version"], about["kind"], about["part"]) == (zsmld.__version__, "zero-shot", "model")
    assert (about["backbone"], about["activation"]) == ("timm:test_convnext", "sigmoid")
    assert about["label_features"] == "6" and json.loads(about["seen"]) == list(LABELS[:3])
    (source,) = json.loads(about["label_source"])
    assert (source["source"], source["digest"], source["kind"]) == ("words.txt", "sha256:0", "word_vectors")
    preprocess = load_model(folder).model.backbone.preprocess
    assert json.loads(about["preprocessing"]) == {
        "image_size": 32, "mean": list(preprocess.mean), "std": list(preprocess.std), "interpolation": "bicubic",
        "resize": "squash",
    }  # fmt: skip
    data = exported.path.read_bytes()
    for place in ("secret", str(REPOSITORY), str(folder.parent), str(Path(timm.__file__).parents[2]), ".py"):
        assert place.encode() not in data


def test_a_closed_set_head_says_its_classes_and_the_file_of_probabilities_goes_along(tmp_path):
    folder = make(tmp_path / "model", "given", "closed", single_label=True)
    text = '{"a":  1.50,\n "é": []}\n'
    (folder / "probabilities.json").write_text(text, encoding="utf-8")
    exported = zsmld.export(model=folder, output=tmp_path / "a.onnx", part="head")
    check_tokens(exported, folder)
    about = metadata(exported.path)
    assert (about["kind"], about["activation"], about["backbone"]) == ("closed-set", "softmax", "features")
    assert about["probabilities"] == text and json.loads(about["seen"]) == list(LABELS)
    assert not about.keys() & {"label_source", "label_features", "preprocessing"}


# As docs/export.md uses it.


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("photograph") / "photo.jpg"
    coarse = np.random.default_rng(1).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    picture.save(path, quality=90, exif=exif)
    return path


def test_pixels_as_zsmld_makes_them_give_its_probabilities(whole, photograph):
    folder, exported = whole
    tagger = zsmld.ZeroShotTagger.from_pretrained(folder, device="cpu")
    (found,) = tagger.predict([photograph], TABLE, top_k=0)
    image = tagger.trained.model.backbone.preprocess.open(photograph)
    logits = run(exported.path, images=image[None], label_embeddings=VECTORS)[0]
    expected = dict(zip(LABELS, 1 / (1 + np.exp(-logits.astype(np.float64))), strict=True))
    assert {each.label: each.score for each in found.labels} == pytest.approx(expected, abs=1e-6)


def test_the_example_of_the_docs_gives_what_predict_gives(whole, photograph, tmp_path, monkeypatch):
    folder, exported = whole
    monkeypatch.chdir(tmp_path)
    for name, path in (("model.onnx", exported.path), ("photo.jpg", photograph)):
        Path(name).symlink_to(path)
    TABLE.save("words.safetensors")
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/export.md").read_text("utf-8"), re.DOTALL)
    names = {}
    exec(code, names)  # noqa: S102
    tagger = zsmld.ZeroShotTagger.from_pretrained(folder, device="cpu")
    (found,) = tagger.predict(["photo.jpg"], TABLE, top_k=0)
    # Pillow's resizing is not PyTorch's to the last level of grey.
    assert names["scores"] == pytest.approx({each.label: each.score for each in found.labels}, abs=0.005)
    assert len(set(names["scores"].values())) == len(LABELS)


# When nothing is written.


def test_a_file_that_gives_other_logits_is_not_written(tmp_path, monkeypatch):
    folder = make(tmp_path / "model", "given", "linear")
    output = tmp_path / "a.onnx"
    output.write_bytes(b"old")
    monkeypatch.setattr(exporting, "TOLERANCE", 1e-12)
    with pytest.raises(EnvironmentFailure, match=r"a\.onnx: not written"):
        zsmld.export(model=folder, output=output, part="head", force=True)
    assert output.read_bytes() == b"old" and sorted(tmp_path.iterdir()) == [output, folder]


def test_the_check_sees_other_weights_and_what_is_no_number(head_alone):
    folder, exported = head_alone
    trained, data = load_model(folder), exported.path.read_bytes()
    bias = trained.model.head.decoder.readout.linear.bias
    exporting.refuse_differences(onnx_graph.differences(data, trained.model.head, trained), Path("a.onnx"))
    for fault in (1e-2, torch.inf, torch.nan):
        with torch.no_grad():
            bias.add_(fault)
        found = onnx_graph.differences(data, trained.model.head, trained)
        assert [each.labels for each in found] == [1, 81, 1006] and min(each.largest for each in found) > 1e-3
        with pytest.raises(EnvironmentFailure, match=r"a\.onnx: not written: with 1 label onnxruntime's logits differ"):
            exporting.refuse_differences(found, Path("a.onnx"))


def test_what_is_admitted_grows_with_the_logits():
    admitted = [Difference(1, 9e-5, 0.1), Difference(81, 9e-3, 100.0)]
    exporting.refuse_differences(admitted, Path("a.onnx"))
    for refused in (Difference(1, 1.1e-4, 0.1), Difference(81, 1.1e-2, 100.0)):
        with pytest.raises(EnvironmentFailure, match=r"expected at most 1\.0e-0[42]"):
            exporting.refuse_differences([*admitted, refused], Path("a.onnx"))


def test_the_check_sees_another_shape(given):
    trained = load_model(given)
    inputs = {"tokens": torch.randn(2, 4, 12), "label_embeddings": torch.randn(3, E)}
    data = onnx_graph.convert(FirstOnly(trained.model.head.linear).eval(), inputs, {})
    found = onnx_graph.differences(data, trained.model.head, trained)
    assert all(each.largest == float("inf") for each in found)


class FirstOnly(nn.Module):
    """Gives the logits of the first image, which subtraction would take for those of all.

    It keeps a tensor, as the towers of timm's LeViT do, of which the exporter warns.
    """

    def __init__(self, linear):
        super().__init__()
        self.linear, self.kept = linear, {}

    def forward(self, tokens, label_embeddings):
        self.kept["first"] = tokens.mean(dim=1)[:1]
        return self.linear(self.kept["first"], label_embeddings)


class Undecided(nn.Module):
    """No exporter can follow it: what it does depends on the numbers that it is given."""

    def forward(self, tokens):
        return tokens.mean(dim=1) if float(tokens.sum()) > 0 else tokens.sum(dim=1)


def test_what_cannot_be_followed_is_told_in_a_line(capfd):
    with pytest.raises(InputError, match=r"cannot be turned into ONNX: .") as told:
        onnx_graph.convert(Undecided().eval(), {"tokens": torch.randn(2, 3, 4)}, {})
    assert "\n" not in str(told.value) and len(str(told.value)) < 300
    assert capfd.readouterr() == ("", "")


def test_what_onnxruntime_cannot_run_is_told_in_a_line(given):
    trained = load_model(given)
    with pytest.raises(EnvironmentFailure, match="onnxruntime cannot run") as told:
        onnx_graph.differences(b"no model", trained.model.head, trained)
    assert "\n" not in str(told.value)


def test_weights_beyond_what_one_file_holds_are_refused_before_the_work(given, tmp_path, monkeypatch):
    exporting.refuse_large(nn.Linear(2**15, 15_000, device="meta"), tmp_path)
    with pytest.raises(UsageError, match=r"weights of 2\.44 GiB, and one ONNX file holds less than 2 GiB"):
        exporting.refuse_large(nn.Linear(2**15, 20_000, device="meta"), tmp_path)
    monkeypatch.setattr(exporting, "LARGEST", 100)
    monkeypatch.delattr(onnx_graph, "convert")
    with pytest.raises(UsageError, match="one ONNX file"):
        zsmld.export(model=given, output=tmp_path / "a.onnx", part="head")
    assert not list(tmp_path.iterdir())


def test_what_is_cheap_to_refuse_is_refused_first(given, tmp_path, monkeypatch):
    (tmp_path / "there.onnx").write_bytes(b"old")
    (tmp_path / "file").write_bytes(b"old")
    absent = tmp_path / "absent"
    with pytest.raises(InputError, match="no such model folder"):
        zsmld.export(model=absent, output=tmp_path / "a.onnx")
    monkeypatch.delattr(onnx_graph, "convert")
    monkeypatch.delattr(torch.onnx, "export")
    for values, kind, told in (
        (
            {"output": tmp_path / "there.onnx", "model": tmp_path / "absent"},
            UsageError,
            r"there\.onnx: exists already.*--force",
        ),
        (
            {"output": tmp_path / "model.safetensors", "model": tmp_path / "absent"},
            UsageError,
            r"model\.safetensors: .*expected NAME\.onnx",
        ),
        ({"part": "model"}, UsageError, r"ready-made features.*--part head"),
        ({"output": tmp_path / "file" / "a.onnx"}, EnvironmentFailure, "is a file, a folder was expected"),
    ):
        with pytest.raises(kind, match=told):
            zsmld.export(**{"model": given, "output": tmp_path / "a.onnx", "part": "head", **values})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there.onnx"]
    assert (tmp_path / "there.onnx").read_bytes() == b"old"


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named(library, given, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EnvironmentFailure, match=rf"{library} is not installed.*pip install 'zsmld\[export\]'"):
        zsmld.export(model=given, output=tmp_path / "a.onnx", part="head")
    assert not list(tmp_path.iterdir())
