from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.labels.lookup import look_up, spellings
from zsmld.labels.word_source import WordVectors


@dataclass
class Words:
    """A source in memory, which keeps count of how often it is read."""

    table: dict[str, list[float]]
    subwords: object = None
    reads: list[set[str]] = field(default_factory=list)

    def read(self, wanted):
        self.reads.append(set(wanted))
        vectors = {word: np.array(vector, np.float32) for word, vector in self.table.items() if word in wanted}
        ranks = {word: at for at, word in enumerate(self.table)}
        return WordVectors(vectors, 2, "sha256:0", len(self.table), ranks, self.subwords)

    def words(self):
        return iter(self.table)


TABLE = {
    "of": [1, 0], "polar_bear": [1, 2], "polar": [3, 0], "bear": [0, 5], "Paris": [7, 7], "dog": [1, 1],
    "sea-side": [2, 2], "BAR": [4, 4], "cafe": [6, 1], "naïve": [2, 9], "naive": [3, 3], "##th": [5, 5], "7up": [8, 8],
    "собака": [1, 3], "йод": [4, 1], "犬": [2, 5], "하늘": [5, 2], "run": [6, 6], "city": [9, 9], "हिन्दी": [3, 8],
}  # fmt: skip


@pytest.mark.parametrize(
    ("label", "vector", "route"),
    [
        ("polar bear", [1, 2], "whole: polar_bear"),
        ("Polar-Bear", [1, 2], "whole: polar_bear"),
        ("DOG", [1, 1], "whole: dog"),
        ("paris", [7, 7], "whole: Paris"),
        ("sea side", [2, 2], "whole: sea-side"),
        ("bar", [4, 4], "whole: BAR"),
        ("Café", [6, 1], "whole: cafe"),
        ("naïve", [2, 9], "whole: naïve"),
        ("18th", [5, 5], "whole: ##th"),
        ("7up", [8, 8], "whole: 7up"),
        ("Собака", [1, 3], "whole: собака"),
        ("Йод", [4, 1], "whole: йод"),
        ("犬", [2, 5], "whole: 犬"),
        ("하늘", [5, 2], "whole: 하늘"),
        ("हिन्दी", [3, 8], "whole: हिन्दी"),
        ("bear dog", [0.5, 3], "composed (mean): bear + dog"),
        ("bear-Paris_dog", [np.float32(8 / 3), np.float32(13 / 3)], "composed (mean): bear + Paris + dog"),
        ("naïve café", [4, 5], "composed (mean): naïve + cafe"),
    ],
)
def test_labels_are_looked_up_whole_and_then_composed(label, vector, route):
    result = look_up([label], Words(TABLE))
    assert result.found[label].vector.tolist() == vector
    assert result.found[label].vector.dtype == np.float32
    assert (result.found[label].route, result.lacking) == (route, {})


def test_spellings_come_in_a_fixed_order_as_written_first():
    order = spellings("Polar bear")
    assert order[:5] == ["Polar bear", "polar bear", "Polar_bear", "polar_bear", "Polar-bear"]
    assert order.index("polarbear") < order.index("Polar_Bear") < order.index("POLAR BEAR")
    accented = spellings("Crème brûlée")
    assert accented.index("CRÈME BRÛLÉE") < accented.index("Creme brulee") < accented.index("creme_brulee")


@given(st.text(min_size=1, max_size=12))
def test_spellings_are_unique_and_begin_as_written(text):
    forms = spellings(text)
    assert forms[0] == text and len(forms) == len(set(forms)) and all(forms)


def test_words_that_are_lacking_are_named():
    result = look_up(["whale", "polar whale", "blue whale", "dog"], Words(TABLE))
    assert result.lacking == {
        "whale": ("whale",), "polar whale": ("whale",), "blue whale": ("blue", "whale"),
    }  # fmt: skip
    assert list(result.found) == ["dog"]


def test_forms_are_a_fallback_that_is_asked_for_and_recorded():
    labels = ["dogs", "running", "cities", "polar bears", "whales", "dog"]
    plain = look_up(labels, Words(TABLE))
    assert set(plain.lacking) == set(labels) - {"dog"}
    source = Words(TABLE)
    result = look_up(labels, source, forms=True)
    assert {label: found.route for label, found in result.found.items()} == {
        "dog": "whole: dog",
        "dogs": "form: dog (singular)",
        "running": "form: run (without -ing)",
        "cities": "form: city (singular)",
        "polar bears": "form: polar_bear (singular)",
    }
    assert result.found["cities"].vector.tolist() == [9, 9]
    assert result.lacking == {"whales": ("whales",)}
    # The second reading is for what was lacking alone.
    assert len(source.reads) == 2 and "dog" not in source.reads[1] - source.reads[0]


def test_composing_exact_words_comes_before_other_forms():
    result = look_up(["polar bears", "dog bears"], Words({**TABLE, "bears": [1, 9]}), forms=True)
    assert result.found["polar bears"].route == "composed (mean): polar + bears"
    result = look_up(["dog bears"], Words(TABLE), forms=True)
    assert result.found["dog bears"].route == "composed (mean): dog + form: bear (singular)"


def test_sif_gives_frequent_words_less_weight():
    table = {word: [float(at), 1.0] for at, word in enumerate(["of", *(f"w{n}" for n in range(5000)), "bag", "chips"])}
    result = look_up(["bag of chips"], Words(table), composition="sif")
    harmonic = np.log(5003) + 0.5772
    weights = [1e-3 / (1e-3 + 1 / ((rank + 1) * harmonic)) for rank in (5001, 0, 5002)]
    expected = np.average([[5001, 1], [0, 1], [5002, 1]], axis=0, weights=weights)
    np.testing.assert_allclose(result.found["bag of chips"].vector, expected, rtol=1e-6)
    assert result.found["bag of chips"].route == "composed (sif): 0.98 × bag + 0.009 × of + 0.98 × chips"


def test_subwords_stand_in_for_what_is_not_there_at_all():
    asked = []

    def subwords(word):
        asked.append(word)
        return None if word == "犬犬" else np.array([9, 1], np.float32)

    result = look_up(["dogs", "doggo", "polar doggo", "犬犬"], Words(TABLE, subwords), forms=True)
    assert {label: found.route for label, found in result.found.items()} == {
        "dogs": "form: dog (singular)",
        "doggo": "subwords: doggo",
        "polar doggo": "composed (mean): polar + subwords: doggo",
    }
    assert result.found["polar doggo"].vector.tolist() == [6, 0.5]
    assert result.lacking == {"犬犬": ("犬犬",)}
    assert "dogs" not in asked and "polar doggo" not in asked
