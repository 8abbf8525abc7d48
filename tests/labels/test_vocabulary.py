import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.errors import InputError
from zsmld.labels.vocabulary import MAXIMUM_LENGTH, canonical, check_disjoint, read_vocabulary, vocabulary_of

WORDS = st.text(st.characters(categories=["L", "N", "Pd", "Po"]), min_size=1, max_size=12)


def _written(tmp_path, data):
    path = tmp_path / "labels.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_reads_every_line_ending_with_and_without_byte_order_mark(tmp_path, mark, end):
    lines = [b"# animals", b"dog", b"", b"  polar bear\t", "Cafe\u0301".encode(), b"C#", b"dogs"]
    vocabulary = read_vocabulary(_written(tmp_path, mark + end.join(lines)))
    assert vocabulary.labels == ("dog", "polar bear", "Café", "C#", "dogs")
    assert vocabulary.lines == (2, 4, 5, 6, 7)
    assert vocabulary.path == tmp_path / "labels.txt"
    assert len(vocabulary) == 5


@pytest.mark.parametrize(
    "second", ["polar bear", "Polar Bear", "polar_bear", "polar-bear", "POLAR  BEAR", "ｐolar bear"]
)
def test_spellings_of_one_label_are_refused_with_both_lines(tmp_path, second):
    with pytest.raises(InputError) as caught:
        read_vocabulary(_written(tmp_path, f"polar bear\n\n# x\n{second}\n".encode()))
    assert caught.value.line == 4
    assert "line 4" in str(caught.value) and "line 1" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("data", "told", "line"),
    [
        (b"", "holds no label", None),
        (b"# only\n\n  \n", "holds no label", None),
        (b"dog\nca\tt\n", "a tab", 2),
        (b"dog\nca\x1b[31mt\n", "U+001B", 2),
        ("dog\nca\u2028t\n".encode(), "U+2028", 2),
        ("dog\nca\u202et\n".encode(), "U+202E", 2),
        (b"dog\n__\n", "is no word", 2),
        (b"dog\n" + b"a" * (MAXIMUM_LENGTH + 1), "201 characters", 2),
        (b"dog\ncaf\xe9\n", "UTF-8", 2),
    ],
)
def test_refuses_what_is_no_label_with_its_line(tmp_path, data, told, line):
    with pytest.raises(InputError, match=told.replace("+", r"\+")) as caught:
        read_vocabulary(_written(tmp_path, data))
    assert (caught.value.line, caught.value.path) == (line, tmp_path / "labels.txt")
    assert "\n" not in str(caught.value)


def test_the_longest_label_is_read(tmp_path):
    assert len(read_vocabulary(_written(tmp_path, b"a" * MAXIMUM_LENGTH)).labels[0]) == MAXIMUM_LENGTH


def test_case_is_folded_in_every_script_and_ends_count():
    assert canonical("STRASSE") == canonical("Straße")
    assert canonical("/m/02519_") != canonical("/m/02519")


def test_labels_given_in_python_are_checked_alike():
    assert vocabulary_of([" dog ", "dogs", "می\N{ZERO WIDTH NON-JOINER}خواهم"]).lines == (1, 2, 3)
    with pytest.raises(InputError, match="position 3 is the same label as 'dog', first at position 1"):
        vocabulary_of(["dog", "cat", "Dog"])
    with pytest.raises(InputError, match="a list of labels was expected"):
        vocabulary_of("dog")
    with pytest.raises(InputError, match=r"label 2: 'a\\x00b' holds"):
        vocabulary_of(["a", "a\0b"])
    with pytest.raises(InputError, match="label 2: is empty"):
        vocabulary_of(["a", " "])
    with pytest.raises(InputError, match="no labels given"):
        vocabulary_of([])


def test_a_label_both_seen_and_unseen_is_named_with_both_places(tmp_path):
    seen, unseen = tmp_path / "seen.txt", tmp_path / "unseen.txt"
    seen.write_text("cat\ndogs\nPolar_Bear\n")
    unseen.write_text("dog\npolar bear\n")
    with pytest.raises(InputError) as caught:
        check_disjoint(read_vocabulary(seen), read_vocabulary(unseen))
    assert str(caught.value).startswith(f"{unseen}:2: ")
    assert "'polar bear'" in str(caught.value) and f"{seen}:3" in str(caught.value)
    with pytest.raises(InputError, match=r"position 2.*position 1"):
        check_disjoint(vocabulary_of(["a"]), vocabulary_of(["b", "A"]))
    check_disjoint(vocabulary_of(["dog"]), vocabulary_of(["dogs"]))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_canonical_is_a_fixed_point_and_ignores_case_and_form(text):
    key = canonical(text)
    assert canonical(key) == key
    assert canonical(unicodedata.normalize("NFD", text)) == canonical(unicodedata.normalize("NFC", text)) == key
    assert canonical(f" {text}\n") == key


@given(st.lists(WORDS.map(str.strip), min_size=1, max_size=8))
def test_what_is_accepted_in_python_reads_back_from_a_file(tmp_path_factory, labels):
    try:
        expected = vocabulary_of(labels)
    except InputError:
        return
    path = tmp_path_factory.mktemp("vocabulary") / "labels.txt"
    path.write_text("".join(f"{label}\r\n\r\n" for label in labels), encoding="utf-8", newline="")
    kept = [(label, 2 * at) for at, label in enumerate(expected.labels) if not label.startswith("#")]
    if kept:
        vocabulary = read_vocabulary(path)
        assert vocabulary.labels == tuple(label for label, _ in kept)
        assert vocabulary.lines == tuple(at + 1 for _, at in kept)


@pytest.mark.realdata
def test_real_label_lists_are_readable(shared_data):
    tags = read_vocabulary(shared_data / "nus_wide" / "TagList1k.txt")
    concepts = read_vocabulary(shared_data / "nus_wide" / "Concepts81.txt")
    assert (len(tags), len(concepts)) == (1000, 81)
    assert {"dog", "dogs"} <= set(tags.labels) | set(concepts.labels)
    assert len({canonical(label) for label in tags.labels} & {canonical(label) for label in concepts.labels}) == 75
    assert len(read_vocabulary(shared_data / "splits" / "open_images_v4_trainable_7186.txt")) == 7186
    with pytest.raises(InputError, match="is also the seen label"):
        check_disjoint(tags, concepts)
