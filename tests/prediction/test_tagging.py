"""Tagging with a tiny real model: ranks, error records, independence of labels and of the other photographs."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import zsmld
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import TrainedModel, load_model, save_model
from zsmld.errors import InputError, UsageError
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.opening import ImageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.prediction.output import as_csv, as_jsonl, as_table
from zsmld.prediction.results import Prediction, ScoredLabel

LABELS = ("dog", "sea", "[red]", "=cmd()")


def _from(source, digest):
    return Provenance((SourceRecord(source, digest, "word_vectors", 6, composition="mean"),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model with random weights."""
    torch.manual_seed(0)
    backbone = create_backbone(BackboneSpec("timm:test_vit", "random", image_size=32))
    head = MLDecoder(backbone.channels, label_features=6, width=16, heads=2, feed_forward=16, centred=True)
    vectors = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    table = LabelEmbeddings(LABELS, vectors, ("whole",) * 4, _from("absent.txt", "sha256:0"))
    path = tmp_path_factory.mktemp("model")
    save_model(
        path, ZeroShotModel(backbone, head), seen=LABELS[:2], labels=table, backbone_trained=False, about={"a": "b"}
    )
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path / f"{number}.jpg")
    (path / "broken.jpg").write_bytes((path / "0.jpg").read_bytes()[:200])
    return path


@pytest.fixture(scope="module")
def tagger(folder):
    return zsmld.ZeroShotTagger.from_pretrained(folder)


def scores(predictions):
    return [{each.label: each.score for each in prediction.labels} for prediction in predictions]


def test_a_saved_model_is_the_model(folder):
    trained = load_model(folder)
    assert isinstance(trained, TrainedModel) and trained.seen == LABELS[:2]
    again = load_model(folder)
    for name, tensor in trained.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])


def test_labels_are_ranked_and_cut(tagger, photographs):
    (all_labels,) = tagger.predict([photographs / "0.jpg"], LABELS, top_k=0)
    values = [each.score for each in all_labels.labels]
    assert values == sorted(values, reverse=True) and len(values) == 4 and 0 < values[-1] < values[0] < 1
    (cut,) = tagger.predict([photographs / "0.jpg"], LABELS, top_k=2)
    assert cut.labels == all_labels.labels[:2]


def test_other_labels_and_other_photographs_change_no_score(tagger, photographs):
    paths = [photographs / f"{number}.jpg" for number in range(5)]
    together = scores(tagger.predict(paths, LABELS, top_k=0, batch_size=3))
    alone = [scores(tagger.predict([path], LABELS, top_k=0, batch_size=3))[0] for path in paths]
    assert together == alone
    few = scores(tagger.predict(paths, ["sea"], top_k=0, batch_size=3))
    assert all(abs(one["sea"] - many["sea"]) < 1e-6 for one, many in zip(few, together, strict=True))


def test_files_pixels_and_arrays_of_one_photograph_have_one_score(tagger, photographs):
    path = photographs / "0.jpg"
    image = Image.open(path)
    several = tagger.predict([path, str(path), image, np.asarray(image)], LABELS, top_k=0)
    assert [each.labels for each in several] == [several[0].labels] * 4
    assert [str(each.path) for each in several] == [str(path)] * 3 + ["image 4"]
    assert several[0].picture is None and several[3].picture is not None
    with pytest.raises(UsageError, match="a list of them was expected"):
        tagger.predict(path, LABELS)


def test_number_and_threshold_choose_among_the_same_scores(tagger, photographs):
    paths = [photographs / f"{number}.jpg" for number in range(5)]
    everything = tagger.predict(paths, LABELS, top_k=0)
    assert [each.labels for each in tagger.predict(paths, LABELS)] == [each.labels[:5] for each in everything]
    middle = sorted(label.score for each in everything for label in each.labels)[10]
    for whole, above, both in zip(
        everything,
        tagger.predict(paths, LABELS, threshold=middle),
        tagger.predict(paths, LABELS, threshold=middle, top_k=1),
        strict=True,
    ):
        kept = [each.label for each in whole.labels if each.score >= middle]
        assert [each.label for each in above.labels] == kept and [each.label for each in both.labels] == kept[:1]
        assert all(each.is_there and each.threshold == middle for each in above.labels)


