"""Tables of 0 and 1, bit by bit, against NumPy's own text reader."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld import console
from zsmld.datasets import binary_tables
from zsmld.datasets.binary_tables import parse_table, read_table, sets_of
from zsmld.errors import InputError


def parsed(data, columns, block=1 << 22):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_tables, "_BLOCK", block)
        path = Path(folder, "table.txt")
        path.write_bytes(data)
        return parse_table(path, columns, console.Meter("", 0))


@given(st.data())
def test_tables_are_read_in_blocks_as_numpy_reads_them_whole(data):
    columns = data.draw(st.integers(1, 20))
    values = data.draw(
        st.lists(st.lists(st.integers(0, 1), min_size=columns, max_size=columns), min_size=1, max_size=12)
    )
    between = data.draw(st.sampled_from([" ", "\t", "  ", "\t "]))
    ending = data.draw(st.sampled_from(["\n", "\r\n", "\t\n", "\t\r\n", " \n"]))
    text = ending.join(between.join(map(str, row)) for row in values) + data.draw(
        st.sampled_from(["", ending, ending * 3])
    )
    bits = parsed(text.encode(), columns, block=data.draw(st.integers(1, 50)))
    expected = np.loadtxt(io.StringIO(text), dtype=int, ndmin=2).reshape(-1, columns)
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1, count=columns), expected)
    np.testing.assert_array_equal(sets_of(bits, columns).toarray(), expected.astype(bool))


@given(st.text("01 \t\r\n2x", max_size=40), st.integers(1, 4), st.integers(1, 9) | st.just(64))
def test_whatever_stands_there_is_read_or_refused_with_its_line(text, columns, block):
    rows = [line.split() for line in text.replace("\r", " ").split("\n")]
    while rows and not rows[-1]:
        rows.pop()
    good = bool(rows) and all(len(row) == columns and set(row) <= {"0", "1"} for row in rows)
    if good:
        bits = parsed(text.encode(), columns, block)
        assert np.unpackbits(bits, axis=1, count=columns).tolist() == [[int(value) for value in row] for row in rows]
        return
    with pytest.raises(InputError) as caught:
        parsed(text.encode(), columns, block)
    if rows and text.endswith("\n") and len(text) < block:
        # Values are checked before the lengths of rows, in each block (the end of a file without a newline is one).
        odd = [at for at, row in enumerate(rows, start=1) if not set(row) <= {"0", "1"}]
        short = [at for at, row in enumerate(rows, start=1) if row and len(row) != columns]
        empty = [at for at, row in enumerate(rows, start=1) if not row]
        assert caught.value.line == (odd or short or empty)[0]


def test_the_line_of_an_error_counts_over_blocks():
    rows = ["0 1"] * 30
    for wrong in ("0 1 1", "0 2", "0"):
        with pytest.raises(InputError) as caught:
            parsed("\n".join([*rows, wrong, *rows]).encode(), 2, block=7)
        assert caught.value.line == 31
    with pytest.raises(InputError, match="is empty, but rows follow") as caught:
        parsed("\n".join([*rows, "", "", *rows]).encode(), 2, block=7)
    assert caught.value.line == 31


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\r\n"])
def test_no_row_is_an_error(data):
    with pytest.raises(InputError, match="has no rows"):
        parsed(data, 2)


def test_a_line_without_an_end_does_not_fill_the_memory():
    with pytest.raises(InputError, match="a line without an end"):
        parsed(b"0 " * 2000, 2, block=64)


@pytest.mark.parametrize("files", [1, 3, 9])
def test_files_of_one_column_stand_side_by_side(tmp_path, files):
    values = np.random.default_rng(files).integers(0, 2, (21, files))
    paths = [tmp_path / f"{at}.txt" for at in range(files)]
    for at, path in enumerate(paths):
        np.savetxt(path, values[:, at], fmt="%d")
    np.testing.assert_array_equal(sets_of(read_table(paths, 1), files).toarray(), values)
    if files > 1:
        np.savetxt(paths[1], values[:-1, 1], fmt="%d")
        with pytest.raises(InputError, match=r"1\.txt: has 20 rows, but 0\.txt has 21"):
            read_table(paths, 1)
