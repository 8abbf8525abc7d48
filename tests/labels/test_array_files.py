import gzip
import hashlib
import io
import json
import pickle
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zsmld.errors import InputError
from zsmld.labels.array_files import is_array_file, open_array_file
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.labels.vector_files import open_vector_file

WORDS = ["sky", "cat", "New York", "été", "dog"]
TABLE = np.array([[1, 2, 3], [0.5, -1, 2], [4, 4, 1], [0, 0, 1], [2, 1, 0]], np.float32)
BYTES = TABLE.tobytes()
QUARTERS = st.integers(-100, 100).map(lambda number: number / 4)  # exact in every type
FORMS = ("npy", "npz", "packed", "safetensors", "torch", "pickle", "dictionary")


def _written(folder, array, form, *, name="vecs"):
    """`array` as the library of each form writes it."""
    path = folder / "any.name"
    if form == "npy":
        with path.open("wb") as stream:
            np.save(stream, array)
    elif form in {"npz", "packed"}:
        with path.open("wb") as stream:
            (np.savez if form == "npz" else np.savez_compressed)(stream, **{name: array})
    elif form == "safetensors":
        native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
        path.write_bytes(safetensors.numpy.save({name: native}))
    elif form == "torch":
        native = array.astype(array.dtype.newbyteorder("="))
        torch.save({name: torch.from_numpy(native.copy())}, path)
    else:
        path.write_bytes(pickle.dumps({name: array} if form == "dictionary" else array))
    return path


