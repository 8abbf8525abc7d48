"""The head against the reference that is written from the paper's equations, logits and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ReferenceMLDecoder

from zsmld import MLDecoder
from zsmld.errors import InputError, UsageError

ZERO_SHOT = {"e": 30}
CLOSED_SET = {"n": 47, "k": 10}


def reference(c=24, width=32, heads=8, feed_forward=48, **kind):
    torch.manual_seed(0)
    return ReferenceMLDecoder(c, width, heads, feed_forward, **kind).eval()


def arguments(kind, labels=9):
    return (torch.randn(labels, kind["e"]),) if "e" in kind else ()


@pytest.mark.parametrize("prefix", ["", "head.", "fc.", "module.head."])
@pytest.mark.parametrize("kind", [ZERO_SHOT, CLOSED_SET, {"e": 32}, {"n": 5, "k": 5}])
def test_converted_head_gives_the_logits_of_the_published_equations(kind, prefix):
    theirs = reference(**kind)
    published = {prefix + key: value for key, value in theirs.state_dict().items()} | {
        "body.conv1.weight": torch.zeros(3)
    }
    ours = MLDecoder.from_published(published)
    tokens, words = torch.randn(4, 7, 24), arguments(kind)
    torch.testing.assert_close(ours(tokens, *words), theirs(tokens, *words), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [ZERO_SHOT, CLOSED_SET])
def test_gradients_are_those_of_the_published_equations(kind):
    theirs = reference(**kind)
    ours = MLDecoder.from_published(theirs.state_dict())
    tokens, words, weights = torch.randn(3, 5, 24), arguments(kind), torch.randn(3, 1)
    inputs = [tokens.clone().requires_grad_() for _ in range(2)]
    (ours(inputs[0], *words) * weights).sum().backward()
    (theirs(inputs[1], *words) * weights).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-5, rtol=1e-4)
    converted = MLDecoder.from_published({key: value.grad for key, value in _with_gradients(theirs).items()})
    gradients = dict(ours.named_parameters())
    for name, expected in converted.named_parameters():
        # The key's bias adds the same to all tokens of a query: its gradient is zero, and is not computed here.
        gradient = torch.zeros_like(expected) if name.endswith("key.bias") else gradients[name].grad
        torch.testing.assert_close(gradient, expected.detach(), atol=1e-5, rtol=1e-4, msg=name)


def _with_gradients(module):
    named = dict(module.named_parameters())
    if "decoder.query_embed.weight" in named:  # fixed in ours: no gradient to compare
        named["decoder.query_embed.weight"].grad = torch.zeros_like(named["decoder.query_embed.weight"])
    return named


@given(
    c=st.integers(1, 9), e=st.integers(1, 9), heads=st.integers(1, 3), per_head=st.integers(1, 4),
    feed_forward=st.integers(1, 9), batch=st.integers(1, 3), tokens=st.integers(1, 4), labels=st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_any_sizes(c, e, heads, per_head, feed_forward, batch, tokens, labels):
    theirs = ReferenceMLDecoder(c, heads * per_head, heads, feed_forward, e=e).eval()
    if e == heads * per_head:
        return
    ours = MLDecoder.from_published(theirs.state_dict(), heads=heads)
    x, words = torch.randn(batch, tokens, c), torch.randn(labels, e)
    torch.testing.assert_close(ours(x, words), theirs(x, words), atol=1e-5, rtol=0)


def test_a_feature_map_is_its_sequence_of_tokens():
    head = MLDecoder(6, label_features=5, width=8, heads=2, feed_forward=16).eval()
    feature_map, words = torch.randn(2, 6, 3, 4), torch.randn(7, 5)
    sequence = feature_map.flatten(2).transpose(1, 2)
    assert torch.equal(head(feature_map, words), head(sequence, words))


def test_a_label_scores_the_same_whatever_else_is_asked():
    head = MLDecoder(6, label_features=5, width=8, heads=2, feed_forward=16, centred=True).eval()
    tokens, words = torch.randn(2, 9, 6), torch.randn(40, 5)
    torch.testing.assert_close(head(tokens, words)[:, 3:5], head(tokens, words[3:5]), atol=1e-6, rtol=0)


def test_the_order_of_tokens_does_not_matter_and_every_image_stands_alone():
    head = MLDecoder(6, num_classes=11, groups=3, width=8, heads=2, feed_forward=16).eval()
    tokens = torch.randn(3, 9, 6)
    torch.testing.assert_close(head(tokens), head(tokens[:, torch.randperm(9)]), atol=1e-5, rtol=0)
    torch.testing.assert_close(head(tokens)[1:2], head(tokens[1:2]), atol=1e-5, rtol=0)


def test_dropout_differs_between_images_in_training_and_is_off_in_eval():
    head = MLDecoder(6, label_features=5, width=64, heads=2, feed_forward=16, dropout=0.5)
    tokens, words = torch.randn(1, 9, 6).expand(2, -1, -1), torch.randn(4, 5)
    first, second = head(tokens, words)
    assert not torch.allclose(first, second)
    first, second = head.eval()(tokens, words)
    torch.testing.assert_close(first, second)


def test_centred_queries_forget_a_common_part_and_the_length_of_vectors():
    head = MLDecoder(6, label_features=5, width=8, heads=2, feed_forward=16, centred=True).eval()
    words, tokens = torch.randn(4, 5), torch.randn(1, 2, 6)
    head.queries.fit_centre(words)
    before = head(tokens, words)
    head.queries.fit_centre(3 * words + 7)
    torch.testing.assert_close(head(tokens, 3 * words + 7), before, atol=1e-5, rtol=1e-4)


def test_fixed_queries_are_saved_but_never_trained():
    head = MLDecoder(6, num_classes=11, width=8, heads=2, feed_forward=16)
    assert "queries.weight" in head.state_dict()
    assert "queries.weight" not in dict(head.named_parameters())
    assert head.readout.weight.shape == (11, 8, 1)  # never more groups than classes


@pytest.mark.parametrize(
    "sizes",
    [
        {"in_features": 4},
        {"in_features": 4, "label_features": 3, "num_classes": 2},
        {"in_features": 0, "label_features": 3},
        {"in_features": 4, "label_features": 3, "groups": 2},
        {"in_features": 4, "label_features": 3, "width": 10, "heads": 4},
        {"in_features": 4, "label_features": 3, "width": 8, "heads": 4, "projected": False},
        {"in_features": 4, "num_classes": 3, "groups": 0},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(UsageError):
        MLDecoder(**sizes)


def test_wrong_shapes_are_refused_in_words():
    head = MLDecoder(6, label_features=5, width=8, heads=2, feed_forward=16)
    for tokens, words in [((2, 9, 7), (4, 5)), ((2, 9, 6), (4, 6)), ((9, 6), (4, 5)), ((2, 9, 6), None)]:
        with pytest.raises(UsageError):
            head(torch.randn(tokens), None if words is None else torch.randn(words))
    with pytest.raises(UsageError, match="closed-set"):
        MLDecoder(6, num_classes=3, width=8, heads=2)(torch.randn(2, 9, 6), torch.randn(4, 5))


@pytest.mark.parametrize("kind", [ZERO_SHOT, CLOSED_SET])
def test_a_published_state_dict_with_any_tensor_missing_or_misshapen_is_refused(kind):
    published = reference(**kind).state_dict()
    for key, tensor in published.items():
        missing = {name: value for name, value in published.items() if name != key}
        misshapen = published | {key: torch.zeros(*(size + 1 for size in tensor.shape), 2)}
        optional = {"wordvec_proj.weight", "wordvec_proj.bias"}
        for broken in [missing] * (key not in optional) + [misshapen]:
            with pytest.raises((InputError, UsageError)):
                MLDecoder.from_published(broken)
