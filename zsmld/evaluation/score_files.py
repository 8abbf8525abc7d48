"""Tables of numbers, images × labels, out of the files that people have: NumPy's, safetensors, CSV, Parquet.

Nothing in these files is ever run. Names of columns, where a file has any, must be those of the label file, in its
order: a table whose columns are in another order gives figures that look like figures.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsmld import files
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.labels.array_containers import form_of, open_contents
from zsmld.labels.embeddings import listed
from zsmld.labels.vocabulary import canonical

_PARQUET = b"PAR1"
_NUMBERS = "fiub"
_LARGEST = np.finfo(np.float32).max
Table = NDArray[Any]


@dataclass(frozen=True)
class NumberFile:
    """What a file holds.

    Attributes:
        values: (I,L).
        names: of the columns, where the file has them.
        images: of the rows, where the file has them.
    """

    values: Table
    names: tuple[str, ...] | None = None
    images: tuple[str, ...] | None = None


def read_numbers(path: Path, *, labels: Sequence[str]) -> NumberFile:
    """The table in the file at `path`.

    Args:
        path: of the file; its kind is told by its content.
        labels: L labels, which its columns must stand for.

    Raises:
        InputError: absent, damaged, no table of numbers, or one of another number or order of columns.
    """
    with files.open_input(path) as stream:
        head = stream.read(4)
    if head == _PARQUET:
        found = _parquet(path)
    elif form_of(path) is not None:
        found = NumberFile(_array(path))
    else:
        found = _csv(path, labels)
    if found.names is not None:
        _check_names(found.names, labels, path)
    if found.values.shape[1] != len(labels):
        rows, columns = found.values.shape
        turned = " It may be turned: images are rows." if rows == len(labels) else ""
        raise InputError(f"is a table of {rows} × {columns}, expected {len(labels)} columns, one a label", path=path,
                         remedy=f"Give the labels of its columns, one a line.{turned}")  # fmt: skip
    return found


def _array(path: Path) -> Table:
    stored = [each for each in open_contents(path).stored if each.kind in _NUMBERS and len(each.shape) == 2]
    if len(stored) != 1:
        held = listed([f"{each.name or 'an array'} ({each.about})" for each in stored]) if stored else "none"
        raise InputError(f"expected one table of numbers, images × labels; there is {held}", path=path,
                         remedy="Save that table alone.")  # fmt: skip
    values: Table = stored[0].read()
    return values


def _csv(path: Path, labels: Sequence[str]) -> NumberFile:
    names: tuple[str, ...] | None = None
    images: list[str] = []
    # Grown in place: a table of a hundred million numbers fits once, not twice.
    values, width, count = array("f"), 0, 0
    with _lines(path) as reader:
        for row in reader:
            if not row:
                continue
            if not count and names is None and _is_header(row, labels):
                names = tuple(row)
                continue
            named = not _is_number(row[0])
            numbers = _numbers(row[named:], path, reader.line_num)
            width = width or len(numbers)
            if not width:
                raise InputError(f"{row[0][:60]!r} is no number", path=path, line=reader.line_num)
            if len(numbers) != width or (count and named != bool(images)):
                raise InputError(f"has {len(row)} cells, unlike the lines before", path=path, line=reader.line_num)
            images += row[:1] if named else []
            values.frombytes(numbers.tobytes())
            count += 1
    if not count:
        raise InputError("holds no line of numbers", path=path)
    if names is not None and len(names) == width + 1:
        names = names[1:]
    return NumberFile(np.frombuffer(values, dtype=np.float32).reshape(count, width), names, tuple(images) or None)


@contextmanager
def _lines(path: Path) -> Iterator[Any]:
    """A CSV reader; what is no CSV, or no UTF-8, is an `InputError`."""
    with files.open_input(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        reader = csv.reader(text)
        try:
            yield reader
        except csv.Error as error:
            raise InputError(f"is no CSV: {error}", path=path, line=reader.line_num) from error
        except UnicodeDecodeError as error:
            line = reader.line_num + 1
            raise InputError("is not UTF-8 text", path=path, line=line, remedy="Save it as UTF-8.") from error
        finally:
            text.detach()


def _is_header(row: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether a line names columns: the labels, which may be numbers themselves, or words where numbers belong."""
    spelt, own = [canonical(label) for label in labels], [canonical(cell) for cell in row]
    return spelt in (own, own[1:]) or not all(_is_number(cell) for cell in row[len(row) > 1 :])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell.strip()
    return True


def _numbers(cells: Sequence[str], path: Path, line: int) -> NDArray[np.float32]:
    try:
        # An empty cell is an unknown one.
        values = np.array([cell if cell.strip() else "nan" for cell in cells], dtype=np.float64)
    except ValueError as error:
        wrong = next(cell for cell in cells if not _is_number(cell))
        raise InputError(f"{wrong[:60]!r} is no number", path=path, line=line) from error
    if (np.isfinite(values) & (np.abs(values) > _LARGEST)).any():
        raise InputError("holds a number beyond what 32 bits hold", path=path, line=line)
    return values.astype(np.float32)


def _parquet(path: Path) -> NumberFile:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EnvironmentFailure("needs pyarrow", path=path, remedy="Run pip install 'zsmld[data]'.") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"is no whole Parquet file: {' '.join(str(error).split())[:200]}", path=path) from error
    kinds = pyarrow.types
    images = [name for name, kind in zip(table.column_names, table.schema.types, strict=True)
              if kinds.is_string(kind) or kinds.is_large_string(kind)]  # fmt: skip
    names = [name for name in table.column_names if name not in images]
    for name in names:
        kind = table.schema.field(name).type
        if not (kinds.is_floating(kind) or kinds.is_integer(kind) or kinds.is_boolean(kind)):
            raise InputError(f"column {name[:60]!r} holds {kind}, expected numbers", path=path)
    if len(images) > 1 or not names or len(set(table.column_names)) != len(table.column_names):
        raise InputError("expected a column of numbers a label, each once, and at most one of image names", path=path)
    values = np.empty((table.num_rows, len(names)), dtype=np.float32)
    for at, name in enumerate(names):
        values[:, at] = table.column(name).cast("float32").to_numpy()
    return NumberFile(values, tuple(names), tuple(table.column(images[0]).to_pylist()) if images else None)


def _check_names(names: Sequence[str], labels: Sequence[str], path: Path) -> None:
    for at, (name, label) in enumerate(zip(names, labels, strict=False), start=1):
        if canonical(name) != canonical(label):
            raise InputError(f"column {at} is {name[:60]!r}, label {at} is {label!r}", path=path,
                             remedy="Give the labels in the order of the columns.")  # fmt: skip


def truth_of(values: Table, path: Path | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Truth, and where it is known (None: everywhere), out of the values that people write.

    1 and 0 or 1 and -1 are true and false. With all three 0 is unknown, as in the published Open Images code; so is
    NaN, or an empty cell, anywhere.

    Raises:
        InputError: other values.
    """
    if values.dtype == np.bool_:
        return values, None
    unknown = np.isnan(values) if values.dtype.kind == "f" else np.zeros(1, dtype=np.bool_)
    true, zero, minus = values == 1, values == 0, values == -1
    if not (true | zero | minus | unknown).all():
        wrong = values[~(true | zero | minus | unknown)][0]
        raise InputError(f"holds {wrong!s}, expected 1 for true, 0 or -1 for false", path=path)
    if minus.any() and zero.any():
        unknown = unknown | zero
    return true, ~np.broadcast_to(unknown, values.shape) if unknown.any() else None
