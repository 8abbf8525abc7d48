"""The rearranged decoder against `layer.py`: the same logits, whatever the sizes; bounded memory; the cheaper form."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ReferenceMLDecoder
from torch.utils._python_dispatch import TorchDispatchMode

from zsmld.decoder import inference
from zsmld.decoder.head import MLDecoder
from zsmld.errors import UsageError

C, E, D, H, F = 12, 10, 16, 4, 24


def disturbed(head, scale=0.3):
    """A head of which nothing is 0 or 1, as after training."""
    generator = torch.Generator().manual_seed(1)
    for parameter in head.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return head.eval()


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = disturbed(MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F, centred=True))
    head.layer.attention_norm.eps = 0.1
    return head


@pytest.fixture(params=["direct", "folded", "gathered"])
def form(request, monkeypatch):
    monkeypatch.setattr(inference, "cheapest_form", lambda *_: request.param)
    return request.param


@pytest.mark.parametrize(("images", "queries", "tokens"), list(itertools.product([1, 3, 9], [1, 2, 7, 30], [1, 5, 50])))
@pytest.mark.parametrize("rows", [1, 4, 512])
def test_all_forms_give_the_logits_of_the_plain_layer(head, form, monkeypatch, images, queries, tokens, rows):
    monkeypatch.setattr(inference, "ROWS", max(rows, 1))
    words, x = torch.randn(queries, E), torch.randn(images, tokens, C)
    with torch.inference_mode():
        expected = head(x, words)
    torch.testing.assert_close(head.for_inference(words)(x), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("classes", "groups"), [(1, 1), (7, 3), (7, 7), (40, 5), (250, None)])
def test_closed_set_heads_too(form, monkeypatch, classes, groups):
    monkeypatch.setattr(inference, "ROWS", 6)
    head = disturbed(MLDecoder(C, num_classes=classes, groups=groups, width=D, heads=H, feed_forward=F))
    x = torch.randn(4, 5, C)
    with torch.inference_mode():
        expected = head(x)
    assert expected.shape == (4, classes)
    torch.testing.assert_close(head.for_inference()(x), expected, atol=2e-5, rtol=0)


def test_against_the_equations_at_the_sizes_of_the_paper(form):
    torch.manual_seed(3)
    reference = disturbed(ReferenceMLDecoder(64, 768, 8, 2048, e=300), scale=0.02)
    head = MLDecoder.from_published(reference.state_dict())
    words, x = torch.randn(40, 300), torch.randn(2, 49, 64)
    with torch.inference_mode():
        expected = reference(x, words)
    assert (head.for_inference(words)(x) - expected).abs().max() < 1e-4
    assert torch.equal(head.for_inference(words)(x).topk(10).indices, expected.topk(10).indices)


@settings(max_examples=30)
@given(st.floats(0.01, 30), st.floats(-20, 20), st.sampled_from(["folded", "gathered"]))
def test_large_and_shifted_activations_stay_exact(scale, shift, form):
    torch.manual_seed(0)
    head = disturbed(MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F))
    with torch.no_grad():
        head.layer.contract.bias += shift
        head.layer.attention.output.bias += shift
        head.layer.attention.value.bias += shift
        head.layer.attention.key.bias += shift
        head.layer.attention.value.weight *= scale
    words, x = torch.randn(20, E), torch.randn(2, 3, C)
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "cheapest_form", lambda *_: form)
        plain = head.double()(x.double(), words.double())
        torch.testing.assert_close(head.float().for_inference(words)(x).double(), plain, atol=1e-4, rtol=1e-5)


def test_feature_maps_are_taken_and_wrong_shapes_are_not(head):
    words = torch.randn(3, E)
    score = head.for_inference(words)
    x = torch.randn(2, C, 2, 3)
    with torch.inference_mode():
        torch.testing.assert_close(score(x), head(x, words), atol=2e-5, rtol=0)
    with pytest.raises(UsageError, match="tokens of shape"):
        score(torch.randn(2, 3, C + 1))
    with pytest.raises(UsageError, match="needs label embeddings"):
        head.for_inference()


def test_it_leaves_the_head_alone(head):
    before = {name: value.clone() for name, value in head.state_dict().items()}
    words, x = torch.randn(30, E), torch.randn(2, 3, C)
    head.for_inference(words)(x)
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())
    head(x, words).sum().backward()  # still trainable


def test_the_form_with_the_fewest_multiplications_is_taken():
    grid = itertools.product((1, 20, 81, 925, 21_000), (1, 49, 196, 576))
    taken = {(queries, tokens): inference.cheapest_form(queries, tokens, 768, 2048, 8) for queries, tokens in grid}
    folded = {(20, 1), (81, 1), (925, 1), (21_000, 1), (925, 49), (21_000, 49)}
    gathered = {(1, 1), (1, 49), (1, 196), (1, 576), (20, 49), (20, 196), (20, 576), (81, 576)}
    assert {sizes for sizes, form in taken.items() if form == "folded"} == folded
    assert {sizes for sizes, form in taken.items() if form == "gathered"} == gathered
    # Products of few rows are slow, so that the count says nothing.
    counts = inference.multiplications(8, 1, 768, 2048, 8)
    assert min(counts, key=counts.get) == "folded" and inference.cheapest_form(8, 1, 768, 2048, 8) == "direct"


def test_multiplications_are_those_that_are_made(form):
    """Counted by PyTorch, of one image and one chunk; the embedding of the tokens is common to all forms."""
    from torch.utils.flop_counter import FlopCounterMode

    queries, tokens = 40, 6
    head = disturbed(MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F))
    score, x = head.for_inference(torch.randn(queries, E)), torch.randn(1, tokens, C)
    score(x)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        score(x)
    counted = counter.get_total_flops() / 2 - tokens * C * D - queries * D  # tokens and readout
    # The folded form has one more column, σ.
    more = queries * F if form == "folded" else 0
    assert counted == inference.multiplications(queries, tokens, D, F, H)[form] + more


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation gives back."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.bytes = max(self.bytes, result.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("queries", [40, 2_000, 21_000])
def test_no_tensor_grows_with_the_vocabulary_but_its_own(form, queries):
    head = disturbed(MLDecoder(32, label_features=E, width=64, heads=4, feed_forward=512))
    score = head.for_inference(torch.randn(queries, E))
    x = torch.randn(4, 9, 32)
    score(x)
    with Largest() as largest:
        logits = score(x)
    # The logits come out in chunks, and the weights and what is kept of the vocabulary are only looked at.
    kept = 4 * queries * 512
    assert largest.bytes <= max(4 * inference.ROWS * 512 * 1.3, kept if form == "folded" else 4 * queries * 64 * 4)
    assert logits.shape == (4, queries)


@pytest.mark.parametrize(("images", "queries", "tokens"), [(4, 200, 9), (400, 200, 9), (900, 1, 40)])
def test_no_tensor_grows_with_the_images_but_input_and_logits(images, queries, tokens):
    # Input and logits are small here, compared with everything between them.
    head = disturbed(MLDecoder(4, label_features=E, width=64, heads=4, feed_forward=512))
    score = head.for_inference(torch.randn(queries, E))
    x = torch.randn(images, tokens, 4)
    score(x[:1])
    with Largest() as largest:
        score(x)
    assert largest.bytes <= max(
        4 * inference.ROWS * 512 * 1.3, 4 * inference.TOKENS * 64, x.nbytes, 4 * images * queries
    )


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision_rounds_and_leaves_the_head_alone(form, dtype, bound):
    torch.manual_seed(0)
    zero_shot = disturbed(MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F, centred=True), 0.05)
    closed_set = disturbed(MLDecoder(C, num_classes=30, groups=4, width=D, heads=H, feed_forward=F), 0.05)
    words, x = torch.randn(30, E), torch.randn(3, 5, C)
    for head, labels in ((zero_shot, words), (closed_set, None)):
        exact, rounded = head.for_inference(labels)(x), head.for_inference(labels, dtype)(x)
        assert rounded.dtype == torch.float32 and head.for_inference(labels, dtype).queries.dtype == dtype
        assert form and 0 < (rounded - exact).abs().max() < bound * exact.std()
        assert {parameter.dtype for parameter in head.parameters()} == {torch.float32}


def test_the_heads_own_type_is_kept():
    head = disturbed(MLDecoder(C, label_features=E, width=D, heads=H, feed_forward=F)).double()
    assert head.for_inference(torch.randn(3, E).double())(torch.randn(1, 2, C)).dtype == torch.float64