def _listed(folder, words, name="words.txt"):
    path = folder / name
    path.write_text("\n".join(words) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(data=st.data())
def test_what_the_libraries_write_is_read_in_every_form(tmp_path_factory, form, data):
    folder = tmp_path_factory.mktemp("arrays")
    words = data.draw(st.permutations(WORDS + list("abc")))[: data.draw(st.integers(2, 8))]
    width = data.draw(st.sampled_from([width for width in (1, 2, 3, 5) if width != len(words)]))
    table = data.draw(arrays.arrays(np.dtype(data.draw(st.sampled_from(["<f2", "<f4", "<f8", ">f4", ">f8"]))),
                                    (len(words), width), elements=QUARTERS, fill=st.nothing()))  # fmt: skip
    table[:, 0] = np.where(table.any(axis=1), table[:, 0], 1)
    array = data.draw(st.sampled_from([table, table.T, table[None], table.T[None], np.asfortranarray(table)]))
    found = open_array_file(_written(folder, array, form), words=[_listed(folder, words)]).read(words[::2])
    assert found.width == width and found.size == len(words)
    assert found.ranks == {word: at for at, word in enumerate(words) if at % 2 == 0}
    for at, word in enumerate(words):
        if at % 2 == 0:
            assert found.vectors[word].dtype == np.float32
            assert found.vectors[word].tobytes() == table[at].astype(np.float32).tobytes()
    assert ("on its columns" in found.note) == (array.shape[-2:] == (width, len(words)))


def test_the_container_does_not_matter_to_the_digest(tmp_path):
    words = _listed(tmp_path, WORDS)
    digests = set()
    for form in FORMS:
        for array in (TABLE, TABLE.T, TABLE.astype(">f8")):
            digests.add(open_array_file(_written(tmp_path, array, form), words=[words]).read([]).digest)
    stated = f"5 3\n{''.join(word + chr(10) for word in WORDS)}".encode() + TABLE.tobytes()
    assert digests == {f"sha256:{hashlib.sha256(stated).hexdigest()}"}
    turned = open_array_file(_written(tmp_path, TABLE, "npy"), words=[_listed(tmp_path, WORDS[::-1])]).read([])
    assert turned.digest not in digests


def test_words_are_found_beside_the_array(tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, some=np.array(["sky", "cat"]), words=np.array(WORDS), ids=np.arange(5), vecs=TABLE)
    source = open_array_file(path)
    assert list(source.words()) == WORDS
    found = source.read(["dog", "no"])
    assert found.vectors["dog"].tolist() == [2, 1, 0] and set(found.vectors) == {"dog"}
    assert "its own 'words'" in found.note and "order as listed: not checked" in found.note
    path.write_bytes(pickle.dumps({"names": WORDS, "vecs": TABLE.T}))
    assert list(open_array_file(path).words()) == WORDS
    np.savez(path.with_suffix(".npz"), words=np.array([word.encode() for word in WORDS]), vecs=TABLE)
    assert list(open_array_file(path).words()) == WORDS


@pytest.mark.parametrize(
    "write",
    [
        lambda words: "\n".join(["# a comment", "", *words]).encode(),
        lambda words: "\r\n".join(words).encode("utf-8-sig"),
        pickle.dumps,
        lambda words: pickle.dumps(tuple(words), 0),
        lambda words: pickle.dumps(dict(enumerate(words))),
        lambda words: pickle.dumps({word: at for at, word in reversed(list(enumerate(words)))}),
        lambda words: pickle.dumps({np.int64(at): word for at, word in enumerate(words)}),
        lambda words: pickle.dumps(np.array(words)),
        lambda words: pickle.dumps([np.str_(word) for word in words]),
        lambda words: _npy(np.array(words)),
    ],
)
def test_lists_of_words_of_every_kind_are_read(tmp_path, write):
    lists = tmp_path / "words"
    lists.write_bytes(write(WORDS))
    source = open_array_file(_written(tmp_path, TABLE, "npy"), words=[lists])
    assert list(source.words()) == WORDS
    assert f"words (sha256:{hashlib.sha256(lists.read_bytes()).hexdigest()[:12]})" in source.read([]).note


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "told", "line"),
    [
        (b"", "holds no word", None),
        (b"a\nb\nc\nd\n", "holds 5 × 3 numbers, but there are 4 words in words", None),
        (b"0\ta\n1\tb\n2\tc\n3\td\n4\te\n", "holds a tab.*without other columns", 1),
        (b"a\nb\n\x1bc\nd\ne\n", r"control character U\+001B", 3),
        (b"a\nb\n\xff\nd\ne\n", "is not UTF-8", 3),
        (pickle.dumps(["a", "b", 3, "d", "e"]), "holds int, where a text was expected", None),
        (pickle.dumps(["a", "", "c", "d", "e"]), "word 2 is empty", None),
        (pickle.dumps({1: "a", 2: "b"}), "expected the places 0 to 1", None),
        (pickle.dumps({"a": 0, "b": 0}), "expected the places 0 to 1", None),
        (pickle.dumps({0: "a", "b": "c"}), "expected the places 0 to 1", None),
        (pickle.dumps({0: ["a"], 1: "b"}), "holds list, where a text", None),
        (pickle.dumps(np.array([["a", "b"]])), "2 dimensions", None),
        (pickle.dumps(b"\xff"), "a pickle of one bytes", None),
        (pickle.dumps(["a", b"\xff"]), "not UTF-8", None),
        (_npy(np.arange(5)), "0 lists of texts", None),
        (b"a\nb\nc\nb\ne\n", "'b' has two vectors: row 2 and row 4", None),
    ],
)
def test_lists_of_words_that_do_not_serve_are_refused(tmp_path, data, told, line):
    lists = tmp_path / "words"
    lists.write_bytes(data)
    path = _written(tmp_path, TABLE, "npy")
    with pytest.raises(InputError, match=told) as caught:
        open_array_file(path, words=[lists]).read([])
    assert caught.value.line == line and caught.value.path in {path, lists}
    assert "\n" not in str(caught.value)


def test_a_word_may_stand_twice_with_one_vector_and_case_counts(tmp_path):
    table = TABLE.copy()
    table[3] = table[1]
    source = open_array_file(
        _written(tmp_path, table, "npy"), words=[_listed(tmp_path, ["Sky", "cat", "sky", "cat", "SKY"])]
    )
    found = source.read(["Sky", "sky", "SKY", "cat"])
    assert found.size == 4 and found.ranks == {"Sky": 0, "cat": 1, "sky": 2, "SKY": 3}
    assert found.vectors["SKY"].tolist() == table[4].tolist()


