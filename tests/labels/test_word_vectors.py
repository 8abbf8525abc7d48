import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zsmld.errors import InputError
from zsmld.labels.vector_files import Form, tell_form
from zsmld.labels.vocabulary import read_vocabulary
from zsmld.labels.word_vectors import embed_words, read_word_vectors, spellings

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=10)
FORMS = ("glove", "text", "binary")


def zipped_alike(data):
    """Gzipped without the time in the header, so that every test process names its cases alike."""
    return gzip.compress(data, mtime=0)


@st.composite
def tables(draw):
    """Words and their (L,E) float32 vectors, no row of zeros."""
    words = draw(st.lists(WORDS, min_size=3, max_size=8, unique=True))
    width = draw(st.integers(2, 5))
    vectors = draw(arrays.arrays(np.float32, (len(words), width), elements=FLOATS))
    # A row must not be zero, and a file without header must not look as if it had one.
    vectors[:, 0] = np.where(vectors.any(axis=1), vectors[:, 0], 0.5)
    return words, vectors


def _written(path, words, vectors, form, *, zipped=False):
    if form == "glove":
        rows = [f"{word} {' '.join(str(float(x)) for x in row)}\n" for word, row in zip(words, vectors, strict=True)]
        data = "".join(rows).encode()
    else:
        from gensim.models import KeyedVectors

        model = KeyedVectors(vectors.shape[1])
        model.add_vectors(words, vectors)
        model.save_word2vec_format(str(path), binary=form == "binary")
        data = path.read_bytes()
    path.write_bytes(zipped_alike(data) if zipped else data)
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", FORMS)
@given(table=tables())
def test_what_is_written_is_read_byte_for_byte(tmp_path_factory, form, zipped, table):
    words, vectors = table
    path = _written(tmp_path_factory.mktemp("vectors") / "any.name", words, vectors, form, zipped=zipped)
    found = read_word_vectors(path, words[::2])
    assert found.width == vectors.shape[1]
    assert set(found.vectors) == set(words[::2])
    assert found.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    for word, vector in zip(words[::2], vectors[::2], strict=True):
        assert found.vectors[word].dtype == np.float32
        assert found.vectors[word].tobytes() == vector.tobytes()


@given(table=tables(), data=st.data())
def test_a_binary_file_cut_anywhere_is_refused(tmp_path_factory, table, data):
    path = _written(tmp_path_factory.mktemp("vectors") / "v.bin", *table, "binary")
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    path.write_bytes(whole[: data.draw(st.integers(start, len(whole) - 1))])
    with pytest.raises(InputError):
        read_word_vectors(path, table[0])


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("vectors") / "v"
    path.write_bytes(data)
    try:
        read_word_vectors(path, ["a"])
    except InputError as error:
        assert "\n" not in str(error) and error.path == path


def _file(tmp_path, data):
    path = tmp_path / "v"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize("lead", [b"", b"\n"])
def test_reads_binary_with_and_without_a_newline_before_words(tmp_path, lead):
    rows = [lead + word + b" " + _floats(1, at) for at, word in enumerate([b"a", b"b", b"c"])]
    words = read_word_vectors(_file(tmp_path, b"3 2\n" + b"".join(rows)), ["a", "c"])
    assert words.vectors["c"].tolist() == [1, 2]
    assert set(words.vectors) == {"a", "c"}


def test_reads_binary_files_of_many_chunks(tmp_path, monkeypatch):
    from zsmld.labels import vector_rows

    monkeypatch.setattr(vector_rows, "_CHUNK", 64)
    names = [f"word{at}" for at in range(200)]
    rows = [name.encode() + b" " + _floats(*range(at, at + 7)) for at, name in enumerate(names, start=1)]
    path = _file(tmp_path, b"200 7\n" + b"".join(rows))
    words = read_word_vectors(path, names)
    assert [words.vectors[name][0] for name in names] == list(range(1, 201))
    # Memory does not grow with the file: never more than a chunk and a row at a time.
    seen = []
    monkeypatch.setattr(vector_rows.BinaryRows, "_refill", _spied(vector_rows.BinaryRows._refill, seen))
    read_word_vectors(path, [])
    assert len(seen) > 50 and max(seen) <= 64 + 7 * 4 + 8


def _spied(refill, sizes):
    def spy(rows, *arguments):
        result = refill(rows, *arguments)
        sizes.append(len(rows._buffer))
        return result

    return spy


