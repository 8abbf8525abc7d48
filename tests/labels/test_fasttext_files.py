import gzip
import hashlib
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.errors import EnvironmentFailure, InputError
from zsmld.labels import fasttext_files, fasttext_walk
from zsmld.labels.vector_files import open_vector_file

SENTENCES = [["polar", "bear", "bears"], ["été", "熊", "polar", "bear"], ["bear", "swims", "x"], ["polar", "swimmer"]]
HEAD = 4 + 4 + 12 * 4 + 8 + 3 * 4 + 2 * 8


def trained(folder, **options):
    """A tiny model of gensim's, saved in Facebook's form: its path, and its vectors as gensim loads them."""
    from gensim.models import FastText
    from gensim.models.fasttext import load_facebook_vectors, save_facebook_model

    settings = {"vector_size": 6, "min_count": 1, "epochs": 2, "bucket": 50, "min_n": 3, "max_n": 5, "workers": 1}
    model = FastText(SENTENCES, **{**settings, **options})
    path = folder / "model.bin"
    save_facebook_model(model, str(path))
    return path, load_facebook_vectors(str(path))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("fasttext"))


@pytest.fixture(scope="module")
def tiny_data(tiny):
    return tiny[0].read_bytes()


def zipped(data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "A model.\n")
        archive.writestr("wiki.xx.bin", data)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"sg": 1}, {"hs": 1, "negative": 0}, {"min_n": 1, "max_n": 2}, {"bucket": 1}])
def test_agrees_with_gensim_byte_for_byte(tmp_path, options):
    path, model = trained(tmp_path, **options)
    source = open_vector_file(path)
    assert list(source.words()) == model.index_to_key
    unknown = ["polarbears", "ours", "熊熊", "étés"]
    for wanted in (model.index_to_key, ["bear", "été", "absent"], [], unknown):
        words = source.read(wanted)
        assert set(words.vectors) == set(wanted) & set(model.index_to_key)
        assert (words.width, words.size) == (6, len(model))
        assert words.ranks == {word: model.key_to_index[word] for word in words.vectors}
        assert words.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for word, vector in words.vectors.items():
            assert vector.dtype == np.float32
            assert vector.tobytes() == model.get_vector(word).tobytes()
        for word in unknown:
            assert words.subwords(word).tobytes() == model.get_vector(word).tobytes()


@pytest.mark.parametrize("packed", [lambda data: gzip.compress(data, mtime=0), zipped])
def test_packed_models_are_the_same_source(tmp_path, tiny, packed):
    path, _ = tiny
    other = tmp_path / "any.name"
    other.write_bytes(packed(path.read_bytes()))
    ours, theirs = open_vector_file(path).read(["bear"]), open_vector_file(other).read(["bear"])
    assert ours.vectors["bear"].tobytes() == theirs.vectors["bear"].tobytes()
    assert (ours.digest, ours.size) == (theirs.digest, theirs.size)
    assert ours.subwords("bearing").tobytes() == theirs.subwords("bearing").tobytes()


def test_words_without_ngrams_have_no_subwords(tmp_path, tiny, caplog):
    path, _ = tiny
    words = open_vector_file(path).read([])
    caplog.clear()
    assert words.subwords("") is None
    # gensim would warn.
    assert not caplog.records
    (tmp_path / "long").mkdir()
    path, _ = trained(tmp_path / "long", min_n=5, max_n=6)
    assert open_vector_file(path).read([]).subwords("ab") is None
    assert open_vector_file(path).read([]).subwords("abc") is not None
    (tmp_path / "none").mkdir()
    path, model = trained(tmp_path / "none", min_n=3, max_n=2)
    words = open_vector_file(path).read(["bear"])
    assert words.vectors["bear"].tobytes() == model.get_vector("bear").tobytes()
    assert words.subwords is None or words.subwords("bears") is None


def _patched(data, at, form, *values):
    new = struct.pack(form, *values)
    return data[:at] + new + data[at + len(new) :]