def test_alphabetical_order_is_that_of_a_binarizer(tmp_path):
    from sklearn.preprocessing import MultiLabelBinarizer

    classes = list(MultiLabelBinarizer().fit([WORDS]).classes_)
    lists = [_listed(tmp_path, WORDS[:3], "a"), _listed(tmp_path, WORDS[2:], "b")]
    source = open_array_file(_written(tmp_path, TABLE.T, "torch"), words=lists, alphabetical=True)
    assert list(source.words()) == classes == sorted(WORDS)
    assert source.read(["New York"]).vectors["New York"].tolist() == TABLE[0].tolist()
    assert "order alphabetical" in source.read([]).note
    with pytest.raises(
        InputError, match=r"there are 6 words in a .*, b .*It fits the 5 distinct ones: append ::order="
    ):
        open_array_file(_written(tmp_path, TABLE.T, "torch"), words=lists).read([])
    with pytest.raises(InputError, match="there are 3 distinct words in a "):
        open_array_file(_written(tmp_path, TABLE.T[:2], "npy"), words=lists[:1], alphabetical=True).read([])


def test_each_array_of_a_list_has_its_words(tmp_path):
    path = tmp_path / "v.pkl"
    path.write_bytes(pickle.dumps([TABLE, TABLE[1:3]]))
    lists = [_listed(tmp_path, WORDS), _listed(tmp_path, WORDS[1:3], "few")]
    source = open_array_file(path, words=lists)
    assert list(source.words()) == WORDS
    assert source.read([]).note.count("on its rows") == 2
    alone = open_array_file(_written(tmp_path, TABLE, "npy"), words=lists[:1])
    assert source.read([]).digest == alone.read([]).digest
    assert open_array_file(path, words=lists[1:], array="1").read(["cat"]).size == 2
    _listed(tmp_path, [WORDS[2], WORDS[1]], "few")
    with pytest.raises(InputError, match="'New York' has two vectors: row 3 of array 1 and row 1 of array 2"):
        open_array_file(path, words=lists).read([])
    with pytest.raises(InputError, match=r"list of 2 arrays \(float32 5 × 3 and float32 2 × 3\), 1 word lists"):
        open_array_file(path, words=lists[:1]).read([])
    path.write_bytes(pickle.dumps([TABLE, np.ones((2, 4), "f4")]))
    with pytest.raises(InputError, match=r"vectors of \[3, 4\] numbers"):
        open_array_file(path, words=lists).read([])


def test_of_several_arrays_one_is_named(tmp_path):
    words = _listed(tmp_path, WORDS)
    path = tmp_path / "v.npz"
    np.savez(path, first=TABLE, second=TABLE + 1, ids=np.arange(5), odd=np.array([None]), few=TABLE[:2])
    with pytest.raises(InputError, match=r"holds several arrays: 'first \(float32 5 × 3\)', .*::array=NAME"):
        open_array_file(path, words=[words]).read([])
    named = open_array_file(path, words=[words], array="second").read(["sky"])
    assert named.vectors["sky"].tolist() == [2, 3, 4]
    for name, told in [
        ("third", "holds no array 'third', but 'first"),
        ("ids", r"its array 'ids' holds int64 5, expected floating-point numbers"),
        ("odd", "its array 'odd' holds Python objects"),
    ]:
        with pytest.raises(InputError, match=told):
            open_array_file(path, words=[words], array=name).read([])
    np.savez(path, first=TABLE, few=TABLE[:2], words=np.array(WORDS))
    assert open_array_file(path).read([]).size == 5
    np.savez(path, first=TABLE, words=np.array(WORDS), others=np.array(WORDS))
    with pytest.raises(InputError, match=r"several lists of words, .*::words=FILE"):
        open_array_file(path).read([])
    np.savez(path, first=TABLE)
    with pytest.raises(InputError, match=r"holds no words for float32 5 × 3.*::words=FILE"):
        open_array_file(path).read([])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.arange(15).reshape(5, 3), "holds int64 5 × 3, expected floating-point"),
        (TABLE.astype("c8"), "holds complex64 5 × 3"),
        (TABLE > 1, "holds bool 5 × 3"),
        (TABLE[0], "holds float32 3, expected"),
        (np.stack([TABLE, TABLE]), "holds float32 2 × 5 × 3"),
        (np.float32(3), "holds float32 one value"),
        (np.array(WORDS), "expected floating-point"),
        (np.array([None, 1]), "Python objects"),
        (TABLE.astype("f2").view([("x", "f2")]), "expected one array"),
        (np.zeros((0, 3), "f4"), "a dimension that is empty"),
    ],
)
def test_arrays_of_anything_else_are_refused(tmp_path, array, told):
    with pytest.raises(InputError, match=told):
        open_array_file(_written(tmp_path, np.asanyarray(array), "npy"), words=[_listed(tmp_path, WORDS)]).read([])


