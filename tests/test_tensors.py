"""Tensor files: round trip, the same bytes for the same content, every flipped bit refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from zsmld.errors import InputError, UsageError
from zsmld.tensors import DIGEST, content_digest, read_tensors, write_tensors

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1], dtype=np.int64)}


@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=5).filter(lambda name: name != "__metadata__"),
        hnp.arrays(st.sampled_from([np.float32, np.int64, np.uint8]), hnp.array_shapes(min_dims=0, max_side=3)),
        min_size=1, max_size=3,
    ),
    metadata=st.dictionaries(st.text(max_size=5).filter(lambda key: key != DIGEST), st.text(max_size=8), max_size=3),
)  # fmt: skip
def test_what_is_written_is_read(tmp_path_factory, arrays, metadata):
    path = tmp_path_factory.mktemp("tensors") / "t"
    digest = write_tensors(path, arrays, metadata)
    read, told = read_tensors(path)
    assert told == metadata | {DIGEST: digest}
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name], equal_nan=arrays[name].dtype.kind == "f") for name in arrays)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    metadata = {str(number): "x" for number in range(20)}
    written = []
    for name in ("first", "second"):
        write_tensors(tmp_path / name, ARRAYS, metadata)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_the_digest_covers_names_types_shapes_bytes_and_metadata():
    changed = [
        content_digest({"c": ARRAYS["a"], "b": ARRAYS["b"]}),
        content_digest(ARRAYS | {"a": ARRAYS["a"].reshape(3, 2)}),
        content_digest(ARRAYS | {"a": ARRAYS["a"].view(np.int32)}),
        content_digest(ARRAYS | {"a": ARRAYS["a"] + 1}),
        content_digest(ARRAYS, {"key": "value"}),
    ]
    assert len({content_digest(ARRAYS), *changed}) == 6


def test_every_flipped_bit_and_every_cut_is_refused(tmp_path):
    path = tmp_path / "t"
    write_tensors(path, ARRAYS, {"key": "value"})
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :])
        with pytest.raises(InputError):
            read_tensors(path)
        path.write_bytes(data[:position])
        with pytest.raises(InputError):
            read_tensors(path)


def test_a_safetensors_file_of_others_and_an_existing_one_are_refused(tmp_path):
    save_file(ARRAYS, tmp_path / "theirs")
    with pytest.raises(InputError, match="was not written by zsmld"):
        read_tensors(tmp_path / "theirs")
    with pytest.raises(UsageError):
        write_tensors(tmp_path / "theirs", ARRAYS, {}, force=False)
