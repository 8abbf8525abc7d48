import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.labels.vocabulary import canonical, read_vocabulary
from zsmld.labels.word_forms import Form, form_relation, other_forms

PAIRS = [
    ("dog", "dogs"), ("box", "boxes"), ("city", "cities"), ("leaf", "leaves"), ("knife", "knives"), ("man", "men"),
    ("fireman", "firemen"), ("person", "people"), ("grandchild", "grandchildren"), ("goose", "geese"),
    ("roof", "roofs"), ("woman", "women"), ("German", "germans"),
    ("mouse", "mice"), ("tomato", "tomatoes"), ("photo", "photos"), ("movie", "movies"), ("wave", "waves"),
    ("horse", "horses"), ("bus", "buses"), ("glass", "glasses"), ("human", "humans"), ("house", "houses"),
    ("beach", "beaches"), ("key", "keys"), ("tie", "ties"), ("polar bear", "polar bears"), ("T-shirt", "t-shirts"),
]  # fmt: skip
ING = [
    ("swim", "swimming"), ("run", "running"), ("dance", "dancing"), ("ski", "skiing"), ("lie", "lying"),
    ("fall", "falling"), ("see", "seeing"),
    ("hike", "hiking"), ("fish", "fishing"), ("build", "building"), ("sit", "sitting"), ("go", "going"),
]  # fmt: skip


@pytest.mark.parametrize(("singular", "plural"), PAIRS)
def test_singular_and_plural_lead_to_each_other(singular, plural):
    assert form_relation(singular, plural) == form_relation(plural, singular) == "plural"
    assert (canonical(plural), "plural") in [(canonical(form.word), form.change) for form in other_forms(singular)]
    first = [form for form in other_forms(plural) if canonical(form.word) == canonical(singular)]
    assert [form.change for form in first] == ["singular"]


@pytest.mark.parametrize(("verb", "ing"), ING)
def test_a_verb_and_its_ing_form_lead_to_each_other(verb, ing):
    assert form_relation(verb, ing) == form_relation(ing, verb) == "-ing"
    assert Form(ing, "with -ing") in other_forms(verb)
    assert Form(verb, "without -ing") in other_forms(ing)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("king", "k"), ("sing", "s"), ("thing", "th"), ("string", "stre"), ("bus", "bu"), ("glass", "glas"),
        ("news", "new"), ("th", "thing"),
        ("human", "humen"), ("dog", "dog"), ("Dog", "dog"), ("cat", "dog"), ("big dog", "dogs"), ("sea", "seal"),
        ("cafe", "caves"),
        ("犬", "犬s"), ("собака", "собаки"),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_form_is_none(first, second):
    assert form_relation(first, second) is None


def test_the_likely_form_comes_first_and_capitals_are_kept():
    assert other_forms("Dogs")[0] == Form("Dog", "singular")
    assert other_forms("POLAR_BEARS")[0].word == "POLAR_BEAR"
    assert other_forms("running")[0].word == "run"
    assert other_forms("falling")[0].word == "fall"
    assert [form.change for form in other_forms("dogs")] == ["singular"]
    assert other_forms("犬") == other_forms("café") == other_forms("c3po") == other_forms("") == other_forms("-") == ()


@given(st.text("abegilnorsuvxyz", min_size=2, max_size=9), st.text("abegilnorsuvxyz", min_size=2, max_size=9))
def test_the_relation_is_symmetric_and_every_form_is_related(word, other):
    assert form_relation(word, other) == form_relation(other, word)
    forms = other_forms(word)
    assert len({form.word for form in forms}) == len(forms)
    for form in forms:
        assert form.word != word
        if form.change in ("singular", "without -ing"):
            assert form_relation(word, form.word) == ("plural" if form.change == "singular" else "-ing")


@given(st.text(max_size=12))
def test_any_text_has_forms_or_none(text):
    assert all(form.word for form in other_forms(text))


@pytest.mark.realdata
def test_the_twins_of_nus_wide(shared_data):
    tags = read_vocabulary(shared_data / "nus_wide" / "TagList1k.txt").labels
    unseen = read_vocabulary(shared_data / "nus_wide" / "Concepts81.txt").labels
    seen = set(tags) - set(unseen)
    simple = {
        (label, twin)
        for label in unseen
        for twin in (f"{label}s", f"{label}es", f"{label}ing", label.removesuffix("s"), label.removesuffix("ing"))
        if twin in seen
    }
    found = {(label, other) for label in unseen for other in seen if form_relation(label, other)}
    assert len({label for label, _ in simple}) == 31
    assert found - simple == {("dancing", "dance"), ("leaf", "leaves"), ("person", "people"), ("running", "run")}
    assert simple <= found
