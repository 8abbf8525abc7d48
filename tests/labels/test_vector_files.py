import gzip
import hashlib
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zsmld.errors import InputError, UsageError
from zsmld.labels.vector_files import open_vector_file
from zsmld.labels.vector_forms import Form, tell_form

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=10)
FORMS = ("glove", "text", "vec", "binary")


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


def zip_of(members, method=zipfile.ZIP_DEFLATED):
    """A zip archive of name → bytes, the same at any time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, method)
    return stream.getvalue()


PACKINGS = {
    "plain": lambda data: data,
    "gzipped": zipped_alike,
    "zipped": lambda data: zip_of(
        {"README": b"Vectors of words.\n", "made/v.vec": data, "__MACOSX/made/._v.vec": data}
    ),
}


def _written(path, words, vectors, form):
    """The content of a file of that form; gensim writes what it can write."""
    if form == "glove":
        rows = [f"{word} {' '.join(str(float(x)) for x in row)}\n" for word, row in zip(words, vectors, strict=True)]
        return "".join(rows).encode()
    from gensim.models import KeyedVectors

    model = KeyedVectors(vectors.shape[1])
    model.add_vectors(words, vectors)
    model.save_word2vec_format(str(path), binary=form == "binary")
    data = path.read_bytes()
    # fastText ends the rows of its .vec files with a blank.
    return b"".join(line.rstrip(b"\n") + b" \n" for line in data.splitlines(keepends=True)) if form == "vec" else data


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", FORMS)
@given(table=tables())
def test_what_is_written_is_read_byte_for_byte(tmp_path_factory, form, packing, table):
    words, vectors = table
    path = tmp_path_factory.mktemp("vectors") / "any.name"
    content = _written(path, words, vectors, form)
    path.write_bytes(PACKINGS[packing](content))
    source = open_vector_file(path)
    found = source.read(words[::2])
    assert (found.width, found.size) == (vectors.shape[1], len(words))
    assert set(found.vectors) == set(words[::2])
    assert found.ranks == {word: 2 * at for at, word in enumerate(words[::2])}
    assert found.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert list(source.words()) == words
    for word, vector in zip(words[::2], vectors[::2], strict=True):
        assert found.vectors[word].dtype == np.float32
        assert found.vectors[word].tobytes() == vector.tobytes()


@given(table=tables(), data=st.data())
def test_a_binary_file_cut_anywhere_is_refused(tmp_path_factory, table, data):
    path = tmp_path_factory.mktemp("vectors") / "v.bin"
    whole = _written(path, *table, "binary")
    start = whole.index(b"\n") + 1
    path.write_bytes(whole[: data.draw(st.integers(start, len(whole) - 1))])
    with pytest.raises(InputError):
        open_vector_file(path).read(table[0])


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("vectors") / "v"
    path.write_bytes(data)
    for use in (lambda source: source.read(["a"]), lambda source: list(source.words())):
        try:
            use(open_vector_file(path))
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
    words = open_vector_file(_file(tmp_path, b"3 2\n" + b"".join(rows))).read(["a", "c"])
    assert words.vectors["c"].tolist() == [1, 2]
    assert set(words.vectors) == {"a", "c"}


def test_reads_binary_files_of_many_chunks(tmp_path, monkeypatch):
    from zsmld.labels import binary_rows

    monkeypatch.setattr(binary_rows, "_CHUNK", 64)
    names = [f"word{at}" for at in range(200)]
    rows = [name.encode() + b" " + _floats(*range(at, at + 7)) for at, name in enumerate(names, start=1)]
    path = _file(tmp_path, b"200 7\n" + b"".join(rows))
    words = open_vector_file(path).read(names)
    assert [words.vectors[name][0] for name in names] == list(range(1, 201))
    # Memory does not grow with the file: never more than a chunk and a row at a time.
    seen = []
    monkeypatch.setattr(binary_rows.BinaryRows, "_refill", _spied(binary_rows.BinaryRows._refill, seen))
    open_vector_file(path).read([])
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
    words = open_vector_file(path).read(["cat", "new york", "route 66", "dog", "new"])
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
        (b"PK\x03\x04rest", "is a damaged zip archive", None),
        (b"\x93NUMPY\x01\x00", "is a NumPy array file", None),
        (zipped_alike(zipped_alike(b"a 0.1 0.2\n")), "is packed twice", None),
        (zip_of({"v.gz": zipped_alike(b"a 0.1 0.2\n")}), "is packed twice", None),
        (zip_of({"v.zip": zip_of({"v.txt": b"a 0.1 0.2\n"})}), "is packed twice", None),
        (zip_of({"v.pkl": pickle.dumps([1])}), "is a Python pickle", None),
        (zip_of({}), "without word vectors, it holds nothing", None),
        (
            zip_of({"a.npy": b"\x93NUMPY", "b.npy": b"\x93NUMPY"}),
            "without word vectors, it holds 'a.npy', 'b.npy'",
            None,
        ),
        (zip_of({"v": b"a 0.1 0.2\n\xe9 1 2\n"}), "is not UTF-8", 2),
        (zipped_alike(b"a 0.1 0.2\n" * 9)[:-9], "truncated gzip", None),
        (zipped_alike(b"a 0.1 0.2\n" * 9)[:12], "truncated gzip", None),
        (zipped_alike(b"a 0.1 0.2\n" * 9) + b"garbage", "damaged gzip", None),
        (b"a" * (1 << 20), "no line end in its first MiB", 1),
    ],
)
def test_malformed_files_are_refused_with_their_place(tmp_path, data, told, line):
    path = _file(tmp_path, data)
    with pytest.raises(InputError, match=told) as caught:
        open_vector_file(path).read(["b"])
    assert (caught.value.path, caught.value.line) == (path, line)


@pytest.mark.parametrize("packed", [zipped_alike, lambda data: zip_of({"v": data})])
def test_a_flipped_bit_in_a_packed_file_is_refused(tmp_path, packed):
    data = bytearray(packed(b"".join(f"w{at} 0.{at} 1\n".encode() for at in range(100, 900))))
    data[len(data) // 2] ^= 4
    with pytest.raises(InputError, match="damaged"):
        open_vector_file(_file(tmp_path, bytes(data))).read([])


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_archive_is_read_or_refused_in_one_line(tmp_path_factory, at, byte, cut):
    data = bytearray(zip_of({"a/v.txt": b"a 1 2\nb 3 4\n", "README": b"words\n"}))
    at %= len(data)
    data[at] = byte
    path = _file(tmp_path_factory.mktemp("zip"), bytes(data[:at] if cut else data))
    try:
        words = open_vector_file(path).read(["a"])
    except InputError as error:
        assert len(str(error).splitlines()) == 1 and error.path == path
    else:
        assert words.vectors["a"].tolist() == [1, 2]


TWO = {"notes.md": b"# words\n", "v.50d.txt": b"a 1 2\nb 3 4\n", "v.100d.txt": b"a 1 2 3\nb 3 4 5\n"}


def test_one_of_several_members_is_named(tmp_path):
    path = _file(tmp_path, zip_of(TWO))
    with pytest.raises(InputError, match=r"2 files of word vectors: 'v.50d.txt', 'v.100d.txt'. Append ::member=NAME"):
        open_vector_file(path)
    words = open_vector_file(path, member="v.100d.txt").read(["b"])
    assert words.vectors["b"].tolist() == [3, 4, 5]
    with pytest.raises(InputError, match=r"no member 'v.10d.txt', it holds 'notes.md'.*Did you mean 'v.100d.txt'"):
        open_vector_file(path, member="v.10d.txt")
    with pytest.raises(InputError, match="line 1 is not a word and its numbers"):
        open_vector_file(path, member="notes.md")
    with pytest.raises(UsageError, match="is no zip archive"):
        open_vector_file(_file(tmp_path, b"a 1 2\n"), member="v.50d.txt")
    many = zip_of({f"{at}.txt": b"a 1 2\n" for at in range(300)})
    with pytest.raises(InputError, match=r"archive of 300 files[.] Append ::member"):
        open_vector_file(_file(tmp_path, many))


def _patched(data, offset, value):
    """The archive with a field of its central directory changed."""
    at = data.index(b"PK\x01\x02") + offset
    return data[:at] + value + data[at + len(value) :]


ROWS = b"".join(f"w{at} 0.{at} 1\n".encode() for at in range(100, 900))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: _patched(data, 8, b"\x01\x00"), "is an encrypted zip archive. Unpack it yourself"),
        (lambda data: _patched(data, 10, b"\x63\x00"), "cannot be read: that compression method"),
        # A bomb that gives itself out for ten bytes, and one for sixty packed ones.
        (lambda data: _patched(data, 24, struct.pack("<I", 10)), "damaged zip archive: Bad CRC"),
        (lambda data: _patched(data, 20, struct.pack("<I", 60)), "(damaged|truncated) zip archive"),
        (lambda data: data[: len(data) // 2], "damaged zip archive: File is not a zip file"),
        (lambda data: data.replace(b"v.txt", b"w.txt", 1), "damaged zip archive: File name in directory"),
    ],
)
def test_foreign_and_lying_archives_are_refused(tmp_path, damage, told):
    path = _file(tmp_path, damage(zip_of({"v.txt": ROWS})))
    with pytest.raises(InputError, match=told) as caught:
        open_vector_file(path).read(["w100"])
    assert caught.value.path == path


def test_sizes_of_an_archive_are_not_believed(tmp_path):
    data = zip_of({"v.txt": ROWS})
    path = _file(tmp_path, _patched(data, 24, struct.pack("<I", 0xFFFFFFF0)))
    assert open_vector_file(path).read(["w100"]).size == 800


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_a_zip_archive_is_read_and_its_damage_told(tmp_path, method):
    data = zip_of({"v.txt": ROWS}, method)
    path = _file(tmp_path, data)
    assert open_vector_file(path).read([]).size == 800
    damaged = bytearray(data)
    damaged[200] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="damaged zip archive"):
        open_vector_file(path).read([])


def test_a_bomb_without_line_ends_takes_no_memory(tmp_path):
    import tracemalloc

    path = _file(tmp_path, zip_of({"v.txt": bytes(1 << 26)}))
    tracemalloc.start()
    with pytest.raises(InputError, match="no line end in its first MiB"):
        open_vector_file(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_rows_that_nobody_wants_may_hold_what_is_no_vector(tmp_path):
    path = _file(tmp_path, "a 0.1 0.2\nb nan 0\nb 0 0\na 0.1 0.2\n")
    words = open_vector_file(path).read(["a"])
    assert set(words.vectors) == {"a"}
    assert (words.ranks, words.size) == ({"a": 0}, 4)


def test_odd_words_of_the_web_are_words(tmp_path):
    odd = ["a\u00a0b", "\u2028", "c\u2029d", "\x85", "\ufeff", "x\x1cy", "z\x0b"]
    path = _file(tmp_path, f"{len(odd)} 2\n" + "".join(f"{word} 1 {at} \n" for at, word in enumerate(odd)))
    source = open_vector_file(path)
    words = source.read(odd)
    assert [words.vectors[word].tolist() for word in odd] == [[1, at] for at in range(len(odd))]
    assert list(source.words()) == odd


def test_a_form_is_told_by_content_not_by_name(tmp_path):
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(b"2 2\na " + _floats(1, 2) + b"b " + _floats(1, 2))
    assert tell_form(path) == Form(binary=True, width=2, count=2)
    path.write_text("2 2\nä 1 2\nb 1 2\n")
    assert tell_form(path) == Form(binary=False, width=2, count=2)
    path.write_text("new york 0.1 0.2\nroute 66 0.1 0.2\ncat 0.1 0.2\ndog 0.1 0.2\n")
    assert tell_form(path) == Form(binary=False, width=2, count=None)


REAL = ("glove_nus_wide_1006.300d.txt.gz", "googlenews_8000.300d.bin", "glove_twitter_11925.25d.txt.gz")


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim leaves files without header open
def test_agrees_with_gensim_on_real_vectors(shared_data, name):
    from gensim.models import KeyedVectors

    path = shared_data / "vectors" / name
    binary = name.endswith(".bin")
    model = KeyedVectors.load_word2vec_format(str(path), binary=binary, no_header=not binary)
    words = open_vector_file(path).read(model.index_to_key)
    assert words.width == model.vector_size
    assert list(words.vectors) == model.index_to_key
    assert np.array_equal(np.stack(list(words.vectors.values())), model.vectors)
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    assert words.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert list(open_vector_file(path).words()) == model.index_to_key
    assert words.ranks == model.key_to_index
