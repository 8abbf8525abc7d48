"""A linear path, alone and beside a decoder: one module, its vocabulary an argument, exact in every form."""

import pytest
import torch

from zsmld.decoder.attention import attention_weights
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.linear import LinearPath
from zsmld.decoder.short_list import ShortList, decoder_of
from zsmld.decoder.short_list_fit import calibrate
from zsmld.decoder.two_path import TwoPathHead
from zsmld.errors import UsageError

C, E, S, T, B, LABELS = 12, 6, 9, 5, 4, 300
KINDS = {
    "eszsl": {"bilinear": True, "convex": False, "unit": False},
    "conse": {"bilinear": False, "convex": True, "sharpness": 2.0, "best": 4},
    "ours": {"bilinear": True, "convex": True, "standardised": True},
}


def fitted(kind):
    """A path whose buffers are drawn: what a fit could have left."""
    torch.manual_seed(0)
    path = LinearPath(C, E, S, **KINDS[kind])
    for buffer in path.buffers():
        buffer.copy_(torch.randn_like(buffer))
    path.deviation.abs_().add_(0.5)
    path.scale.fill_(1.3)
    path.seen.copy_(torch.nn.functional.normalize(path.seen, dim=1))
    if path.standardised:
        root = torch.randn(E + C, E + C)
        path.moment_covariance.copy_(root @ root.T / (E + C))
    return path.eval()


def both(gate=0.4):
    torch.manual_seed(1)
    decoder = MLDecoder(C, label_features=E, width=16, heads=2, feed_forward=24)
    return TwoPathHead(fitted("ours"), decoder, gate=gate, scale=0.7, shift=-0.2).eval()


HEADS = {kind: lambda kind=kind: TwoPathHead(fitted(kind)).eval() for kind in KINDS} | {"both": both}


@pytest.fixture(params=HEADS)
def head(request):
    return HEADS[request.param]()


@pytest.fixture
def tokens():
    torch.manual_seed(2)
    return torch.randn(B, T, C)


@pytest.fixture
def words():
    torch.manual_seed(3)
    return torch.randn(LABELS, E)


def test_inference_gives_the_same(head, tokens, words):
    with torch.inference_mode():
        plain = head(tokens, words)
    assert plain.shape == (B, LABELS) and torch.isfinite(plain).all()
    torch.testing.assert_close(head.for_inference(words)(tokens), plain, atol=1e-5, rtol=0)
    feature_map = tokens.transpose(1, 2).reshape(B, C, T, 1)
    torch.testing.assert_close(head.for_inference(words)(feature_map), plain, atol=1e-5, rtol=0)
    half = head.for_inference(words, torch.bfloat16)(tokens)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, atol=0.05, rtol=0.05)


def test_other_labels_and_images_have_no_say(head, tokens, words):
    with torch.inference_mode():
        everything = head(tokens, words)
        some = head(tokens[1:2], words[[7, 3, 3]])
    torch.testing.assert_close(some, everything[1:2][:, [7, 3, 3]], atol=1e-5, rtol=0)


def test_it_is_built_again_from_its_sizes_and_state(head, tokens, words):
    again = TwoPathHead.from_sizes(head.sizes)
    again.load_state_dict(head.state_dict())
    with torch.inference_mode():
        assert torch.equal(again.eval()(tokens, words), head(tokens, words))
    assert head.label_features == E and head.num_classes is None


def test_the_gate_goes_from_one_path_to_the_other(tokens, words):
    with torch.inference_mode():
        linear, decoder = both(0.0), both(1.0)
        alone = linear.linear(tokens.mean(dim=1), words)
        assert torch.equal(linear(tokens, words), alone)
        expected = 0.7 * decoder.decoder(tokens, words) - 0.2
        torch.testing.assert_close(decoder(tokens, words), expected)
        torch.testing.assert_close(both(0.4)(tokens, words), 0.6 * alone + 0.4 * expected)


def test_a_seen_label_has_its_own_classifier_and_offset(tokens):
    path = fitted("ours")
    seen = path.seen + path.centre  # what the units of are the seen labels themselves
    kin = path.kinship(path.units(seen))
    assert (kin.sum(dim=1) <= 1 + 1e-6).all() and (kin.diagonal() > 0.5).all()
    before = path(tokens.mean(dim=1), seen)
    path.own_offsets[2] += 1.0
    moved = path(tokens.mean(dim=1), seen) - before
    torch.testing.assert_close(moved, kin[:, 2].expand(B, -1), atol=1e-5, rtol=0)
    far = -seen[2:3]
    assert float(path.kinship(path.units(far))[0, 2]) < 1e-6


def test_scores_without_a_fit_are_none(tokens, words):
    assert torch.isnan(LinearPath(C, E, S, **KINDS["ours"])(tokens.mean(dim=1), words)).all()


def test_what_does_not_fit_is_refused(tokens, words):
    with pytest.raises(UsageError, match="a bilinear or a convex direction"):
        LinearPath(C, E, S, bilinear=False, convex=False)
    head = both()
    with pytest.raises(UsageError, match=r"expected \(labels, 6\)"):
        head(tokens, words[:, :4])
    with pytest.raises(UsageError, match=r"expected \(B, T, 12\)"):
        head.for_inference(words)(tokens[:, :, :4])


def test_attention_is_the_decoders_or_that_of_tokens(tokens, words):
    head = both()
    assert torch.equal(attention_weights(head, tokens, words[:3]), attention_weights(head.decoder, tokens, words[:3]))
    alone = TwoPathHead(fitted("eszsl")).eval()
    found = attention_weights(alone, tokens, words[:3])
    assert found.shape == (B, 3, T)
    for image in range(B):
        own = torch.stack([alone.linear(tokens[image, [at]], words[:3])[0] for at in range(T)])
        torch.testing.assert_close(found[image], torch.softmax(own.T, dim=1))


def test_a_short_list_ranks_by_both_paths(words):
    torch.manual_seed(4)
    images = torch.randn(16, T, C)
    head = both()
    score = head.for_inference(words)
    found = calibrate(score, images)
    assert 0.5 < found.recall <= 1
    labels, logits = ShortList(score, found.weight, found.share)(images[:3], 5)
    full = score(images[:3])
    torch.testing.assert_close(logits, full.gather(1, labels), atol=1e-5, rtol=0)
    labels, logits = ShortList(score, found.weight, 1.0)(images[:3], 5)
    torch.testing.assert_close(logits, full.topk(5).values, atol=1e-5, rtol=0)
    # With nothing of the decoder, the linear path alone picks, and picks right.
    linear = both(0.0).for_inference(words)
    labels, _ = ShortList(linear, torch.randn(16), 0.04)(images[:3], 5)
    assert torch.equal(labels, linear(images[:3]).topk(5).indices)
    with pytest.raises(UsageError, match="a linear path alone"):
        decoder_of(TwoPathHead(fitted("ours")).for_inference(words))


def test_it_is_exported_with_any_number_of_images_tokens_and_labels(head, tokens, words):
    size = {name: torch.export.Dim(name, min=1) for name in ("images", "tokens", "labels")}
    shapes = ({0: size["images"], 1: size["tokens"]}, {0: size["labels"]})
    exported = torch.export.export(head, (tokens, words), dynamic_shapes=shapes).module()
    for images, count, labels in ((2, 3, 2), (7, 49, 500), (1, 9, 1)):
        other, vocabulary = torch.randn(images, count, C), torch.randn(labels, E)
        torch.testing.assert_close(exported(other, vocabulary), head(other, vocabulary), atol=1e-5, rtol=1e-5)
