import collections
import io
import os
import pickle
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zsmld.errors import InputError
from zsmld.labels import array_pickles
from zsmld.labels.array_containers import form_of, open_contents
from zsmld.labels.array_files import open_array_file
from zsmld.labels.array_pickles import resolved

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
BYTES = TABLE.tobytes()
WORDS = ["cat", "dog", "sky", "été"]
PROTOCOLS = range(6)
TYPES = ["<f2", "<f4", ">f4", "<f8", ">f8", "<i8", "u1", "b1", "<U5", ">U5", "S4"]


def _file(tmp_path, data, name="v.pkl"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def _value(path):
    return open_contents(path).value


def _values(path):
    return {stored.name: stored.read() for stored in open_contents(path).stored}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=8)
@given(data=st.data())
def test_what_numpy_pickles_is_read_byte_for_byte(tmp_path_factory, protocol, kind, data):
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=4))
    array = data.draw(arrays.arrays(np.dtype(kind), shape))
    array = data.draw(st.sampled_from([array, np.asfortranarray(array), array.T, array[::-1]]))
    path = _file(tmp_path_factory.mktemp("p"), pickle.dumps(array, protocol))
    read = _value(path)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        [TABLE, TABLE[:2]],
        {"wordvec_array": TABLE[None].astype("f2"), "count": 3, "name": "x", "rate": 0.5, "big": 1 << 40},
        {"a": TABLE, "b": TABLE.T, "also a": None},
        collections.OrderedDict(a=TABLE),
        (TABLE, TABLE.astype("f8")),
    ],
)
def test_lists_and_dictionaries_of_arrays_are_read(tmp_path, value, protocol):
    path = _file(tmp_path, pickle.dumps(value, protocol))
    assert form_of(path) == "pickle"
    read = _values(path)
    given_ = dict(value) if isinstance(value, dict) else {str(at): array for at, array in enumerate(value)}
    expected = {name: array for name, array in given_.items() if isinstance(array, np.ndarray)}
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_numbers_and_their_containers_are_read(tmp_path, protocol):
    value = {
        "words": WORDS,
        "names": [np.str_(word) for word in WORDS],
        "n": [True, None, -(1 << 50), 2.5, np.float32(3)],
    }
    read = _value(_file(tmp_path, pickle.dumps(value, protocol)))
    assert read == {"words": WORDS, "names": WORDS, "n": [True, None, -(1 << 50), 2.5, 3.0]}


def test_arrays_of_python_2_are_read(tmp_path):
    # As Python 2.7 with NumPy 1.11 wrote it, protocol 0 and 2: texts and bytes are one type.
    data = TABLE.tobytes()
    old = (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\nS'b'\np3\ntp4\nRp5\n"
        b"(I1\n(I4\nI3\ntp6\ncnumpy\ndtype\np7\n(S'f4'\np8\nI0\nI1\ntp9\nRp10\n"
        b"(I3\nS'<'\np11\nNNNI-1\nI-1\nI0\ntp12\nbI00\nS" + repr(data)[1:].encode() + b"\np13\ntp14\nb."
    )
    assert np.array_equal(_value(_file(tmp_path, old)), TABLE)
    new = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R"
        b"(K\x01K\x04K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", len(data)) + data + b"tb."
    )
    assert np.array_equal(_value(_file(tmp_path, new)), TABLE)


def _torch_file(tmp_path, value, **options):
    path = tmp_path / "v.pth"
    torch.save(value, path, **options)
    return path


@pytest.mark.parametrize(
    "tensor",
    [
        torch.from_numpy(TABLE),
        torch.from_numpy(TABLE).T,
        torch.from_numpy(TABLE)[1:, ::2],
        torch.from_numpy(TABLE).half(),
        torch.from_numpy(TABLE).double(),
        torch.from_numpy(TABLE).bfloat16(),
        torch.arange(24.0).reshape(2, 3, 4).permute(1, 0, 2),
        torch.arange(6),
        torch.tensor(1.5),
    ],
    ids=str,
)
def test_what_torch_saves_is_read(tmp_path, tensor):
    path = _torch_file(tmp_path, {"a": tensor, "b": torch.nn.Parameter(tensor.float()), "n": TABLE})
    assert form_of(path) == "torch"
    read = _values(path)
    for name, expected in (("a", tensor.float()), ("b", tensor.float()), ("n", torch.from_numpy(TABLE))):
        assert np.array_equal(np.asarray(read[name], np.float32), expected.numpy())