def _matrix_at(data):
    """Where the flag before the vectors stands."""
    words = struct.unpack_from("<i", data, 68)[0]
    at = HEAD
    for _ in range(words):
        at = data.index(b"\0", at) + 1 + 9
    return at


def _rows_of_zeros(data):
    at = _matrix_at(data) + 17
    rows, width = struct.unpack_from("<2q", data, at - 16)
    return data[:at] + bytes(4 * rows * width) + data[at + 4 * rows * width :]


FAULTS = {
    "version": (lambda d: _patched(d, 4, "<i", 13), "form of version 13, expected 1 to 12 .at byte 4."),
    "dimension": (lambda d: _patched(d, 8, "<i", 0), "gives the dimension as 0, expected 1 to 65536"),
    "kind": (lambda d: _patched(d, 8 + 4 * 7, "<i", 3), "supervised fastText model"),
    "buckets": (lambda d: _patched(d, 8 + 4 * 8, "<i", -1), "number of buckets as -1"),
    "more buckets": (lambda d: _patched(d, 8 + 4 * 8, "<i", 51), "expected 8 words [+] 51 buckets × 6 .at byte"),
    "shortest": (lambda d: _patched(d, 8 + 4 * 9, "<i", -1), "shortest n-gram as -1"),
    "longest": (lambda d: _patched(d, 8 + 4 * 10, "<i", 1 << 30), "longest n-gram as 1073741824"),
    "size": (lambda d: _patched(d, 64, "<i", 10), "dictionary's size as 10, expected 8"),
    "no words": (lambda d: _patched(d, 64, "<2i", 0, 0), "number of words as 0"),
    "too many words": (lambda d: _patched(d, 64, "<2i", 1 << 30, 1 << 30), "(at byte|ends at byte)"),
    "labels": (lambda d: _patched(d, 72, "<i", 1), "supervised fastText model"),
    "negative labels": (lambda d: _patched(d, 72, "<i", -1), "number of labels as -1"),
    "pruned": (lambda d: _patched(d, 84, "<q", 5), "quantised fastText model, whose n-grams are pruned. Use the .vec"),
    "prune": (lambda d: _patched(d, 84, "<q", -5), "pruning table as -5"),
    "label": (lambda d: _patched(d, d.index(b"\0", HEAD) + 9, "<b", 1), "its dictionary has labels .at byte 92."),
    "entry": (lambda d: _patched(d, d.index(b"\0", HEAD) + 9, "<b", 7), "has the kind 7"),
    "count": (lambda d: _patched(d, d.index(b"\0", HEAD) + 1, "<q", 0), "the count 0 .at byte 92."),
    "quantised": (lambda d: _patched(d, _matrix_at(d), "<b", 1), "is a quantised fastText model. Use the .vec"),
    "flag": (lambda d: _patched(d, _matrix_at(d), "<b", 2), "flag of a matrix is 2"),
    "rows": (lambda d: _patched(d, _matrix_at(d) + 1, "<q", 57), "vectors are 57 × 6, expected 8 words [+] 50 buckets"),
    "width": (lambda d: _patched(d, _matrix_at(d) + 9, "<q", 1 << 60), "expected 8 words [+] 50 buckets × 6"),
    "not finite": (lambda d: _patched(d, _matrix_at(d) + 17, "<9f", *[np.nan] * 9), "word at byte 92. holds a number"),
    "zeros": (_rows_of_zeros, "is all zeros"),
    "cut in the header": (lambda d: d[:30], "ends at byte 30 within its arguments. Fetch it again"),
    "cut in a word": (lambda d: d[: HEAD + 2], "ends at byte 94 within word 1 of 8"),
    "cut in a count": (lambda d: d[: d.index(b"\0", HEAD) + 4], "within word 1"),
    "cut in the vectors": (lambda d: d[: _matrix_at(d) + 50], "within its vectors"),
    "cut in the buckets": (lambda d: d[: _matrix_at(d) + 17 + 4 * 6 * 8 + 2], "within its n-grams"),
    "cut in the output": (lambda d: d[:-1], "within its output layer"),
    "no output": (lambda d: d[: _matrix_at(d) + 17 + 4 * 6 * 58], "within the head of a matrix"),
    "output": (
        lambda d: _patched(d, _matrix_at(d) + 17 + 4 * 6 * 58 + 1, "<q", -1),
        "its output layer is -1 × 6 .at byte",
    ),
    "surplus": (lambda d: d + b"\0", "more follows where it should end .at byte"),
    "endless word": (lambda d: d[:HEAD] + b"x" * (1 << 17), "a word has no end within 65536 bytes .at byte 92."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_malformed_models_are_refused_with_their_place(tmp_path, tiny, tiny_data, fault):
    damage, told = FAULTS[fault]
    path = tmp_path / "model.bin"
    path.write_bytes(damage(tiny_data))
    with pytest.raises(InputError, match=told) as caught:
        open_vector_file(path).read(tiny[1].index_to_key)
    assert caught.value.path == path
    assert len(str(caught.value).splitlines()) == 1


def test_a_word_that_stands_twice_is_refused_where_it_is_wanted(tmp_path, tiny, tiny_data):
    first, second = tiny[1].index_to_key[:2]
    assert (first, second) == ("bear", "polar")
    path = tmp_path / "model.bin"
    path.write_bytes(tiny_data.replace(b"bears\0", b"polar\0", 1))
    with pytest.raises(InputError, match="'polar' stands twice in its dictionary, at byte 106 and at byte"):
        open_vector_file(path).read(["polar"])
    assert set(open_vector_file(path).read(["bear"]).vectors) == {"bear"}


def test_words_that_are_not_utf8_are_passed_over(tmp_path, tiny_data):
    from gensim.models.fasttext import load_facebook_vectors

    path = tmp_path / "model.bin"
    path.write_bytes(tiny_data.replace(b"swims\0", b"sw\xffms\0", 1))
    model = load_facebook_vectors(str(path))
    source = open_vector_file(path)
    assert list(source.words()) == model.index_to_key
    assert "sw\\xffms" in model.index_to_key
    assert source.read(["bear"]).vectors["bear"].tobytes() == model.get_vector("bear").tobytes()


@given(data=st.data())
def test_a_model_that_is_cut_or_changed_anywhere_is_read_or_refused(tmp_path_factory, tiny_data, data):
    at = data.draw(st.integers(4, len(tiny_data) - 1))
    whole = bytearray(tiny_data)
    cut = data.draw(st.booleans())
    if cut:
        del whole[at:]
    else:
        whole[at : at + 1] = data.draw(st.binary(max_size=9))
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    path.write_bytes(whole)
    try:
        words = open_vector_file(path).read(["bear"])
    except InputError as error:
        assert error.path == path and len(str(error).splitlines()) == 1
    else:
        assert not cut
        assert all(np.isfinite(vector).all() for vector in words.vectors.values())


def test_a_walk_in_small_blocks_finds_the_same(tiny, monkeypatch):
    path, model = tiny
    monkeypatch.setattr(fasttext_walk, "_CHUNK", 7)
    words = open_vector_file(path).read(["bear", "été"])
    assert words.vectors["été"].tobytes() == model.get_vector("été").tobytes()
    assert list(open_vector_file(path).words()) == model.index_to_key


def test_a_full_disk_is_told_and_nothing_is_left(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(fasttext_files.tempfile, "tempdir", str(tmp_path))
    open_vector_file(tiny[0]).read(["bear"])

    def full(self, data):
        raise self._failure(OSError(28, "No space left on device"))

    monkeypatch.setattr(fasttext_files._Disk, "_write", full)
    with pytest.raises(EnvironmentFailure, match=r"no space left on device[.] Set TMPDIR"):
        open_vector_file(tiny[0]).read(["bear"])
    assert list(tmp_path.iterdir()) == []


def test_a_large_model_says_how_much_memory_it_takes(tiny, monkeypatch, capsys):
    open_vector_file(tiny[0]).read([])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(fasttext_files, "_WORTH_TELLING", 1000)
    open_vector_file(tiny[0]).read([])
    assert "about 0.0 GiB of memory" in capsys.readouterr().err
