from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zsmld.errors import UsageError, ZsmldError
from zsmld.labels.source_spec import KEYS, complete_source, parse_source, parse_sources

NAMES = st.text(st.characters(categories=["L", "N"], include_characters="-_. "), min_size=1, max_size=8).filter(
    lambda name: name.strip() not in {"", ".", ".."}
)


def test_every_option_is_parsed_and_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = parse_source("v.npz::words=a.txt,b.txt::array=vecs::order=alphabetical::weight=0.5")
    assert (spec.kind, spec.name, spec.weight) == ("file", str(tmp_path / "v.npz"), 0.5)
    assert (spec.words, spec.array, spec.alphabetical) == ((tmp_path / "a.txt", tmp_path / "b.txt"), "vecs", True)
    spec = parse_source("~/v.zip::member=glove.6B.50d.txt::fallback=w.bin")
    assert (spec.name, spec.member) == (str(Path("~/v.zip").expanduser()), "glove.6B.50d.txt")
    assert spec.fallback == str(tmp_path / "w.bin")
    spec = parse_source("gensim:glove-twitter-25::fallback=gensim:glove-wiki-gigaword-50")
    assert (spec.kind, spec.name, spec.fallback) == ("gensim", "glove-twitter-25", "gensim:glove-wiki-gigaword-50")
    spec = parse_source("open_clip:ViT-B-32@w.safetensors::weight=3")
    assert (spec.kind, spec.name, spec.weight) == ("open_clip", "open_clip:ViT-B-32@w.safetensors", 3.0)


def test_a_file_whose_name_looks_like_options_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd::weight=2").touch()
    assert parse_source("odd::weight=2").name == str(tmp_path / "odd::weight=2")


@given(
    name=NAMES, member=st.none() | NAMES, array=st.none() | NAMES, words=st.lists(NAMES, max_size=2),
    alphabetical=st.booleans(), fallback=st.none() | NAMES,
)  # fmt: skip
def test_what_is_written_is_parsed_again(name, member, array, words, alphabetical, fallback):
    options = {"member": member, "array": array, "words": ",".join(words), "fallback": fallback}
    text = name + "".join(f"::{key}={value}" for key, value in options.items() if value)
    spec = parse_source(text + "::order=alphabetical" * alphabetical)
    assert parse_source(spec.text) == spec
    assert (spec.member, spec.array, spec.alphabetical) == (member, array, alphabetical)
    assert len(spec.words) == len(words)


@given(st.text(max_size=30))
@example("~\0")
def test_any_text_is_parsed_or_refused_in_one_line(text):
    try:
        parse_source(text)
    except ZsmldError as error:
        assert isinstance(error, UsageError) and len(repr(str(error)).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("a::", "'' is no option"),
        ("a::wieght=2", "'wieght=2' is no option. Did you mean 'weight'"),
        ("a::weight", "'weight' is no option"),
        ("a::weight=", "'weight=' is no option"),
        ("a::weight=0", "weight=0 is no number above 0"),
        ("a::weight=nan", "weight=nan is no number above 0"),
        ("a::weight=x", "weight=x is no number"),
        ("a::weight=1::weight=2", "weight is given twice"),
        ("a::order=random", "order=random is unknown, expected order=alphabetical"),
        ("gensim:glove-twitter-25::words=a.txt", "words is for files, not for gensim"),
        ("open_clip:ViT-B-32@openai::member=x", "member is for files, not for open_clip"),
        ("open_clip:ViT-B-32@openai::fallback=glove.txt", "another than that of any word vectors"),
        ("glove.txt::fallback=open_clip:ViT-B-32@openai", "the two spaces differ.*side by side"),
    ],
)
def test_sources_that_do_not_fit_are_refused(text, told):
    with pytest.raises(UsageError, match=told):
        parse_source(text)


def test_several_sources_stand_side_by_side():
    assert [spec.weight for spec in parse_sources(["a", "b::weight=2"])] == [1.0, 2.0]
    assert [spec.name for spec in parse_sources(Path("/v.txt"))] == ["/v.txt"]
    with pytest.raises(UsageError, match="no source given"):
        parse_sources([])
    with pytest.raises(UsageError, match="given twice"):
        parse_sources(["/a", "/b", "/a::weight=2"])
    with pytest.raises(UsageError, match="there is one"):
        parse_sources(["/a::weight=2"])


def test_the_shell_completes_prefixes_models_names_and_keys():
    assert complete_source("o") == ["open_clip:"]
    assert complete_source("g") == ["gensim:"]
    assert complete_source("x") == []
    models = complete_source("open_clip:ViT-B-3")
    assert "open_clip:ViT-B-32@" in models and all(name.startswith("open_clip:ViT-B-3") for name in models)
    import open_clip

    named = {name.removeprefix("open_clip:").removesuffix("@") for name in complete_source("open_clip:")}
    # Other tests register models of their own.
    assert {"local-dir:", "hf-hub:"} < named and named - {"local-dir:", "hf-hub:"} <= set(open_clip.list_models())
    assert "gensim:glove-wiki-gigaword-300" in complete_source("gensim:glove-w")
    assert complete_source("v.zip::m") == ["v.zip::member="]
    assert complete_source("v.zip::") == [f"v.zip::{key}=" for key in KEYS]
