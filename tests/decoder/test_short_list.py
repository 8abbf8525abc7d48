"""The short list: a linear probe after attention, scores of the decoder itself, a recall that was measured."""

import numpy as np
import pytest
import torch

from zsmld import files
from zsmld.decoder import short_list, short_list_fit
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.short_list import TOP, ShortList
from zsmld.decoder.short_list_fit import Calibration, calibrate
from zsmld.errors import InputError, UsageError
from zsmld.tensors import read_tensors, write_tensors

C, E, D, H, F = 12, 10, 16, 4, 24
LABELS, TOKENS = 1200, 7


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F, centred=True)
    for parameter in head.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return head.eval()


@pytest.fixture
def words():
    return torch.randn(LABELS, E, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def x():
    return torch.randn(24, TOKENS, C, generator=torch.Generator().manual_seed(2))


def exact(head, words, x):
    with torch.inference_mode():
        return head(x, words)


def explicit_probe(head, words, x, weight):
    """(B,N): what goes on after attention, in the plain layer, times the weight."""
    layer = head.layer
    with torch.inference_mode():
        q = layer.query_norm(2 * head.queries_of(words)).unsqueeze(0)
        return (q + layer.attention(q, head.memory(x))) @ weight


@pytest.mark.parametrize("labels_at_once", [1, 100, 4096])
def test_the_probe_is_the_product_with_what_comes_out_of_attention(head, words, x, monkeypatch, labels_at_once):
    monkeypatch.setattr(short_list, "_LABELS", labels_at_once)
    weight = torch.randn(D)
    probe = ShortList(head.for_inference(words[:300]), weight, 0.1)
    expected = explicit_probe(head, words[:300], x[:1], weight)
    with torch.inference_mode():
        ranked = probe.ranked(x[:1])
    difference = expected - ranked
    # The same but for a number that all labels have in common.
    torch.testing.assert_close(difference, difference.mean().expand_as(difference), atol=1e-4, rtol=0)


def test_with_all_labels_on_the_list_it_is_the_exact_ranking(head, words, x):
    words = torch.cat([words[:200], words[:200]])  # every label ties with another one
    labels, scores = ShortList(head.for_inference(words), torch.randn(D), 1.0)(x[:5], 30)
    logits = exact(head, words, x[:5])
    expected = np.argsort(-logits.numpy(), axis=1, kind="stable")[:, :30]
    assert scores.shape == labels.shape == (5, 30)
    torch.testing.assert_close(scores, logits.gather(1, torch.from_numpy(expected)), atol=2e-5, rtol=0)
    pairs = labels.view(5, 15, 2)
    assert torch.equal(pairs[..., 0] + 200, pairs[..., 1])


@pytest.mark.parametrize("shape", [(6, TOKENS, C), (6, C, 1, TOKENS)])
def test_every_score_is_the_decoders_own(head, words, x, shape):
    tokens = x[:6]
    given = tokens if len(shape) == 3 else tokens.transpose(1, 2).unsqueeze(2)
    assert given.shape == shape
    labels, scores = ShortList(head.for_inference(words), torch.randn(D), 0.02)(given)
    logits = exact(head, words, tokens)
    assert labels.shape == (6, TOP)
    assert not torch.equal(labels, logits.topk(TOP).indices)  # this probe is none: it misses some
    torch.testing.assert_close(scores, logits.gather(1, labels), atol=2e-5, rtol=0)
    assert (scores.diff(dim=1) <= 0).all()


def test_it_decodes_no_more_than_the_list(head, words, x, monkeypatch):
    decoded = []
    listed = ShortList(head.for_inference(words), torch.randn(D), 0.05)
    original = listed.head.read_out
    monkeypatch.setattr(listed.head, "read_out", lambda y, chunk: decoded.append(y.shape[1]) or original(y, chunk))
    listed(x[:3])
    assert decoded == [60, 60, 60]
    decoded.clear()
    assert listed(x[:1], 70)[0].shape == (1, 70)
    assert decoded == [70]
    assert listed(x[:1], 10_000)[0].shape == (1, LABELS)


def test_logits_of_attention_too_large_for_their_exponential_do_no_harm(head, words, x):
    head.layer.attention.query.weight.data *= 1e4
    probe = ShortList(head.for_inference(words), torch.randn(D), 0.05)
    with torch.inference_mode():
        assert torch.isfinite(probe.ranked(x[:1])).all()


def test_what_is_calibrated_finds_the_best_labels_and_says_how_many(head, words, x):
    score = head.for_inference(words)
    found = calibrate(score, x)
    assert (found.images, found.labels) == (6, LABELS)
    assert 0 < found.share <= 0.5
    labels, _ = ShortList(score, found.weight, found.share)(x[18:])
    best = exact(head, words, x[18:]).topk(TOP).indices
    kept = [len(set(row) & set(own)) for row, own in zip(labels.tolist(), best.tolist(), strict=True)]
    assert found.recall == pytest.approx(sum(kept) / (6 * TOP))
    assert found.recall > 0.9
    assert torch.equal(calibrate(score, x).weight, found.weight)


def test_a_probe_that_is_none_has_a_bad_recall(head, words, x, monkeypatch):
    monkeypatch.setattr(short_list_fit, "_fitted", lambda *_: torch.randn(D))
    monkeypatch.setattr(short_list_fit, "_MARGIN", 0.1)
    assert calibrate(head.for_inference(words), x).recall < 0.7


def test_no_image_has_two_parts(head, words, x, monkeypatch):
    fitted, placed = [], []
    fit, places = short_list_fit._fitted, short_list_fit._places
    monkeypatch.setattr(short_list_fit, "_fitted", lambda *given: fitted.append(given[1]) or fit(*given))
    monkeypatch.setattr(short_list_fit, "_places", lambda *given: placed.append(given[1]) or places(*given))
    calibrate(head.for_inference(words), x)
    assert torch.equal(torch.cat([*fitted, *placed]), x)
    assert len(fitted[0]) == 12


def test_the_seed_draws_other_labels(head, words, x):
    score = head.for_inference(words)
    assert not torch.equal(calibrate(score, x, seed=1).weight, calibrate(score, x).weight)


def test_the_fit_finds_a_linear_function_whatever_all_labels_of_an_image_have_in_common(head, words, x):
    weight = torch.randn(D)

    class Linear(type(head.for_inference(words))):
        def __call__(self, tokens):
            return explicit_probe(head, words, tokens, weight) + 1000 * tokens.mean()

    found = short_list_fit._fitted(Linear(head, words), x[:4], torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, weight, atol=0.1, rtol=0)


@pytest.mark.parametrize(("images", "labels", "told"), [(7, 1200, "7 images"), (24, 99, "99 labels")])
def test_too_few_to_calibrate_on(head, words, x, images, labels, told):
    with pytest.raises(UsageError, match=f"{told}, expected at least"):
        calibrate(head.for_inference(words[:labels]), x[:images])


def test_closed_set_heads_have_none():
    with pytest.raises(UsageError, match="closed-set"):
        ShortList(MLDecoder(C, num_classes=5, width=D, heads=H).eval().for_inference(), torch.zeros(D), 0.5)


@pytest.fixture
def folder(tmp_path):
    files.write_json(tmp_path / "config.json", {"weights_digest": "abc"})
    return tmp_path


CALIBRATION = Calibration(torch.arange(4.0), 0.0125, 0.9958333333333333, 24, 21_000)


def test_it_is_kept_with_the_model(folder):
    assert Calibration.load(folder) is None
    CALIBRATION.save(folder)
    loaded = Calibration.load(folder)
    assert torch.equal(loaded.weight, CALIBRATION.weight)
    assert (loaded.share, loaded.recall, loaded.images, loaded.labels) == (0.0125, 0.9958333333333333, 24, 21_000)
    assert "99.6%" in loaded.told()
    assert "21000 labels on 24 photographs" in loaded.told()
    assert "1.25%" in loaded.told()


def test_one_of_other_weights_is_refused(folder):
    CALIBRATION.save(folder)
    files.write_json(folder / "config.json", {"weights_digest": "def"}, force=True)
    with pytest.raises(InputError, match=r"short_list.safetensors: was made for other weights.*zsmld short-list"):
        Calibration.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("share", "0"), ("share", "nan"), ("share", "x"), ("recall", "1.5"), ("format", "2"), ("images", "")],
)
def test_a_damaged_one_is_refused(folder, key, value):
    CALIBRATION.save(folder)
    path = folder / short_list_fit.FILE_NAME
    arrays, metadata = read_tensors(path)
    metadata.pop("content_digest")
    write_tensors(path, arrays, {**metadata, key: value})
    with pytest.raises(InputError, match="is no short list"):
        Calibration.load(folder)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="zsmld short-list"):
        Calibration.load(folder)


def test_a_weight_that_is_no_number_is_refused(folder):
    Calibration(torch.tensor([1.0, float("nan")]), 0.1, 1.0, 8, 200).save(folder)
    with pytest.raises(InputError, match="is no short list"):
        Calibration.load(folder)