def test_a_square_is_told_by_its_words_or_refused(tmp_path):
    words = _listed(tmp_path, WORDS)
    with pytest.raises(InputError, match=r"as many rows as columns \(5\).*GloVe text"):
        open_array_file(_written(tmp_path, np.eye(5), "npy"), words=[words]).read([])
    names = [f"{chr(97 + at // 2)}kind{'s' * (at % 2)}" for at in range(40)]
    random = np.random.default_rng(0)
    table = np.repeat(random.normal(size=(20, 40)), 2, axis=0) + random.normal(size=(40, 40)) / 2
    for array, side in ((table, "row"), (table.T, "column")):
        found = open_array_file(_written(tmp_path, array, "npy"), words=[_listed(tmp_path, names)]).read(names)
        assert f"on its {side}s" in found.note
        assert np.allclose([found.vectors[name] for name in names], table)


def _related(count=40):
    random = np.random.default_rng(0)
    names = [f"{chr(97 + at % 7)}{chr(110 - at)}kind" for at in range(count // 2)]
    words = [word for name in names for word in (name + "s", name)]
    table = np.repeat(random.normal(size=(count // 2, 30)), 2, axis=0)
    table = (table + random.normal(size=table.shape) / 2).astype(np.float32)
    order = random.permutation(count)
    return [words[at] for at in order], table[order]


def test_rows_in_another_order_are_refused_with_the_one_that_fits(tmp_path):
    words, table = _related()
    order = sorted(range(len(words)), key=words.__getitem__)
    listed = _listed(tmp_path, words)
    right = _written(tmp_path, table, "npy")
    assert "20 related pairs" in open_array_file(right, words=[listed]).read([]).note
    with pytest.raises(InputError, match=r"'.*kinds?' and '.*' are no nearer.*as listed does fit: leave out ::order"):
        open_array_file(right, words=[listed], alphabetical=True).read([])
    sorted_rows = _written(tmp_path, table[order], "npy")
    with pytest.raises(InputError, match="alphabetical does fit: append ::order=alphabetical"):
        open_array_file(sorted_rows, words=[listed]).read([])
    assert open_array_file(sorted_rows, words=[listed], alphabetical=True).read(words[:1]).vectors[
        words[0]
    ].tolist() == (table[0].tolist())
    shuffled = _written(tmp_path, table[np.random.default_rng(1).permutation(len(words))], "npy")
    with pytest.raises(InputError, match="Give the list in the order that was used"):
        open_array_file(shuffled, words=[listed]).read([])


@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "not finite"), (np.inf, "not finite"), (1e300, "not finite"), (0, "zeros")]
)
def test_rows_that_are_no_vectors_are_refused_where_they_are_wanted(tmp_path, value, told):
    table = TABLE.astype("f8")
    table[3] = value
    source = open_array_file(_written(tmp_path, table.T, "npy"), words=[_listed(tmp_path, WORDS)])
    assert source.read(["sky", "dog"]).size == 5
    with pytest.raises(InputError, match=f"column 4, the vector of 'été',.*{told}"):
        source.read(["sky", "été"])


def test_our_own_label_embeddings_are_refused(tmp_path):
    path = tmp_path / "labels.safetensors"
    LabelEmbeddings(("a", "b"), TABLE[:2], ("", ""), Provenance((SourceRecord("x", "y", "word_vectors", 3),))).save(
        path
    )
    with pytest.raises(InputError, match=r"label embeddings already.*--embeddings"):
        open_array_file(path).read([])


def test_bfloat16_is_read_from_safetensors(tmp_path):
    path = tmp_path / "v"
    path.write_bytes(
        safetensors.torch.save({"a": torch.from_numpy(TABLE).bfloat16(), "f8": torch.zeros(2, dtype=torch.float8_e5m2)})
    )
    found = open_array_file(path, words=[_listed(tmp_path, WORDS)]).read(WORDS)
    assert np.array_equal([found.vectors[word] for word in WORDS], TABLE)


@pytest.mark.parametrize("order", "<>")
def test_texts_of_no_characters_are_refused(tmp_path, order):
    words = np.array(WORDS, f"{order}U8")
    words.view(f"{order}u4")[3] = 0x110000
    path = tmp_path / "v.npz"
    np.savez(path, words=words, vecs=TABLE)
    with pytest.raises(InputError, match="what is no character"):
        open_array_file(path).read([])


def test_files_of_arrays_are_told_by_content(tmp_path):
    for form in FORMS:
        assert is_array_file(_written(tmp_path, TABLE, form))
    path = tmp_path / "v.npy"
    for other in [
        b"",
        b"a 1 2\n",
        gzip.compress(b"a 1 2\n"),
        b"1 2\na \0\0\0\0",
        b'12345678{"a"',
        b"PK\x03\x04rubbish",
    ]:
        path.write_bytes(other)
        assert not is_array_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("glove.txt", "a 1 2\n")
    assert not is_array_file(path)
    with pytest.raises(InputError, match="no file of arrays"):
        open_array_file(path).read([])
    with pytest.raises(InputError, match="no such file"):
        is_array_file(tmp_path / "none")


def _header(text, *, version=1, values=BYTES):
    raw = text.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(raw).to_bytes(2 if version == 1 else 4, "little") + raw + values


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }"


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "text", [GOOD, GOOD + "   \n", "{'shape':(5L,3L),'fortran_order':False,'descr':'<f4'}", GOOD.replace(", }", "}")]
)
def test_headers_as_others_write_them_are_read(tmp_path, version, text):
    path = tmp_path / "v"
    path.write_bytes(_header(text, version=version))
    assert open_array_file(path, words=[_listed(tmp_path, WORDS)]).read(["cat"]).vectors["cat"].tolist() == [0.5, -1, 2]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (_header(GOOD)[:-1], "promises 60 bytes of float32.*59 follow"),
        (_header(GOOD) + b"x", "promises 60 bytes of float32.*61 follow"),
        (_header(GOOD.replace("5, 3", "5000000000, 3000000")), "promises 60000000000000000 bytes"),
        (_header(GOOD.replace("5, 3", "9" * 5000)), "of the shape"),
        (_header(GOOD.replace("5, 3", "99999999999999999, 9")), "no array's"),
        (_header(GOOD.replace("5, 3", "-5, 3")), "with the header"),
        (_header(GOOD.replace("5, 3", "5, 0"), values=b""), "dimension that is empty"),
        (_header(GOOD.replace("(5, 3)", "__import__('os')")), "with the header"),
        (_header(GOOD.replace("'<f4'", "[('a', '<f4')]")), "expected one array"),
        (_header(GOOD.replace("<f4", "|O")), "Python objects"),
        (_header(GOOD.replace("<f4", "<f4,<f4")), "values of the type"),
        (_header(GOOD.replace("False", "0")), "with the header"),
        (_header(GOOD + "x"), "with the header"),
        (_header("{" * 9000), "with the header"),
        (_header("(" * 9000 + ")" * 900), "with the header"),
        (_header(GOOD + " " * 20_000, version=2), "header of 20059 bytes"),
        (_header(GOOD, version=4), "known version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"a" * 100, "header of 4294967295 bytes, 100 follow"),
        (b"\x93NUMPY", "known version"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_traps_in_npy_files_are_refused(tmp_path, data, told, packed):
    path = tmp_path / "v"
    path.write_bytes(data)
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", data)
    with pytest.raises(InputError, match=told) as caught:
        open_array_file(path, words=[_listed(tmp_path, WORDS)]).read([])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500 and caught.value.path == path


def _zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(name, data)
    return path.read_bytes()


def test_archives_that_grow_or_lie_are_refused(tmp_path):
    path, words = tmp_path / "v", _listed(tmp_path, WORDS)

    def refused(told):
        with pytest.raises(InputError, match=told):
            open_array_file(path, words=[words]).read([])

    _zip(path, [("a.npy", _header(GOOD.replace("5, 3", "5, 8000000"), values=bytes(160_000_000)))])
    refused("would unpack to 160")
    whole = _zip(path, [("a.npy", _header(GOOD))])
    size = len(_header(GOOD)).to_bytes(4, "little")
    for claimed in (len(_header(GOOD)) + 1, 1 << 30):
        path.write_bytes(whole.replace(size, claimed.to_bytes(4, "little")))
        refused("damaged|promises|unpack|cannot be read")
    _zip(path, [("a.npy", _header(GOOD)), ("a.npy", _header(GOOD))])
    refused("a name twice")
    _zip(path, [("a.npy", _header(GOOD))], zipfile.ZIP_LZMA)
    refused("packed in a way that NumPy does not")
    path.write_bytes(
        whole[:6] + b"\x01" + whole[7:].replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    )
    refused("encrypted")
    # Many members over the same bytes.
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", _header(GOOD))
        for at in range(50):
            info = zipfile.ZipInfo(f"b{at}.npy")
            for name in ("CRC", "file_size", "compress_size", "header_offset"):
                setattr(info, name, getattr(archive.infolist()[0], name))
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        archive._didModify = True
    refused("overlap")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda header: header["vecs"].update(shape=[1 << 40, 3]), "does not fit its 60 bytes"),
        (lambda header: header["vecs"].update(shape=[-5, -3]), "dimension that is empty"),
        (lambda header: header["vecs"].update(shape="53"), "no list of numbers"),
        (lambda header: header["vecs"].update(data_offsets=[0, 61]), "ends within the tensor 'vecs'"),
        (lambda header: header["vecs"].update(data_offsets=[60, 0]), "ends within the tensor"),
        (lambda header: header["vecs"].update(data_offsets=[-60, 0]), "ends within the tensor"),
        (lambda header: header["vecs"].update(data_offsets=None), "where 'vecs' lies"),
        (lambda header: header["vecs"].update(dtype="F64"), "does not fit its 60 bytes"),
        (lambda header: header["vecs"].update(dtype="I32"), "holds int32 5 × 3, expected floating"),
        (lambda header: header["vecs"].update(dtype="X9"), "holds no numbers"),
        (lambda header: header["vecs"].update(dtype=3), "does not describe 'vecs'"),
        (lambda header: header.update(vecs=[]), "does not describe 'vecs'"),
        (lambda header: header.clear(), "holds nothing"),
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path, change, told):
    whole = safetensors.numpy.save({"vecs": TABLE})
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    change(header)
    raw = json.dumps(header).encode()
    path = tmp_path / "v"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + whole[8 + size :])
    with pytest.raises(InputError, match=told):
        open_array_file(path, words=[_listed(tmp_path, WORDS)]).read([])


