from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zsmld.labels.label_order import FEWEST_PAIRS, MOST_PAIRS, Evidence, evidence, related_pairs

RELATED = [
    ("cat", "cats"), ("sky", "skies"), ("box", "boxes"), ("dance", "dancing"), ("run", "running"), ("paint", "painted"),
    ("africa", "african"), ("Dog", "dogs"), ("glass", "glasses"), ("bus", "buses"), ("dance", "danced"),
]  # fmt: skip
UNRELATED = [
    ("cat", "car"),
    ("sky", "sea"),
    ("bus", "bush"),
    ("ing", "s"),
    ("as", "a"),
    ("earth", "earthquake"),
    ("class_0012", "class_0013"),
    ("n0144s", "n0144"),
]


@pytest.mark.parametrize("pair", RELATED)
def test_forms_of_a_word_are_related(pair):
    assert related_pairs([pair[0], "zebra", pair[1]]).tolist() == [[0, 2]]


@pytest.mark.parametrize("pair", UNRELATED)
def test_other_words_are_not(pair):
    assert not len(related_pairs([pair[0], "zebra", pair[1]]))


def test_a_word_is_not_related_to_itself():
    assert not len(related_pairs(["cat", "cat", "cat"]))


def test_of_many_pairs_a_fixed_sample_is_taken():
    words = [f"{name}{end}" for name in map("".join, permutations("bcdfgh", 5)) for end in ("", "s")]
    pairs = related_pairs(words)
    assert pairs.shape == (MOST_PAIRS, 2)
    assert np.array_equal(pairs, related_pairs(words))


def _table(count, width=20, seed=0):
    """Words of which each second one is the plural of the one before, and vectors that say so."""
    random = np.random.default_rng(seed)
    names = [f"{chr(97 + at % 26)}{chr(97 + at // 26)}kind" for at in range(count // 2)]
    words = [word for name in names for word in (name, name + "s")]
    shared = np.repeat(random.normal(size=(count // 2, width)), 2, axis=0)
    return words, (shared + random.normal(size=shared.shape) + 5).astype(np.float32)


def _measured(words, vectors):
    return evidence(related_pairs(words), lambda places: vectors[places], np.arange(len(words)))


def test_the_right_order_fits_and_shuffled_rows_do_not():
    words, vectors = _table(80)
    right = _measured(words, vectors)
    assert right.fits and right.pairs >= 40 and right.mean > 0.3 and abs(right.chance) < 0.1
    for seed in range(20):
        wrong = _measured(words, vectors[np.random.default_rng(seed).permutation(80)])
        assert not wrong.fits and abs(wrong.z) < 5


def test_z_is_by_how_much_the_mean_is_out_of_the_permuted_ones():
    words, vectors = _table(60, seed=3)
    pairs = related_pairs(words)
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)

    def mean(order):
        return np.mean([unit[order[a]] @ unit[order[b]] for a, b in pairs])

    random = np.random.default_rng(99)
    permuted = [mean(random.permutation(60)) for _ in range(2000)]
    found = _measured(words, vectors)
    assert found.mean == pytest.approx(mean(np.arange(60)), abs=1e-6)
    assert found.chance == pytest.approx(np.mean(permuted), abs=0.02)
    assert found.z == pytest.approx((found.mean - np.mean(permuted)) / np.std(permuted), rel=0.2)


def test_only_pairs_that_the_part_touches_speak_of_it():
    words, vectors = _table(80)
    pairs = related_pairs(words)
    # The last rows are in a wrong order, the many others are not.
    vectors[60:] = vectors[60:][np.random.default_rng(5).permutation(20)]
    first = evidence(pairs, lambda places: vectors[places], np.arange(60))
    last = evidence(pairs, lambda places: vectors[places], np.arange(60, 80))
    assert first.fits and not last.fits
    assert first.pairs + last.pairs == len(pairs)


def test_too_little_to_tell_is_told():
    words, vectors = _table(2 * FEWEST_PAIRS)
    assert _measured(words, vectors) is not None
    assert _measured(words[:-2], vectors[:-2]) is None
    # Vectors at right angles are all equally far from each other.
    assert _measured(words, np.eye(len(words), dtype=np.float32)) is None
    vectors[3:] = np.nan
    assert _measured(words, vectors) is None


def test_of_a_large_array_only_a_sample_is_read():
    words, vectors = _table(1200)
    random = np.random.default_rng(0)
    words += [f"{number}" for number in range(30_000)]
    vectors = np.concatenate([vectors, random.normal(size=(30_000, 20)).astype(np.float32)])
    asked = []

    def rows(places):
        asked.extend(places)
        return vectors[places]

    found = evidence(related_pairs(words), rows, np.arange(len(words)))
    assert found.fits and len(asked) < 10_000


def test_bounds():
    assert Evidence(10, 0.5, 0.0, 8).fits
    # Off by one in an alphabetical list, as measured; and chance.
    assert not Evidence(145, 0.09, 0.0, 12.4).fits
    assert not Evidence(5, 0.2, 0.0, 4.1).fits


@given(vectors=arrays.arrays(np.float32, (12, 3), elements=st.floats(width=32)))
def test_any_numbers_are_measured_without_a_warning(vectors):
    words, _ = _table(12)
    found = _measured(words, vectors)
    assert found is None or np.isfinite([found.mean, found.chance, found.z]).all()


@pytest.fixture(scope="module")
def spaces(shared_data):
    found = {}
    for name in ("sdl_nus_wide_1006.300d", "clip_vit_b32_text_1608.512d"):
        with np.load(shared_data / "vectors" / f"{name}.npz") as file:
            found[name] = ([str(word) for word in file["words"]], file["vecs"])
    return found


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["sdl_nus_wide_1006.300d", "clip_vit_b32_text_1608.512d"])
def test_of_real_vectors_in_alphabetical_order_only_the_right_one_fits(spaces, name):
    words, vectors = spaces[name]
    assert _measured(words, vectors).fits
    random = np.random.default_rng(0)
    wrong = [np.roll(vectors, shift, axis=0) for shift in (1, -1, 2, 3, 5, 10)]
    wrong += [vectors[::-1]] + [vectors[random.permutation(len(words))] for _ in range(5)]
    assert not any(_measured(words, rows).fits for rows in wrong)


@pytest.mark.realdata
def test_samples_of_real_labels_are_told_right_from_wrong(spaces):
    random = np.random.default_rng(1)
    checked = 0
    for words, vectors in spaces.values():
        for _ in range(30):
            kept = np.sort(random.choice(len(words), random.integers(100, 900), replace=False))
            some = [words[place] for place in kept]
            right = _measured(some, vectors[kept])
            if right is not None:
                checked += 1
                assert right.fits, right.figures
                assert not _measured(some, np.roll(vectors[kept], 1, axis=0)).fits
    assert checked > 40