@pytest.mark.parametrize("header", ["", "4 2\n", "\ufeff4 2\r\n", "\ufeff"])
def test_text_words_may_hold_spaces_and_digits_and_lines_trailing_blanks(tmp_path, header):
    path = _file(tmp_path, f"{header}cat 0.5 1 \r\nnew york 2 3\nroute 66 4 5\n\ndog -1e-3 7")
    words = read_word_vectors(path, ["cat", "new york", "route 66", "dog", "new"])
    assert {word: vector.tolist() for word, vector in words.vectors.items()} == {
        "cat": [0.5, 1], "new york": [2, 3], "route 66": [4, 5], "dog": [np.float32(-1e-3), 7],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "told", "line"),
    [
        ("", "is empty", None),
        ("\n\n", "not a word and its numbers", 1),
        ("a b c\nd e f\n", "not a word and its numbers", 1),
        ("a 0.1 0.2\nb 0.1\nc 0.1 0.2\n", "1 numbers follow the word, expected 2", 2),
        ("a 0.1 0.2\nb 0.1 0.2 0.3\nc 0.1 0.2\n", "3 numbers follow the word, expected 2", 2),
        ("a 0.1 0.2\nb 0.1 0.x\nc 0.1 0.2\n", "'0.x' is not a number", 2),
        ("a 0.1 0.2\nb 0.1 1_0\nc 0.1 0.2\n", "'1_0' is not a number", 2),
        ("a 0.1 0.2\nb nan 0.2\nc 0.1 0.2\n", "vector of 'b' holds a number that is not finite", 2),
        ("a 0.1 0.2\nb 0.1 -inf\nc 0.1 0.2\n", "vector of 'b' holds a number that is not finite", 2),
        ("a 0.1 0.2\nb 0.1 1e39\nc 0.1 0.2\n", "vector of 'b' holds a number that is not finite", 2),
        ("a 0.1 0.2\nb 0 0.0\nc 0.1 0.2\n", "vector of 'b' is all zeros", 2),
        ("a 0.1 0.2\nb 0.1 0.2\nb 0.1 0.3\n", "vector of 'b' differs from the one", 3),
        (b"a 0.1 0.2\n\xe9 0.1 0.2\nb 0.1 0.2\n", "is not UTF-8", 2),
        ("4 2\na 0.1 0.2\nb 0.1 0.2\n", "promises 4 words, 2 follow", 3),
        ("1 2\na 0.1 0.2\nb 0.1 0.2\n", "promises 1 words, 2 follow", 3),
        ("2 3\na 0.1 0.2\nb 0.1 0.2\n", "2 numbers follow the word, expected 3", 2),
        ("0 2\n", "promises 0 words", 1),
        ("2 -1\na 0.1\n", "dimension -1", 1),
        ("2 9999999\na 0.1\n", "dimension 9999999", 1),
        (
            b"3 2\na " + _floats(1, 2) + b"b " + _floats(1, 2),
            "promises 3 words, it ends at byte 24 within word 3",
            None,
        ),
        (b"3 2\na " + _floats(1, 2) + b"b " + _floats(1, 2)[:5], "ends at byte 21 within word 2", None),
        (b"1 2\na " + _floats(1, 2) + b"b " + _floats(1, 2), "promises 1 words, 10 bytes follow", None),
        (b"2 2\na " + _floats(1, 2) + b"b " + _floats(1, np.nan), "'b' at byte 14 holds", None),
        (b"2 2\na " + _floats(1, 2) + b"b " + _floats(0, 0), "'b' at byte 14 is all zeros", None),
        (b"2 2\nb " + _floats(1, 2) + b"b " + _floats(1, 3), "'b' at byte 14 differs", None),
        (b"2 2\na " + _floats(1, 2) + b"\xe9 " + _floats(1, 2), "word at byte 14 is not UTF-8", None),
        (b"1 2\n" + b"\0" * 5000, "no word at byte 4", None),
        (pickle.dumps({"a": [1.0]}), "is a Python pickle.*can run code", None),
        (zipped_alike(pickle.dumps([1])), "is a Python pickle", None),
        (b"PK\x03\x04rest", "is a zip archive", None),
        (b"\x93NUMPY\x01\x00", "is a NumPy array file", None),
        (b"\xba\x16\x4f\x2f\x0c\x00", "is a fastText model.*[.]vec", None),
        (zipped_alike(zipped_alike(b"a 0.1 0.2\n")), "is gzipped twice", None),
        (zipped_alike(b"a 0.1 0.2\n" * 9)[:-9], "truncated gzip", None),
        (zipped_alike(b"a 0.1 0.2\n" * 9)[:12], "truncated gzip", None),
        (zipped_alike(b"a 0.1 0.2\n" * 9) + b"garbage", "damaged gzip", None),
        (b"a" * (1 << 20), "no line end in its first MiB", 1),
    ],
)
def test_malformed_files_are_refused_with_their_place(tmp_path, data, told, line):
    path = _file(tmp_path, data)
    with pytest.raises(InputError, match=told) as caught:
        read_word_vectors(path, ["b"])
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_flipped_bit_in_a_gzip_file_is_refused(tmp_path):
    data = bytearray(zipped_alike(b"".join(f"w{at} 0.{at} 1\n".encode() for at in range(100, 900))))
    data[len(data) // 2] ^= 4
    with pytest.raises(InputError):
        read_word_vectors(_file(tmp_path, bytes(data)), [])


def test_rows_that_nobody_wants_may_hold_what_is_no_vector(tmp_path):
    path = _file(tmp_path, "a 0.1 0.2\nb nan 0\nb 0 0\na 0.1 0.2\n")
    assert set(read_word_vectors(path, ["a"]).vectors) == {"a"}


def test_a_form_is_told_by_content_not_by_name(tmp_path):
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(b"2 2\na " + _floats(1, 2) + b"b " + _floats(1, 2))
    assert tell_form(path) == Form(binary=True, width=2, count=2)
    path.write_text("2 2\nä 1 2\nb 1 2\n")
    assert tell_form(path) == Form(binary=False, width=2, count=2)
    path.write_text("new york 0.1 0.2\nroute 66 0.1 0.2\ncat 0.1 0.2\ndog 0.1 0.2\n")
    assert tell_form(path) == Form(binary=False, width=2, count=None)


def test_no_pickle_is_ever_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    with pytest.raises(InputError, match="pickle"):
        embed_words(["a"], _file(tmp_path, pickle.dumps(Bomb())))
    assert not (tmp_path / "ran").exists()


GLOVE = "polar_bear 1 2\npolar 3 0\nbear 0 5\nParis 7 7\ndog 1 1\nsea-side 2 2\nnew 9 1\nBAR 4 4\n"


@pytest.mark.parametrize(
    ("label", "vector", "route"),
    [
        ("polar bear", [1, 2], "whole: polar_bear"),
        ("Polar-Bear", [1, 2], "whole: polar_bear"),
        ("DOG", [1, 1], "whole: dog"),
        ("paris", [7, 7], "whole: Paris"),
        ("sea side", [2, 2], "whole: sea-side"),
        ("bar", [4, 4], "whole: BAR"),
        ("bear dog", [0.5, 3], "composed: bear + dog"),
        ("bear-Paris_dog", [np.float32(8 / 3), np.float32(13 / 3)], "composed: bear + Paris + dog"),
    ],
)
def test_labels_are_looked_up_whole_and_then_composed(tmp_path, label, vector, route):
    table = embed_words([label], _file(tmp_path, GLOVE))
    assert table.labels == (label,)
    assert table.vectors[0].tolist() == vector
    assert table.routes == (route,)
    assert table.provenance.kind == "word_vectors"
    assert table.provenance.source == str(tmp_path / "v")


def test_spellings_come_in_a_fixed_order_as_written_first():
    order = spellings("Polar bear")
    assert order[:5] == ["Polar bear", "polar bear", "Polar_bear", "polar_bear", "Polar-bear"]
    assert order.index("polarbear") < order.index("Polar_Bear") < order.index("POLAR BEAR")
    assert len(order) == len(set(order))


def test_missing_labels_are_named_with_their_lines(tmp_path, capsys):
    vectors = _file(tmp_path, GLOVE)
    labels = tmp_path / "labels.txt"
    labels.write_text("# mine\ndog\n\nwhale\npolar whale\n")
    vocabulary = read_vocabulary(labels)
    with pytest.raises(InputError) as caught:
        embed_words(vocabulary.labels, vectors, vocabulary=vocabulary)
    text = str(caught.value)
    assert text.startswith(f"{labels}:4: 2 of 3 labels have no vector")
    assert "'whale' (line 4), 'polar whale' (line 5; no 'whale')" in text
    assert "--missing skip" in text
    table = embed_words(vocabulary.labels, vectors, missing="skip", vocabulary=vocabulary)
    assert table.labels == ("dog",)
    warned = capsys.readouterr().err
    assert "warning: left out, 2 of 3" in warned and "'polar whale'" in warned
    with pytest.raises(InputError, match="2 of 2 labels"):
        embed_words(["whale", "polar whale"], vectors, missing="skip")


def test_only_the_first_ten_missing_labels_are_listed(tmp_path):
    labels = [f"unknown{at}" for at in range(25)]
    with pytest.raises(InputError, match=r"'unknown9' \(position 10\) and 15 more"):
        embed_words(labels, _file(tmp_path, GLOVE))


REAL = ("glove_nus_wide_1006.300d.txt.gz", "googlenews_8000.300d.bin", "glove_twitter_11925.25d.txt.gz")


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim leaves files without header open
def test_agrees_with_gensim_on_real_vectors(shared_data, name):
    from gensim.models import KeyedVectors

    path = shared_data / "vectors" / name
    binary = name.endswith(".bin")
    model = KeyedVectors.load_word2vec_format(str(path), binary=binary, no_header=not binary)
    words = read_word_vectors(path, model.index_to_key)
    assert words.width == model.vector_size
    assert list(words.vectors) == model.index_to_key
    assert np.array_equal(np.stack(list(words.vectors.values())), model.vectors)
    assert words.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.realdata
def test_all_nus_wide_tags_have_a_vector(shared_data):
    tags = read_vocabulary(shared_data / "nus_wide" / "TagList1k.txt")
    table = embed_words(tags.labels, shared_data / "vectors" / REAL[0], vocabulary=tags)
    assert (len(table), table.width) == (1000, 300)
    with pytest.raises(InputError, match="is a Python pickle"):
        embed_words(tags.labels, shared_data / "vectors" / "lesa_nus_wide_glove.300d.pkl")
    with pytest.raises(InputError, match="is a zip archive"):
        embed_words(tags.labels, shared_data / "vectors" / "sdl_nus_wide_1006.300d.npz")