def test_a_state_dictionary_is_read(tmp_path):
    module = torch.nn.Linear(3, 4)
    read = _values(_torch_file(tmp_path, module.state_dict()))
    assert np.array_equal(read["weight"], module.weight.detach().numpy())


def test_the_form_of_old_torch_is_refused_with_a_remedy(tmp_path):
    path = _torch_file(tmp_path, torch.from_numpy(TABLE), _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"before 1\.6.*torch\.save"):
        open_contents(path)


def _reduce(function, *arguments):
    class Payload:
        def __reduce__(self):
            return function, arguments

    return Payload()


class WithState:
    def __init__(self, canary):
        self.canary = canary

    def __setstate__(self, state):
        Path(state["canary"]).touch()


class Hooked(np.ndarray):
    pass


def payloads(canary):
    """Pickles that make the file `canary` when they are loaded, or would do other harm; and what the refusal names."""
    touch = f"touch {canary}"
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    line = touch.encode()
    yield "posix.system", _reduce(os.system, touch)
    yield "builtins.eval", _reduce(eval, code)
    yield "builtins.exec", {"vecs": TABLE, "more": [_reduce(exec, code)]}
    yield "builtins.getattr", _reduce(getattr, _reduce(eval, code), "x")
    yield "WithState", WithState(str(canary))
    yield "Hooked", TABLE.view(Hooked)
    yield "Python objects", np.array([_reduce(os.system, touch)], object)
    yield "holds os.system", b"cos\nsystem\n(S'" + line + b"'\ntR."
    yield "holds os.system", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(line)]) + line + b"\x85R."
    yield "makes objects", b"\x80\x02(S'" + line + b"'\nios\nsystem\n."
    yield "holds os.system", b"\x80\x02(cos\nsystem\nS'" + line + b"'\no."
    yield "makes objects", b"\x80\x02\x82\x01."
    yield "makes objects", b"\x80\x02cnumpy\nndarray\n)\x81."
    yield "makes objects", b"\x80\x04cnumpy\nndarray\n)}\x92."
    yield "refers to something outside", b"\x80\x02X\x01\x00\x00\x00aQ."
    yield "refers to something outside", b"\x80\x02Pabc\n."
    yield "calls what is no array", b"\x80\x02cnumpy\nndarray\n(K\x01K\x02\x86tR."
    yield "calls what is no array", b"\x80\x02X\x01\x00\x00\x00a)R."
    yield "sets the state", b"\x80\x02cnumpy\ndtype\n}(X\x04\x00\x00\x00callX\x01\x00\x00\x00xub."
    yield "sets the state", b"\x80\x02]}b."
    yield "holds numpy.load", b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R."
    yield "holds numpy.core.multiarray.fromfile", b"\x80\x02cnumpy.core.multiarray\nfromfile\n."
    yield r"holds 'numpy\\x1b.x'", b"\x80\x02cnumpy\x1b\nx\n."
    yield "holds numpy.ndarray.tofile", b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    yield "holds torch.load", b"\x80\x02ctorch\nload\n."
    yield "holds torch.storage._load_from_bytes", b"\x80\x02ctorch.storage\n_load_from_bytes\n."
    yield "appends to what is no list", b"\x80\x02ccollections\nOrderedDict\n)R)a."
    yield "sets items of what is no dictionary", b"\x80\x02]K\x01K\x02s."


def _bytes_of(payload):
    return payload if isinstance(payload, bytes) else pickle.dumps(payload)


@pytest.mark.parametrize("number", range(len(list(payloads("x")))))
@pytest.mark.parametrize("wrapped", [False, True])
def test_nothing_in_a_pickle_is_run(tmp_path, number, wrapped):
    told, payload = list(payloads(tmp_path / "canary"))[number]
    data = _bytes_of(payload)
    if wrapped:
        data = _archive(data)
    with pytest.raises(InputError, match=told) as caught:
        open_contents(_file(tmp_path, data))
    assert not (tmp_path / "canary").exists()
    assert "\n" not in str(caught.value) and caught.value.path == tmp_path / "v.pkl"


def test_the_payloads_do_run_where_pickle_loads_them(tmp_path):
    for told, payload in payloads(tmp_path / "canary"):
        if told in {"posix.system", "builtins.eval", "holds os.system", "WithState"}:
            pickle.loads(_bytes_of(payload))  # noqa: S301
            assert (tmp_path / "canary").exists()
            (tmp_path / "canary").unlink()


