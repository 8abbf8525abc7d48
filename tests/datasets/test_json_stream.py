"""JSON read element by element says what the standard library says, or refuses with the line."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.datasets import json_stream
from zsmld.datasets.json_stream import elements
from zsmld.errors import InputError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=4), st.lists(values, max_size=4) | values, max_size=4)


def write(folder, text):
    path = Path(folder) / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(objects, st.sampled_from([None, 0, 2]), st.integers(1, 9), st.booleans())
def test_elements_are_those_of_the_standard_library(value, indent, piece, escaped):
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    expected = [
        (key, at, each) for key, array in value.items() if isinstance(array, list) for at, each in enumerate(array)
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        # Pieces of a few bytes: everything is cut somewhere.
        patch.setattr(json_stream, "_PIECE", piece)
        assert [found[:3] for found in elements(write(folder, text))] == expected


@given(st.binary(max_size=60) | objects.map(lambda value: json.dumps(value).encode()[:-1]))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    with tempfile.TemporaryDirectory() as folder:
        try:
            for _ in elements(write(folder, data)):
                pass
            json.loads(data.decode("utf-8-sig"))
        except InputError as error:
            assert "\n" not in str(error) and error.line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"a\.json:1: is not JSON: it ends before its end"),
        ("[]", r":1: is not JSON: expected '\{', found '\['"),
        ("{3: 4}", ":1: is not JSON: expected a key in quotes"),
        ('{"a": [1,\n2,\n3 4]}', ":3: is not JSON: expected ',', found '4'"),
        ('{"a": [1,\n}', r":2: is not JSON: expecting value"),
        ('{"a": [{"b":\n "c}]}', r":2: is not JSON: unterminated string"),
        ('{"a": 1} x', ":1: is not JSON: something follows its end"),
        ('{"a": [' + "[" * 9999, "nested too deeply"),
        ('{"a": [' + "9" * 9999 + "]}", "a number is too long"),
        (b'{"a":\n "\xff"}', ":2?.*is not UTF-8"),
    ],
)
def test_what_is_malformed_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        list(elements(write(tmp_path, text)))


def test_lines_are_those_where_elements_begin(tmp_path):
    text = '\ufeff{"a": [\n1,\n\n{"b":\n2}, 3]}'
    assert [(value, line) for _, _, value, line in elements(write(tmp_path, text))] == [(1, 2), ({"b": 2}, 4), (3, 5)]


def test_what_never_ends_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "LONGEST", 100)
    monkeypatch.setattr(json_stream, "_PIECE", 10)
    with pytest.raises(InputError, match="a value of more than 100 characters"):
        list(elements(write(tmp_path, '{"a": ["' + "x" * 1000 + '"]}')))