def test_an_explanation_adds_where_and_near_to_what_and_changes_no_score(tagger, photographs):
    path = photographs / "0.jpg"
    plain, told = (tagger.predict([path], LABELS, top_k=3, explain=explain)[0].labels for explain in (False, True))
    assert scores([Prediction(path, plain)]) == scores([Prediction(path, told)])
    assert all(each.heatmap is None and not each.nearest for each in plain)
    for each in told:
        assert each.heatmap is not None and each.heatmap.height == each.heatmap.width == 2
        assert min(each.heatmap.levels) == 0 and max(each.heatmap.levels) == 255
        assert each.seen == (each.label in LABELS[:2]) == (not each.nearest)
        assert {label for label, _ in each.nearest} <= set(LABELS[:2])


def test_a_heatmap_is_the_attention_of_its_own_label(tagger, photographs):
    """The highest cell is where attention, computed apart, is highest."""
    from zsmld.decoder.attention import attention_weights

    path = photographs / "1.jpg"
    (told,) = tagger.predict([path], LABELS, top_k=0, explain=True)
    model = tagger.trained.model
    tokens = model.backbone.encode([model.backbone.preprocess.open(path)], 1)
    for each in told.labels:
        vector = torch.from_numpy(tagger.trained.labels.select([each.label]).vectors)
        weights = attention_weights(model.head, tokens, vector)[0, 0]
        assert int(weights.argmax()) == each.heatmap.levels.index(255)
        assert int(weights.argmin()) == each.heatmap.levels.index(0)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_changes_scores_a_little_and_the_model_not_at_all(folder, photographs, precision):
    exact, rounded = (zsmld.ZeroShotTagger.from_pretrained(folder, precision=each) for each in ("float32", precision))
    paths = [photographs / f"{number}.jpg" for number in range(3)]
    before, after = (scores(each.predict(paths, LABELS, top_k=0)) for each in (exact, rounded))
    differences = [abs(a[label] - b[label]) for a, b in zip(before, after, strict=True) for label in a]
    assert 0 < max(differences) < 0.02
    assert {parameter.dtype for parameter in rounded.trained.model.parameters()} == {torch.float32}
    few = scores(rounded.predict(paths, ["sea"], top_k=0))
    assert all(abs(one["sea"] - many["sea"]) < 1e-6 for one, many in zip(few, after, strict=True))


def test_a_photograph_that_cannot_be_read_is_a_record_in_its_place(tagger, photographs):
    paths = [photographs / "0.jpg", photographs / "broken.jpg", photographs / "absent.jpg", photographs / "1.jpg"]
    predictions = tagger.predict(paths, LABELS, batch_size=2)
    assert [prediction.path for prediction in predictions] == paths
    assert [prediction.error is None for prediction in predictions] == [True, False, False, True]


def test_new_words_need_their_source_and_other_spaces_are_refused(tagger):
    with pytest.raises(InputError, match=r"absent\.txt.*--source"):
        tagger.embed(["zebra"])
    assert tagger.embed(["Sea", "DOG"]).labels == ("Sea", "DOG")
    foreign = LabelEmbeddings(("a",), np.ones((1, 6), np.float32), ("x",), _from("b.txt", "sha256:1"))
    with pytest.raises(InputError, match=r"b\.txt, the model was trained with absent\.txt"):
        tagger.embed(foreign)


HOSTILE = [
    Prediction(photo, (ScoredLabel("[/foo]", 0.75), ScoredLabel("=cmd()\x1b[31m", 0.25)))
    for photo in (__import__("pathlib").Path("+a\n.jpg"),)
] + [Prediction(__import__("pathlib").Path("b.jpg"), error=ImageError("is empty", path="b.jpg"))]


def test_jsonl_is_a_record_a_line():
    lines = [json.loads(line) for line in as_jsonl(HOSTILE)]
    shown = {"threshold": 0.5, "seen": False}
    assert lines[0]["labels"] == [
        {"label": "[/foo]", "score": 0.75} | shown, {"label": "=cmd()\x1b[31m", "score": 0.25} | shown
    ]  # fmt: skip
    assert lines[1] == {"path": "b.jpg", "error": "is empty"}
    assert all(line.count("\n") == 1 for line in as_jsonl(HOSTILE))


def test_csv_reads_back_and_holds_no_formula():
    rows = list(csv.DictReader(io.StringIO("".join(as_csv(HOSTILE)), newline="")))
    assert [row["label"] for row in rows] == ["[/foo]", "'=cmd()\x1b[31m", ""]
    assert rows[0]["path"] == "'+a\n.jpg" and rows[2]["error"] == "is empty"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_the_table_shows_labels_as_they_are_and_drives_no_terminal():
    text = "".join(as_table(HOSTILE))
    assert "0.750  [/foo]\n" in text and "\x1b" not in text and "error  is empty" in text
    assert text.splitlines()[0].startswith("+a")
