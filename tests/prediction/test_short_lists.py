"""Short lists of a saved model: made from photographs, used when they should be, refused when they cannot be."""

import numpy as np
import pytest
import torch
from PIL import Image

import zsmld
from zsmld import console
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import save_model
from zsmld.decoder.short_list import ShortList
from zsmld.decoder.short_list_fit import Calibration
from zsmld.errors import UsageError
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.prediction import short_lists
from zsmld.training.run_folder import start_over

WORDS = tuple(f"word{number}" for number in range(300))
SPACE = Provenance((SourceRecord("absent.txt", "sha256:0", "word_vectors", 6, composition="mean"),))


@pytest.fixture(scope="module")
def words():
    vectors = np.random.default_rng(1).normal(size=(len(WORDS), 6)).astype(np.float32)
    return LabelEmbeddings(WORDS, vectors, ("whole",) * len(WORDS), SPACE)


@pytest.fixture
def tagger(tmp_path):
    torch.manual_seed(0)
    backbone = create_backbone(BackboneSpec("timm:test_vit", "random", image_size=32))
    head = MLDecoder(backbone.channels, label_features=6, width=16, heads=2, feed_forward=16, centred=True)
    table = LabelEmbeddings(("dog", "sea"), np.eye(2, 6, dtype=np.float32), ("whole",) * 2, SPACE)
    model = ZeroShotModel(backbone, head)
    save_model(tmp_path / "model", model, seen=("dog",), labels=table, backbone_trained=False, about={})
    return zsmld.ZeroShotTagger.from_pretrained(tmp_path / "model")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(12):
        small = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        small.resize((40, 40)).save(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes((folder / "0.jpg").read_bytes()[:200])
    return sorted(folder.iterdir())


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(console, "info", lines.append)
    monkeypatch.setattr(console, "warn", lines.append)
    return lines


def test_one_is_made_kept_and_used(tagger, photographs, words, told):
    found = tagger.make_short_list(photographs, words)
    assert (found.images, found.labels) == (3, len(WORDS))
    assert any("broken.jpg" in line for line in told)
    kept = Calibration.load(tagger.trained.folder)
    assert torch.equal(kept.weight, found.weight)
    told.clear()
    exact = tagger.predict(photographs, words, top_k=5, short_list="off")
    assert not told
    listed = tagger.predict(photographs, words, top_k=5, short_list="on")
    assert told == [found.told()]
    assert [prediction.path for prediction in listed] == photographs
    assert [prediction.error is None for prediction in listed] == [path.name != "broken.jpg" for path in photographs]
    scores = tagger.predict(photographs, words, top_k=0)
    for prediction, own in zip(listed, scores, strict=True):
        full = {each.label: each.score for each in own.labels}
        assert all(each.score == pytest.approx(full[each.label], abs=1e-6) for each in prediction.labels)
    common = [
        len({each.label for each in a.labels} & {each.label for each in b.labels})
        for a, b in zip(exact, listed, strict=True)
        if a.error is None
    ]
    assert np.mean(common) > 4


def test_it_leaves_out_what_is_not_on_the_list(tagger, photographs, words):
    Calibration(torch.zeros(16), 0.04, 0.0, 3, len(WORDS)).save(tagger.trained.folder)
    (prediction,) = tagger.predict(photographs[:1], words, top_k=10, short_list="on")
    assert len(prediction.labels) == 10
    everything = tagger.predict(photographs[:1], words, top_k=10)[0]
    assert {each.label for each in prediction.labels} != {each.label for each in everything.labels}


def test_auto_takes_it_for_large_vocabularies_alone(tagger, photographs, words, told, monkeypatch):
    folder = tagger.trained.folder
    assert short_lists.usable_short_list(folder, 10_000, 5, "auto") is None
    assert "no short list" in told[0]
    assert "zsmld short-list" in told[0]
    found = tagger.make_short_list(photographs, words)
    told.clear()
    assert short_lists.usable_short_list(folder, 9_999, 5, "auto") is None
    assert short_lists.usable_short_list(folder, 10_000, 0, "auto") is None
    assert short_lists.usable_short_list(folder, 10_000, 11, "auto") is None
    assert not told
    assert short_lists.usable_short_list(folder, 10_000, 10, "auto").share == found.share
    assert short_lists.usable_short_list(folder, 10_000, 10, "off") is None
    monkeypatch.setattr(short_lists, "LARGE", 300)
    used = []
    monkeypatch.setattr(ShortList, "_probed", lambda *_: used.append(1) or torch.zeros(1, len(WORDS)))
    tagger.predict(photographs[:2], words, top_k=5)
    assert used


@pytest.mark.parametrize(("top_k", "problem"), [(0, "--top-k is 0"), (11, "--top-k is 11")])
def test_asked_for_more_than_it_finds(tagger, top_k, problem):
    with pytest.raises(UsageError, match=problem):
        short_lists.usable_short_list(tagger.trained.folder, 300, top_k, "on")


def test_asked_for_where_there_is_none(tagger):
    with pytest.raises(UsageError, match=r"the model has no short list.*zsmld short-list"):
        short_lists.usable_short_list(tagger.trained.folder, 300, 5, "on")


def test_too_few_photographs(tagger, photographs, words):
    with pytest.raises(UsageError, match="7 images, expected at least 8"):
        tagger.make_short_list([path for path in photographs if path.name != "broken.jpg"][:7], words)
    with pytest.raises(UsageError, match="0 images"):
        tagger.make_short_list([path for path in photographs if path.name == "broken.jpg"], words)
    assert Calibration.load(tagger.trained.folder) is None


def test_another_training_in_the_folder_removes_it(tagger, photographs, words):
    tagger.make_short_list(photographs, words)
    start_over(tagger.trained.folder)
    assert Calibration.load(tagger.trained.folder) is None
