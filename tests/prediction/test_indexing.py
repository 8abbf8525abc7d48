"""An index made with a real model: its rows score as the photographs do."""

import numpy as np
import pytest
import torch
from PIL import Image

import zsmld
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import load_model, save_model
from zsmld.decoder.scoring import photograph_batches, score_batches
from zsmld.errors import InputError, UsageError
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.features import GivenTokens
from zsmld.images.photo_index import PhotoIndex
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord

WORDS = ("dog", "sea", "sky")


def model(folder, backbone):
    torch.manual_seed(0)
    head = MLDecoder(backbone.channels, label_features=6, width=16, heads=2, feed_forward=16, centred=True)
    vectors = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    source = Provenance((SourceRecord("absent.txt", "sha256:0", "word_vectors", 6, composition="mean"),))
    table = LabelEmbeddings(WORDS, vectors, ("whole",) * 3, source)
    save_model(
        folder, ZeroShotModel(backbone, head), seen=WORDS[:2], labels=table, backbone_trained=True, about={}
    )  # fmt: skip
    return load_model(folder)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(f"photos/{number}.jpg")
    return tmp_path


def test_rows_of_an_index_score_as_the_photographs_do(workspace):
    trained = model(workspace / "runs/latest", create_backbone(BackboneSpec("timm:test_vit", "random", image_size=32)))
    changes = zsmld.index_photographs(["photos"], device="cpu", batch_size=2)
    assert (changes.added, changes.failed) == (5, 0)
    backbone, words = trained.model.backbone, torch.from_numpy(trained.labels.vectors)
    index = PhotoIndex.open(
        workspace / "photographs.index", fingerprint=backbone.fingerprint, shape=(backbone.tokens, backbone.channels)
    )
    ours = trained.model.score_for(words)(torch.from_numpy(index.read(range(5)))).numpy()
    batches = photograph_batches(trained.model.backbone, list(index.paths), batch_size=8)
    (scored,) = score_batches(trained, batches, words, device=torch.device("cpu"))
    assert np.abs(ours - scored.logits).max() < 2e-3 and np.ptp(ours) > 0.1


def test_a_model_of_ready_made_tokens_has_nothing_to_index_with(workspace):
    model(workspace / "runs/latest", GivenTokens(4, 8))
    with pytest.raises(InputError, match="takes no photographs"):
        zsmld.index_photographs(["photos"])
    assert not (workspace / "photographs.index").exists()


def test_settings_that_do_not_fit_are_refused(workspace):
    for values in ({"batch_size": 0}, {"modle": "x"}):
        with pytest.raises(UsageError):
            zsmld.index_photographs(["photos"], **values)
    with pytest.raises(InputError, match="no such model folder"):
        zsmld.index_photographs(["photos"], model="absent")
