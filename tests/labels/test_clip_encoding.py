"""Prompts at their own length against open_clip's own encoding at full length, for text towers of every kind."""

import functools

import open_clip
import pytest
import tiny_clip
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_clip import SIGLIP_TEXT, TEXT

from zsmld.labels import clip_encoding
from zsmld.labels.clip_encoding import encode

VIT = tiny_clip.CONFIGS["vit"]
END = 49407
BY_NUMBER = {"pool_type": "eos", "eos_id": END, "proj_bias": True}
PROMPTS = (
    "a photo of a dog.",
    "dog",
    "a photo of a polar bear on the ice.",
    "dog.",
    "",
    "curly {} label, (seen) ünd so",
)
# Name → configuration, and whether padding is left out.
TOWERS = {
    "clip": (VIT, True),
    "quickgelu": ({**VIT, "quick_gelu": True}, True),
    "end by number": ({**VIT, "text_cfg": {**TEXT, **BY_NUMBER}}, True),
    "other blocks": ({**VIT, "text_cfg": {**TEXT, "qk_norm": True, "scale_heads": True}}, True),
    "text tower of its own": ({**VIT, "custom_text": True}, True),
    "its own, quickgelu": ({**VIT, "custom_text": True, "quick_gelu": True, "text_cfg": {**TEXT, **BY_NUMBER}}, True),
    "dictionaries": ({**VIT, "output_dict": True}, True),
    "both directions": ({**VIT, "text_cfg": {**TEXT, "no_causal_mask": True}}, False),
    "last token": ({**VIT, "text_cfg": {**TEXT, "pool_type": "last"}}, False),
    "class token": ({**VIT, "custom_text": True, "text_cfg": {**TEXT, "embed_cls": True}}, False),
    "siglip": ({**VIT, "custom_text": True, "text_cfg": SIGLIP_TEXT}, False),
    "coca": (tiny_clip.CONFIGS["coca"], False),
}  # fmt: skip


@functools.cache
def tokenizer():
    return open_clip.SimpleTokenizer(context_length=TEXT["context_length"])


def tokenized(prompts):
    return tokenizer()(list(prompts))


def encoded(model, tokens):
    with torch.inference_mode():
        pairs = list(encode(model, tokens))
    rows, features = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    assert sorted(rows.tolist()) == list(range(len(tokens)))
    return features[rows.argsort()]


@pytest.mark.parametrize("name", TOWERS)
def test_features_are_those_of_the_full_length(name, monkeypatch):
    config, is_cut = TOWERS[name]
    model = tiny_clip.build(config)
    tokens = tokenized(PROMPTS)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True)
    lengths = set()
    call = torch.nn.Module.__call__

    def spied(module, *arguments, **options):
        if type(module).__name__ == "Transformer":
            lengths.add(arguments[0].shape[1])
        return call(module, *arguments, **options)

    monkeypatch.setattr(torch.nn.Module, "__call__", spied)
    found = encoded(model, tokens)
    monkeypatch.undo()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    counted = {int(length) for length in (tokens == END).int().argmax(dim=1) + 1}
    full = TEXT["context_length"] + (name in ("coca", "class token"))
    assert lengths == (counted if is_cut else {full})
    assert len(counted) > 3 and max(counted) < TEXT["context_length"]
    # The model is as it was.
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    with torch.inference_mode():
        assert torch.equal(model.encode_text(tokens, normalize=True), expected)


def test_prompts_that_fill_the_context_and_those_that_are_cut():
    model = tiny_clip.build(VIT)
    tokens = tokenized([" ".join(["dog"] * count) for count in (1, 21, 22, 23, 40)])
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(encoded(model, tokens), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_prompt_does_not_depend_on_the_others(name):
    model = tiny_clip.build(TOWERS[name][0])

    @settings(max_examples=20)
    @given(st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=40), st.integers(0, 39))
    def check(prompts, place):
        place %= len(prompts)
        among = encoded(model, tokenized(prompts))[place]
        assert torch.equal(among, encoded(model, tokenized([prompts[place]]))[0])

    check()


def test_batches_are_full_and_no_larger(monkeypatch):
    monkeypatch.setattr(clip_encoding, "PROMPTS_AT_ONCE", 4)
    model = tiny_clip.build(VIT)
    sizes = []
    model.token_embedding.register_forward_hook(lambda *seen: sizes.append(seen[-1].shape[:2]))
    tokens = tokenized(["dog"] * 9 + ["a photo of a dog"] * 2)
    assert encoded(model, tokens).shape == (11, 24)
    assert sizes == [(4, 3), (4, 3), (4, 3), (4, 7)]
