"""CLIP's scores without training, against the formulas written out one image and label at a time."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from zsmld.decoder.attention import attention_weights
from zsmld.decoder.short_list import decoder_of
from zsmld.decoder.similarity import PATCHES, SHARPNESS, SimilarityHead
from zsmld.errors import UsageError

E = 24


def units(*shape):
    return normalize(torch.randn(*shape, E), dim=-1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def by_hand(tokens, words, reference, scale):
    rows = []
    for image in tokens.double().numpy():
        for word in words.double().numpy():
            above = word - reference.double().numpy()
            logit = image[0] @ above
            if len(image) > 1:
                looks = np.array([math.exp(SHARPNESS * (patch @ word)) for patch in image[1:]])
                pooled = sum(look * (patch @ above) for look, patch in zip(looks, image[1:], strict=True)) / looks.sum()
                logit = (1 - PATCHES) * logit + PATCHES * pooled
            rows.append(scale * logit)
    return torch.tensor(rows).view(len(tokens), len(words)).float()


@pytest.mark.parametrize("patches", [0, 1, 9])
def test_a_softmax_model_holds_a_label_against_the_neutral_text(patches):
    tokens, words, reference = units(3, 1 + patches), units(300), units()
    head = SimilarityHead(E, 100.0, reference=reference)
    expected = by_hand(tokens, words, reference, 100.0)
    torch.testing.assert_close(head(tokens, words), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(head.for_inference(words)(tokens), expected, rtol=0, atol=1e-4)
    # The neutral text itself is as likely as not.
    torch.testing.assert_close(head(tokens, reference[None]), torch.zeros(3, 1), rtol=0, atol=1e-4)


def test_the_probability_is_that_of_a_softmax_over_two_texts():
    tokens, words, reference = units(4, 1), units(5), units()
    probabilities = SimilarityHead(E, 30.0, reference=reference)(tokens, words).sigmoid()
    for at, word in enumerate(words):
        both = (30.0 * tokens[:, 0] @ torch.stack([word, reference]).T).softmax(dim=1)
        torch.testing.assert_close(probabilities[:, at], both[:, 0])


@pytest.mark.parametrize("patches", [0, 4])
def test_a_sigmoid_model_says_it_itself(patches):
    tokens, words = units(3, 1 + patches), units(7)
    head = SimilarityHead(E, 110.0, bias=-12.5)
    expected = 110.0 * tokens[:, 0] @ words.T - 12.5
    torch.testing.assert_close(head(tokens, words), expected)
    torch.testing.assert_close(head.for_inference(words)(tokens), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("images", [1, 5, 40])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_scores_do_not_change_by_a_bit_with_the_labels_that_are_asked_for(kind, images):
    words = units(900)
    rest = {"reference": units()} if kind == "softmax" else {"bias": -10.0}
    head, tokens = SimilarityHead(E, 100.0, **rest), units(images, 50)
    every = head.for_inference(words)(tokens)
    assert every.shape == (images, 900)
    for chosen in ([0], [899, 3], list(range(0, 900, 7)), torch.randperm(900).tolist()):
        assert torch.equal(head.for_inference(words[chosen])(tokens), every[:, chosen])


def test_it_looks_where_the_patches_count():
    tokens, words = units(2, 10), units(3)
    head = SimilarityHead(E, 100.0, reference=units())
    weights = attention_weights(head, tokens, words)
    assert weights.shape == (2, 3, 9)
    expected = (SHARPNESS * words @ tokens[1, 1:].T).softmax(dim=1)
    torch.testing.assert_close(weights[1], expected)
    assert attention_weights(head, tokens[:, :1], words).shape == (2, 3, 0)


def test_what_does_not_fit_is_refused():
    head = SimilarityHead(E, 100.0, reference=units())
    assert (head.label_features, head.num_classes) == (E, None)
    assert not list(head.parameters())
    with pytest.raises(UsageError, match=r"shape \(3, 7\), expected \(labels, 24\)"):
        head.for_inference(torch.zeros(3, 7))
    with pytest.raises(UsageError, match=r"tokens of shape \(1, 2, 7\)"):
        head.for_inference(units(3))(torch.zeros(1, 2, 7))
    with pytest.raises(UsageError, match="either a bias or a reference"):
        SimilarityHead(E, 100.0)
    with pytest.raises(UsageError, match="either a bias or a reference"):
        SimilarityHead(E, 100.0, bias=0.0, reference=units())
    with pytest.raises(UsageError, match="a short list is for a decoder"):
        decoder_of(head.for_inference(units(3)))