def _archive(data, **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", data)
        for name, content in members.items():
            archive.writestr(f"a/data/{name.removeprefix('_')}", content)
    return stream.getvalue()


def _array_pickle(kind=b"f4", shape=(4, 3), data=BYTES, state=None):
    """A pickled array with the parts given, whether they fit or not."""
    parts = pickle.dumps(state or (3, "<", None, None, None, -1, -1, 0), 2)[2:-1]
    sizes = pickle.dumps(shape, 2)[2:-1]
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + sizes
        + b"cnumpy\ndtype\nX" + struct.pack("<I", len(kind)) + kind + b"\x89\x88\x87R" + parts + b"b\x89"
        + b"B" + struct.pack("<I", len(data)) + data + b"tb."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"kind": b"O"}, "Python objects"),
        ({"kind": b"O8"}, "Python objects"),
        ({"kind": b"V12"}, "values of the type 'V12'"),
        ({"kind": b"f4,f4"}, "values of the type"),
        ({"kind": b"(999999999,)f4"}, "values of the type"),
        ({"kind": b"M8[ns]"}, "values of the type"),
        ({"kind": b"g"}, "values of the type"),
        ({"kind": b"U0"}, "does not fit its 48 bytes"),
        ({"shape": (4, 4)}, "does not fit its 48 bytes"),
        ({"shape": (4, 2)}, "does not fit its 48 bytes"),
        ({"shape": (1 << 40, 1 << 40, 3)}, "does not fit"),
        ({"shape": (-4, -3)}, "a dimension that is empty"),
        ({"shape": (0, 3), "data": b""}, "a dimension that is empty"),
        ({"shape": (1 << 62,)}, "no array's"),
        ({"shape": (1,) * 40, "data": b"abcd"}, "40 dimensions"),
        ({"shape": ("4", 3)}, "no list of numbers"),
        ({"shape": (True, 3)}, "no list of numbers"),
        ({"shape": None}, "no list of numbers"),
        ({"state": (3, "<", None, ("a",), {"a": (1, 2)}, -1, -1, 0)}, "none of numbers or texts"),
        ({"state": (3, "<", (1, 2), None, None, -1, -1, 0)}, "none of numbers or texts"),
        ({"state": (3, "O", None, None, None, -1, -1, 63)}, "byte order is none"),
        ({"state": (3,)}, "none of numbers or texts"),
    ],
)
def test_arrays_that_do_not_fit_their_bytes_are_refused(tmp_path, parts, told):
    assert np.array_equal(_value(_file(tmp_path, _array_pickle())), TABLE)
    with pytest.raises(InputError, match=told):
        open_contents(_file(tmp_path, _array_pickle(**parts)))


def _tensor_pickle(count=12, offset=0, shape=(4, 3), strides=(3, 1), key="0", kind="FloatStorage"):
    def put(value):
        return pickle.dumps(value, 2)[2:-1]

    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + put("storage") + f"ctorch\n{kind}\n".encode() + put(key)
        + put("cpu") + put(count) + b"tQ" + put(offset) + put(shape) + put(strides) + b"\x89NtR."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"count": 13}, "does not fit its 48 bytes"),
        ({"count": -1}, "a dimension that is empty"),
        ({"count": "12"}, "no storage"),
        ({"kind": "DoubleStorage"}, "does not fit its 48 bytes"),
        ({"key": "1"}, "without its part"),
        ({"key": "../data.pkl"}, "expected a number"),
        ({"offset": 1}, "reaches out of its storage"),
        ({"offset": -1}, "strides are none"),
        ({"strides": (3, 2)}, "reaches out of its storage"),
        ({"strides": (-3, 1)}, "strides are none"),
        ({"strides": (3,)}, "strides are none"),
        ({"shape": (1 << 40, 3), "strides": (0, 1)}, "reaches out of its storage"),
        ({"shape": (4, 0)}, "a dimension that is empty"),
    ],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(tmp_path, parts, told):
    storage = {"_0": TABLE.tobytes()}
    assert np.array_equal(_value(_file(tmp_path, _archive(_tensor_pickle(), **storage))), TABLE)
    with pytest.raises(InputError, match=told):
        open_contents(_file(tmp_path, _archive(_tensor_pickle(**parts), **storage)))


def _huge_text(count):
    return b"X" + struct.pack("<I", count) + b"a" * count