@pytest.mark.parametrize(
    "raw", [b"{" * 100_000, b'{"a": ' * 50_000, b"{]", b'{"\xff": 1}', b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_safetensors_headers_that_are_no_json_are_refused(tmp_path, raw):
    path = tmp_path / "v"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)
    with pytest.raises(InputError, match=r"is not JSON|does not describe"):
        open_array_file(path, words=[_listed(tmp_path, WORDS)]).read([])


@pytest.mark.parametrize("form", ["npy", "npz", "packed", "safetensors"])
def test_a_file_cut_or_changed_anywhere_is_read_or_refused(tmp_path, form):
    whole = _written(tmp_path, TABLE, form).read_bytes()
    words, path = _listed(tmp_path, WORDS), tmp_path / "v"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        if is_array_file(path):
            with pytest.raises(InputError):
                open_array_file(path, words=[words]).read(WORDS)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            if is_array_file(path):
                open_array_file(path, words=[words]).read(WORDS)
        except InputError as error:
            assert "\n" not in str(error) and error.path == path


@settings(max_examples=200)
@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\x93NUMPY\x01\x00v\x00{", b"PK\x03\x04", b"\x20" + bytes(7) + b"{"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data, start):
    folder = tmp_path_factory.mktemp("arrays")
    path = folder / "v"
    path.write_bytes(start + data)
    with pytest.raises(InputError) as caught:
        open_array_file(path, words=[_listed(folder, WORDS)]).read(WORDS)
    assert "\n" not in str(caught.value) and caught.value.path == path


@pytest.mark.parametrize("columns", [False, True])
def test_a_large_array_is_in_memory_once(tmp_path, columns):
    count, width = 20_000, 100
    array = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    path = tmp_path / "v.npy"
    np.save(path, array.T if columns else array)
    words = _listed(tmp_path, [f"w{at}" for at in range(count)])
    tracemalloc.start()
    open_array_file(path, words=[words]).read(["w7"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The array, and what the words take.
    assert peak < 1.5 * array.nbytes + 400 * count


NUS = ("TagList1k.txt", "Concepts81.txt")


@pytest.mark.realdata
def test_the_pickle_that_lesa_ships_is_glove(shared_data):
    folder = shared_data / "vectors"
    lists = [shared_data / "nus_wide" / name for name in NUS]
    source = open_array_file(folder / "lesa_nus_wide_glove.300d.pkl", words=lists)
    words = list(source.words())
    found = source.read(words)
    glove = open_vector_file(folder / "glove_nus_wide_1006.300d.txt.gz").read(words)
    assert (found.size, found.width, len(glove.vectors)) == (1006, 300, 1006)
    assert all(np.allclose(found.vectors[word], glove.vectors[word], rtol=1e-6, atol=1e-7) for word in words)
    assert "177 related pairs" in found.note and "TagList1k.txt (sha256:" in found.note
    with pytest.raises(InputError, match=r"do not fit.*order as listed does fit"):
        open_array_file(folder / "lesa_nus_wide_glove.300d.pkl", words=lists, alphabetical=True).read([])


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "size"), [("sdl_nus_wide_1006.300d", 1006), ("clip_vit_b32_text_1608.512d", 1608)])
def test_real_archives_hold_their_words(shared_data, name, size):
    path = shared_data / "vectors" / f"{name}.npz"
    source = open_array_file(path)
    words = list(source.words())
    found = source.read(words)
    with np.load(path) as file:
        assert words == [word.strip() for word in file["words"].tolist()]
        assert np.array_equal([found.vectors[word] for word in words], file["vecs"])
    assert found.size == size


@pytest.mark.realdata
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_an_array_of_columns_in_the_order_of_a_binarizer_is_read(shared_data, tmp_path, form):
    # The forms of ML-Decoder's wordvec_array.pth and of ZS_SDL's wordvec_array.pickle, 1 × E × L.
    with np.load(shared_data / "vectors" / "sdl_nus_wide_1006.300d.npz") as file:
        words, table = file["words"].tolist(), file["vecs"]
    lists = [shared_data / "nus_wide" / name for name in NUS]
    path = _written(tmp_path, table.T[None].astype("f2"), form)
    found = open_array_file(path, words=lists, alphabetical=True).read(words)
    assert np.array_equal([found.vectors[word] for word in words], table.astype("f2").astype("f4"))
    assert "on its columns; order alphabetical: 145 related pairs" in found.note
