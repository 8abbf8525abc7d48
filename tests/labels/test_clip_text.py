import json
import shutil
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zsmld import hub
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.labels import clip_encoding, clip_models
from zsmld.labels.clip_text import text_tower_digest
from zsmld.labels.prompt_templates import TEMPLATE_SETS, read_templates
from zsmld.labels.sources import embed_labels

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
LABELS = ("dog", "polar_bear", "curly {} label")
TEMPLATES = ("a photo of a {}.", "{}", "the {} in the picture")


def embedded(labels, source, templates=None):
    return embed_labels(labels, source=source, templates=templates, device="cpu")


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A tiny CLIP model with random weights, as open_clip keeps one in a folder."""
    import open_clip

    folder = tmp_path_factory.mktemp("tiny_clip")
    torch.manual_seed(0)
    _save(open_clip.CLIP(**CONFIG), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    return folder


@pytest.fixture
def tiny_model(tmp_path, monkeypatch):
    """The same architecture, registered with open_clip under a name."""
    import open_clip
    from open_clip import factory

    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    (tmp_path / "tiny-clip.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    return "tiny-clip"


def _save(model, path):
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def _by_hand(folder, labels, templates, *, quick_gelu=False):
    import open_clip

    model = open_clip.CLIP(**CONFIG, quick_gelu=quick_gelu).eval()
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    tokenize = open_clip.SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])
    rows = []
    with torch.no_grad():
        for label in labels:
            texts = [template.replace("{}", label.replace("_", " ")) for template in templates]
            features = model.encode_text(tokenize(texts))
            mean = (features / features.norm(dim=1, keepdim=True)).mean(dim=0)
            rows.append(mean / mean.norm())
    return torch.stack(rows).numpy()


def test_agrees_with_open_clip_used_by_hand(clip_folder):
    table = embedded(LABELS, f"open_clip:local-dir:{clip_folder}", templates=TEMPLATES)
    assert table.labels == LABELS
    assert table.vectors.shape == (3, 16)
    np.testing.assert_allclose(table.vectors, _by_hand(clip_folder, LABELS, TEMPLATES), rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, atol=1e-6)
    assert table.routes == ("clip: 3 templates",) * 3
    record = table.provenance.parts[0]
    assert (record.kind, record.templates, record.width) == ("clip_text", TEMPLATES, 16)
    assert record.coverage == {"clip": 3, "lacking": 0}
    assert table.provenance.normalisation == "length 1"
    assert table.provenance.source == f"open_clip:local-dir:{clip_folder}"


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_every_template_set_agrees_with_open_clip_used_by_hand(clip_folder, name):
    templates = read_templates(name)
    assert len(set(templates)) == len(templates) and all(template.count("{}") == 1 for template in templates)
    if name.startswith("imagenet-"):
        assert len(templates) == int(name.removeprefix("imagenet-"))
    table = embedded(LABELS, f"open_clip:local-dir:{clip_folder}", name)
    np.testing.assert_allclose(table.vectors, _by_hand(clip_folder, LABELS, templates), rtol=0, atol=1e-6)
    assert table.provenance.parts[0].templates == templates


def test_open_clip_s_own_zero_shot_weights_are_the_same(clip_folder):
    import open_clip

    model, tokenizer, _ = clip_models.load_clip(f"open_clip:local-dir:{clip_folder}")
    theirs = open_clip.build_zero_shot_classifier(
        model, tokenizer, ["dog", "polar bear"], open_clip.OPENAI_IMAGENET_TEMPLATES
    )
    ours = embedded(["dog", "polar_bear"], f"open_clip:local-dir:{clip_folder}", "imagenet-80")
    np.testing.assert_allclose(ours.vectors, theirs.T.numpy(), rtol=0, atol=1e-6)


def test_prompts_that_are_cut_are_told(clip_folder, capsys):
    fitting, cut = " ".join(["dog"] * 22), " ".join(["dog"] * 23)
    embedded([fitting], f"open_clip:local-dir:{clip_folder}", ["{}"])
    assert "cut" not in capsys.readouterr().err
    embedded([fitting, cut], f"open_clip:local-dir:{clip_folder}", ["{}"])
    assert "1 prompts are longer than the text tower reads and were cut" in capsys.readouterr().err


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_batches_do_not_change_the_vectors(clip_folder, monkeypatch, at_once):
    monkeypatch.setattr(clip_encoding, "PROMPTS_AT_ONCE", at_once)
    sizes = []
    encode = torch.nn.Module.__call__

    def spied(module, *arguments, **options):
        if type(module).__name__ == "Transformer":
            sizes.append(arguments[0].shape[0])
        return encode(module, *arguments, **options)

    monkeypatch.setattr(torch.nn.Module, "__call__", spied)
    table = embedded(LABELS, f"open_clip:local-dir:{clip_folder}", templates=TEMPLATES)
    monkeypatch.undo()
    np.testing.assert_allclose(table.vectors, _by_hand(clip_folder, LABELS, TEMPLATES), rtol=0, atol=1e-6)
    assert len(sizes) >= 9 / at_once and set(sizes) == {at_once}


def test_a_weights_file_and_a_folder_are_one_space(clip_folder, tiny_model):
    weights = clip_folder / "open_clip_model.safetensors"
    file = embedded(["dog"], f"open_clip:{tiny_model}@{weights}")
    folder = embedded(["dog"], f"open_clip:local-dir:{clip_folder}")
    assert file.provenance.fingerprint == folder.provenance.fingerprint
    assert np.array_equal(file.vectors, folder.vectors)
    assert file.provenance.parts[0].templates == read_templates()


def test_the_digest_is_of_the_text_tower_alone(clip_folder):
    import open_clip

    def load():
        return open_clip.create_model(f"local-dir:{clip_folder}")

    model, other = load(), load()
    assert text_tower_digest(model) == text_tower_digest(other)
    with torch.no_grad():
        other.visual.proj += 1
        other.logit_scale += 1
    assert text_tower_digest(model) == text_tower_digest(other)
    with torch.no_grad():
        other.token_embedding.weight[0, 0] += 1e-3
    assert text_tower_digest(model) != text_tower_digest(other)
    quick = open_clip.create_model(f"local-dir:{clip_folder}", force_quick_gelu=True)
    assert text_tower_digest(model) != text_tower_digest(quick)


def test_a_tag_trained_with_quick_gelu_is_computed_with_it(clip_folder, tiny_model, monkeypatch):
    from open_clip import pretrained

    weights = clip_folder / "open_clip_model.safetensors"
    tags = {"quick": {"hf_hub": "org/tiny/", "quick_gelu": True}, "plain": {"hf_hub": "org/tiny/weights.bin"}}
    monkeypatch.setitem(pretrained._PRETRAINED, tiny_model, tags)
    asked = []
    monkeypatch.setattr(clip_models, "_fetched", lambda *names: asked.append(names) or weights)
    quick = embedded(LABELS, f"open_clip:{tiny_model}@quick", templates=TEMPLATES)
    expected = _by_hand(clip_folder, LABELS, TEMPLATES, quick_gelu=True)
    np.testing.assert_allclose(quick.vectors, expected, rtol=0, atol=1e-6)
    plain = embedded(LABELS, f"open_clip:{tiny_model}@plain", templates=TEMPLATES)
    assert np.abs(plain.vectors - expected).max() > 1e-5
    assert asked == [("org/tiny", "open_clip_model.safetensors"), ("org/tiny", "weights.safetensors")]
    assert quick.provenance.source == f"open_clip:{tiny_model}@quick"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache of the hub that is this test's own, and a hub that nobody answers for."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def test_a_hub_model_in_the_cache_needs_no_hub(clip_folder, hub_cache):
    snapshot = hub_cache / "models--org--tiny" / "snapshots" / ("0" * 40)
    shutil.copytree(clip_folder, snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    table = embedded(LABELS, "open_clip:hf-hub:org/tiny", templates=TEMPLATES)
    np.testing.assert_allclose(table.vectors, _by_hand(clip_folder, LABELS, TEMPLATES), rtol=0, atol=1e-6)
    assert table.provenance.source == "open_clip:hf-hub:org/tiny"


@pytest.mark.parametrize("spec", ["open_clip:ViT-B-32@openai", "open_clip:hf-hub:org/tiny"])
def test_without_hub_and_cache_it_says_what_to_fetch(hub_cache, monkeypatch, spec):
    with pytest.raises(EnvironmentFailure, match=r"does not answer\. Fetch https://\S+ on a machine with network"):
        embedded(["dog"], spec)
    monkeypatch.setattr(hub, "_ask", lambda *_: pytest.fail("the hub was asked"))
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentFailure, match="HF_HUB_OFFLINE is set"):
        embedded(["dog"], spec)


def test_a_hub_that_never_answers_is_given_up_soon(hub_cache, monkeypatch):
    monkeypatch.setattr(hub, "_ask", lambda *_: time.sleep(5))
    monkeypatch.setattr(hub, "_SECONDS_TO_ANSWER", 0.2)
    started = time.monotonic()
    with pytest.raises(EnvironmentFailure, match="does not answer"):
        embedded(["dog"], "open_clip:hf-hub:org/tiny")
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("spec", "kind", "told"),
    [
        ("open_clip:ViT-B-32", UsageError, r"names no weights, .*'openai'.* and \d+ more"),
        ("open_clip:ViT-B-32@", UsageError, "names no weights"),
        ("open_clip:ViT-B32@openai", UsageError, "no model 'ViT-B32'. Did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32@opneai", UsageError, "neither a tag .* nor a file. Did you mean 'openai'"),
        ("open_clip:hf-hub:no such/name/at all", UsageError, "no hub name, expected ORG/NAME"),
        ("open_clip:", UsageError, "expected open_clip:MODEL@WEIGHTS"),
        ("clip:ViT-B-32@openai", InputError, "no such file"),
        ("open_clip:local-dir:/no/such/folder", InputError, "no such folder"),
    ],
)
def test_sources_that_name_nothing_are_refused(spec, kind, told):
    with pytest.raises(kind, match=told) as caught:
        embedded(["dog"], spec)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_or_damaged_or_pickled_are_refused(clip_folder, tiny_model, tmp_path):
    weights = clip_folder / "open_clip_model.safetensors"
    with pytest.raises(InputError, match="does not fit ViT-S-32"):
        embedded(["dog"], f"open_clip:ViT-S-32@{weights}")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated or malformed"):
        embedded(["dog"], f"open_clip:{tiny_model}@{cut}")
    tensors = load_file(weights)
    tensors.pop("text_projection")
    save_file(tensors, cut)
    with pytest.raises(InputError, match="does not fit tiny-clip"):
        embedded(["dog"], f"open_clip:{tiny_model}@{cut}")
    torch.save(tensors, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"not a \.safetensors file.*can run code"):
        embedded(["dog"], f"open_clip:{tiny_model}@{tmp_path / 'weights.pt'}")


def test_a_folder_without_sound_configuration_or_weights_is_refused(clip_folder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(InputError, match=r"open_clip_config\.json: no such file"):
        embedded(["dog"], f"open_clip:local-dir:{folder}")
    for config in ("{}", "[]", '{"model_cfg": {}}'):
        (folder / "open_clip_config.json").write_text(config)
        with pytest.raises(InputError, match="lacks 'model_cfg'"):
            embedded(["dog"], f"open_clip:local-dir:{folder}")
    shutil.copy(clip_folder / "open_clip_config.json", folder)
    with pytest.raises(InputError, match=r"holds no open_clip_model\.safetensors"):
        embedded(["dog"], f"open_clip:local-dir:{folder}")
    # open_clip would load the pickle, not the safetensors file of a lesser name.
    shutil.copy(clip_folder / "open_clip_model.safetensors", folder / "model.safetensors")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(InputError, match=r"holds no open_clip_model\.safetensors"):
        embedded(["dog"], f"open_clip:local-dir:{folder}")
    (folder / "open_clip_pytorch_model.bin").unlink()
    assert len(embedded(["dog"], f"open_clip:local-dir:{folder}")) == 1


def test_templates_are_read_and_checked(tmp_path):
    assert "a photo of a {}." in read_templates()
    assert all(template.count("{}") == 1 for template in read_templates())
    path = tmp_path / "templates.txt"
    path.write_text("# mine\n\n a {}. \nthe {}\n")
    assert read_templates(path) == ("a {}.", "the {}")
    path.write_text("a {}\na dog\n")
    with pytest.raises(InputError, match=r"templates\.txt:2: template 'a dog' has 0 places"):
        read_templates(path)
    path.write_text("{} and {}\n")
    with pytest.raises(InputError, match="has 2 places"):
        read_templates(path)
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no template"):
        read_templates(path)
    with pytest.raises(InputError, match=r"imagenet-8: no such file, .* Did you mean 'imagenet-80'"):
        read_templates("imagenet-8")
    with pytest.raises(InputError, match="no such file"):
        read_templates(tmp_path / "photo")
    with pytest.raises(InputError, match="has 0 places"):
        embedded(["dog"], "open_clip:ViT-B-32@openai", templates=["photo"])
    with pytest.raises(InputError, match="no templates given"):
        embedded(["dog"], "open_clip:ViT-B-32@openai", templates=[])


def test_a_tokenizer_that_needs_another_package_says_which(clip_folder, tmp_path, monkeypatch, hub_cache):
    folder = shutil.copytree(clip_folder, tmp_path / "model")
    text = {**CONFIG["text_cfg"], "hf_tokenizer_name": "org/tokenizer"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**CONFIG, "text_cfg": text}}))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EnvironmentFailure, match=r"needs a package .*transformers.*open_clip_torch\[training\]"):
        embedded(["dog"], f"open_clip:local-dir:{folder}")
    weights = clip_folder / "open_clip_model.safetensors"
    with pytest.raises(EnvironmentFailure, match=r"tokenizer_config\.json of timm/ViT-B-16-SigLIP"):
        embedded(["dog"], f"open_clip:ViT-B-16-SigLIP@{weights}")