BOMBS = {
    "length": b"\x80\x05\x96" + struct.pack("<Q", 1 << 60),
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60),
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60),
    "memo": b"\x80\x02]r\xff\xff\xff\xff.",
    "number": b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\xff" * (1 << 20) + b".",
    "long number": b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".",
    "digits": b"\x80\x02I" + b"9" * 100_000 + b"\n.",
    "hexadecimal": b"\x80\x02L0x" + b"f" * 100_000 + b"L\n.",
    "fraction": b"\x80\x02F" + b"9" * 100_000 + b"\n.",
    "steps": b"\x80\x02" + b"]" * ((1 << 18) + 1),
    "marks": b"\x80\x02" + b"(" * 100_000 + b".",
    # A tuple that holds itself twice, a hundred times over: to hash it takes for ever.
    "hash": b"\x80\x02}K\x01\x85" + b"2\x86" * 100 + b"K\x01s.",
    "set": b"\x80\x04\x8fK\x01\x85" + b"2\x86" * 100 + b"\x90.",
    "compare": b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
    + b"2\x86" * 100 + b"C\x01b\x87R.",
    # One text, made into bytes again and again.
    "encode": b"\x80\x02(c_codecs\nencode\nq\x00" + _huge_text(1 << 16) + b"X\x06\x00\x00\x00latin1\x86q\x01R"
    + b"h\x00h\x01R" * 1000 + b"l.",
    "scalar": b"\x80\x03(cnumpy.core.multiarray\nscalar\nq\x00cnumpy\ndtype\nX\x06\x00\x00\x00S65536\x89\x88\x87R"
    + b"B\x00\x00\x01\x00" + b"a" * (1 << 16) + b"\x86q\x01R" + b"h\x00h\x01R" * 1000 + b"l.",
    "itself": b"\x80\x02]2a.",
    "deep": b"\x80\x02)" + b"\x85" * 200_000 + b".",
}  # fmt: skip


TOLD = {
    "number": "makes objects", "long number": "a number of 255 bytes", "digits": "a number of 100001 digits",
    "hexadecimal": "a number of", "fraction": "a number of", "steps": "more than 262144 steps", "set": "makes objects",
    "hash": "dictionary's key is tuple", "compare": "axes are no numbers", "encode": "grows as it is read",
    "scalar": "grows as it is read",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(tmp_path, monkeypatch, name):
    monkeypatch.setattr(array_pickles, "MOST_STEPS", 1 << 18)
    path = _file(tmp_path, BOMBS[name])
    start = time.process_time()
    with pytest.raises(InputError, match=TOLD.get(name)) as caught:
        open_array_file(path, words=[path]).read([])
    assert len(str(caught.value)) < 400 + len(str(path))
    assert time.process_time() - start < 10


@pytest.mark.parametrize("form", ["pickle", "old pickle", "torch"])
def test_a_file_cut_or_changed_anywhere_is_read_or_refused(tmp_path, form):
    if form == "torch":
        whole = _torch_file(tmp_path, {"w": torch.from_numpy(TABLE)}).read_bytes()
    else:
        whole = pickle.dumps([TABLE, TABLE[:2]], 4 if form == "pickle" else 0)
    path = tmp_path / "v"
    step = 4 if form == "torch" else 1
    for end in range(0, len(whole), step):
        path.write_bytes(whole[:end])
        if form_of(path) is not None:
            with pytest.raises(InputError):
                _values(path)
    refused = 0
    for at in range(0, len(whole), step):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            if form_of(path) is not None:
                _values(path)
        except InputError as error:
            assert "\n" not in str(error) and error.path == path
            refused += 1
    assert refused > len(whole) / step / 4


@given(
    data=st.binary(max_size=200), start=st.sampled_from([b"\x80\x02", b"\x80\x04", b"]q\x00", b"(lp0\n", b"cnumpy\n"])
)
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data, start):
    path = _file(tmp_path_factory.mktemp("p"), start + data)
    assert form_of(path) == "pickle"
    try:
        open_contents(path)
    except InputError as error:
        assert "\n" not in str(error) and error.path == path


def test_what_follows_a_pickle_is_not_passed_over(tmp_path):
    with pytest.raises(InputError, match="bytes follow"):
        open_contents(_file(tmp_path, pickle.dumps(TABLE) * 2))


def test_parts_of_arrays_are_no_arrays(tmp_path):
    with pytest.raises(InputError, match="parts of arrays"):
        open_contents(_file(tmp_path, b"\x80\x02cnumpy\nndarray\n."))
    assert resolved([1]) == [1]


@pytest.mark.parametrize(
    "text", ["the 0.1 0.2\n", "(lp 0.1 0.2\n", "cnumpy 0.1 0.2\n", "cat\ndog\n", "] 0.1\n", "} 0.1 2\n", ""]
)
def test_texts_are_no_pickles(tmp_path, text):
    assert form_of(_file(tmp_path, text.encode())) is None
