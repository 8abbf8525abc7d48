import functools

from hypothesis import given
from hypothesis import strategies as st

from zsmld.labels import near_misses as module
from zsmld.labels.near_misses import MOST_ASKED, near_misses

WORDS = ["the", "Airplane", "aircraft", "airplane", "aeroplan", "polar_bear", "dog", "dogs", "犬"]


def test_the_nearest_spelling_comes_first():
    near = near_misses(["aeroplane", "polar baer", "xylophone", "dgo", "the"], WORDS)
    # Words that differ by case alone are one, the earlier.
    assert near["aeroplane"] == ("aeroplan", "Airplane")
    assert near["polar baer"] == ("polar_bear",)
    assert near["dgo"][0] == "dog" and "xylophone" not in near
    assert near["the"] == ("the",)
    assert near_misses(["aeroplane"], WORDS, most=1) == {"aeroplane": ("aeroplan",)}
    assert near_misses([], iter(WORDS)) == near_misses(["dog"], []) == {}


def test_chunks_make_no_difference_and_of_equals_the_earlier_wins(monkeypatch):
    words = [f"word{at}" for at in range(300)]
    whole = near_misses(["word"], words)
    assert whole["word"] == ("word0", "word1", "word2")
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert near_misses(["word"], iter(words)) == whole


def test_only_so_many_words_are_looked_at():
    missing = [f"{chr(97 + at % 26)}{at}word" for at in range(MOST_ASKED + 5)]
    assert set(near_misses(missing, missing)) == set(missing[:MOST_ASKED])


@functools.cache
def edits(first, second):
    """How many letters are to be put in, left out, replaced or swapped with their neighbour."""
    if not first or not second:
        return len(first) + len(second)
    ways = [edits(first[1:], second) + 1, edits(first, second[1:]) + 1]
    ways.append(edits(first[1:], second[1:]) + (first[0] != second[0]))
    if first[:2] == second[1::-1] and len(first) > 1:
        ways.append(edits(first[2:], second[2:]) + 1)
    return min(ways)


@given(
    st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=20, unique=True),
    st.text("abc", min_size=1, max_size=6),
)
def test_a_word_that_is_there_is_its_own_nearest(words, extra):
    near = near_misses([*words, extra], words)
    for word in words:
        assert near[word][0] == word
    # What is offered for any other word is as near as it has to be, by a distance that is computed in another way.
    for name in near.get(extra, ()):
        assert 1 - edits(extra, name) / max(len(extra), len(name)) >= 0.6 - 1e-6
