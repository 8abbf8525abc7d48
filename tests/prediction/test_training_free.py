"""CLIP in the place of a trained model, with models of every kind that are really loaded, end to end."""

import gc
import weakref

import numpy as np
import open_clip
import pytest
import scipy.special
import tiny_clip
import torch
from PIL import Image

from zsmld.decoder.similarity import PATCHES, SHARPNESS
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.labels import clip_models
from zsmld.labels.prompt_templates import read_templates
from zsmld.labels.sources import embed_labels, embed_like
from zsmld.prediction.tagging import ZeroShotTagger
from zsmld.prediction.training_free import DEFAULT_CLIP, NEUTRAL, notice, training_free

KINDS = ("vit", "resnet", "siglip")
LABELS = ("dog", "polar bear", "sea", "curly_label", "people on the beach", "cat")


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return {name: tiny_clip.save(folder / name, tiny_clip.CONFIGS[name]) for name in KINDS}


@pytest.fixture
def photographs(tmp_path):
    draw = np.random.default_rng(0)
    paths = [tmp_path / f"{at}.png" for at in range(3)]
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(path)
    return paths


def probabilities(trained, paths):
    """(n,L) of the words that it was made with."""
    backbone = trained.model.backbone
    tokens = backbone.encode_filled([backbone.preprocess.open(path) for path in paths], 4)
    logits = trained.model.score_for(torch.from_numpy(trained.label_space().vectors))(tokens)[: len(paths)]
    return scipy.special.expit(logits.double().numpy())


def by_hand(spec, labels, templates, pixels):
    """With open_clip alone."""
    model = open_clip.create_model(spec.removeprefix("open_clip:"))
    model.eval()
    tokenize = open_clip.get_tokenizer(spec.removeprefix("open_clip:"))

    def text(label):
        prompts = [template.replace("{}", label.replace("_", " ")) for template in templates]
        return torch.nn.functional.normalize(model.encode_text(tokenize(prompts), normalize=True).mean(dim=0), dim=0)

    with torch.no_grad():
        words = torch.stack([text(label) for label in labels])
        whole = model.encode_image(pixels, normalize=True)
        if model.logit_bias is not None:
            return torch.sigmoid(whole @ words.T * model.logit_scale.exp() + model.logit_bias).numpy()
        grid = model.visual.forward_intermediates(pixels, indices=1, normalize_intermediates=True)
        grid = grid["image_intermediates"][0].flatten(2).transpose(1, 2)
        visual = model.visual
        grid = (
            visual.attnpool.c_proj(visual.attnpool.v_proj(grid)) if hasattr(visual, "attnpool") else grid @ visual.proj
        )
        grid = torch.nn.functional.normalize(grid, dim=-1)
        above = words - text(NEUTRAL)
        looks = torch.softmax(SHARPNESS * grid @ words.T, dim=1)
        pooled = (looks * (grid @ above.T)).sum(dim=1)
        return torch.sigmoid(100 * ((1 - PATCHES) * whole @ above.T + PATCHES * pooled)).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("templates", [None, "clip"])
def test_scores_are_those_of_open_clip_used_by_hand(specs, photographs, kind, templates):
    trained = training_free(specs[kind], LABELS, templates=templates, device="cpu")
    preprocess = trained.model.backbone.preprocess
    pixels = torch.stack([preprocess.open(path) for path in photographs])
    expected = by_hand(specs[kind], LABELS, read_templates(templates), pixels)
    found = probabilities(trained, photographs)
    assert np.ptp(expected) > (1e-3 if kind != "siglip" else 1e-6)  # they do tell labels apart
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    tagged = ZeroShotTagger(trained, "cpu").predict(photographs, LABELS, top_k=0, batch_size=4)
    for prediction, row in zip(tagged, found, strict=True):
        scores = {each.label: each.score for each in prediction.labels}
        assert scores == pytest.approx(dict(zip(LABELS, row, strict=True)), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_adding_and_removing_labels_changes_no_score(specs, photographs, kind):
    more = [f"word {at} and {'so ' * (at % 5)}on" for at in range(300)]
    every = [*more[:150], *LABELS, *more[150:]]
    expected = probabilities(training_free(specs[kind], every, device="cpu"), photographs)[:, 150:156]
    for chosen in (LABELS, LABELS[::-1], LABELS[2:3], (*LABELS, "one more")):
        found = probabilities(training_free(specs[kind], chosen, device="cpu"), photographs)
        columns = [chosen.index(label) for label in LABELS if label in chosen]
        kept = [at for at, label in enumerate(LABELS) if label in chosen]
        np.testing.assert_allclose(found[:, columns], expected[:, kept], rtol=0, atol=1e-6)


def test_the_model_is_loaded_once_and_its_text_tower_is_let_go(specs, monkeypatch):
    loaded = []
    create = open_clip.create_model

    def spied(*arguments, **options):
        model = create(*arguments, **options)
        loaded.append(weakref.ref(model.token_embedding))
        return model

    monkeypatch.setattr(open_clip, "create_model", spied)
    trained = training_free(specs["vit"], LABELS, device="cpu")
    gc.collect()
    assert len(loaded) == 1 and loaded[0]() is None
    assert (trained.clip, trained.seen, trained.backbone_trained, trained.single_label) == (None, (), False, False)
    assert str(trained.folder) == specs["vit"] and not trained.closed_set
    assert trained.label_space().labels == LABELS


def test_words_that_come_later_are_of_the_same_space(specs, photographs, monkeypatch):
    trained = training_free(specs["vit"], LABELS[:2], device="cpu")
    table = ZeroShotTagger(trained, "cpu").embed(LABELS)
    assert np.array_equal(table.vectors, training_free(specs["vit"], LABELS, device="cpu").label_space().vectors)
    # With no words to begin with the text tower is there still, and nothing is loaded again.
    without = training_free(specs["vit"], device="cpu")
    assert without.label_space().labels == (NEUTRAL,)
    monkeypatch.setattr(clip_models, "resolve", lambda _: pytest.fail("it was loaded again"))
    later = embed_like(LABELS, without.label_space(), device="cpu", clip=without.clip)
    assert np.array_equal(later.vectors, table.vectors)
    assert later.provenance.fingerprint == table.provenance.fingerprint


def test_a_table_of_the_same_text_tower_is_taken_with_its_templates(specs, photographs, monkeypatch):
    table = embed_labels(LABELS, source=specs["vit"], templates="clip", device="cpu")
    expected = probabilities(training_free(specs["vit"], LABELS, templates="clip", device="cpu"), photographs)
    trained = training_free(specs["vit"], table, device="cpu")
    assert trained.label_space() is table
    assert np.array_equal(probabilities(trained, photographs), expected)
    other = training_free(specs["vit"], LABELS, device="cpu")
    assert np.abs(probabilities(other, photographs) - expected).max() > 1e-3


def test_tables_of_other_spaces_are_refused(specs, tmp_path):
    table = embed_labels(LABELS, source=specs["vit"], device="cpu")
    with pytest.raises(
        InputError, match=r"come from \S+vit, not from the text tower of \S+resnet alone\. Give the words"
    ):
        training_free(specs["resnet"], table)
    with pytest.raises(InputError, match="a shuffled control"):
        training_free(specs["vit"], table.shuffled(0))
    (tmp_path / "vectors.txt").write_text("dog 1 0\ncat 0 1\n")
    with pytest.raises(InputError, match=r"vectors\.txt, not from the text tower"):
        training_free(specs["vit"], embed_labels(["dog", "cat"], source=tmp_path / "vectors.txt"))
    both = embed_labels(["dog"], source=[specs["vit"], tmp_path / "vectors.txt"], device="cpu")
    with pytest.raises(InputError, match="alone"):
        training_free(specs["vit"], both)


def test_what_is_no_clip_model_is_refused(specs, tmp_path):
    with pytest.raises(UsageError, match=r"'glove\.txt' is no CLIP model, expected open_clip:MODEL@WEIGHTS"):
        training_free("glove.txt", LABELS)
    with pytest.raises(UsageError, match="weight is for several sources"):
        training_free(f"{specs['vit']}::weight=2", LABELS)
    with pytest.raises(UsageError, match="templates are for words"):
        training_free(specs["vit"], embed_labels(LABELS, source=specs["vit"], device="cpu"), templates="clip")
    with pytest.raises(InputError, match="no labels given"):
        training_free(specs["vit"], [])


def test_without_weights_and_network_it_says_what_to_fetch(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told = r"HF_HUB_OFFLINE is set\. Fetch https://\S+CLIP-ViT-B-32-laion2B-s34B-b79K\S+safetensors on a machine"
    with pytest.raises(EnvironmentFailure, match=told):
        training_free(DEFAULT_CLIP, LABELS)


def test_the_notice_names_the_model_and_is_one_line():
    told = notice(DEFAULT_CLIP)
    assert DEFAULT_CLIP in told and "zsmld train" in told and "\n" not in told


def test_short_lists_are_not_for_it(specs, photographs):
    tagger = ZeroShotTagger(training_free(specs["vit"], LABELS, device="cpu"), "cpu")
    with pytest.raises(UsageError, match="a short list is for a decoder; CLIP without training scores all labels"):
        tagger.make_short_list(photographs, LABELS)
