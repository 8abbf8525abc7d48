"""What form a word-vector file has, told by the first bytes of its content.

Known forms: GloVe text (`word number ... number` a line), word2vec text and fastText's `.vec` (the same under a line
`words dimension`), word2vec binary (that line, then word, space and little-endian float32 numbers) and fastText's
`.bin`.
"""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from zsmld.errors import InputError
from zsmld.labels.packed_files import GZIP, ZIP, open_content

LONGEST_LINE = 1 << 20
WIDEST = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FASTTEXT_MAGIC = b"\xba\x16\x4f\x2f"
_SAMPLED_ROWS = 10
_FOREIGN = (
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (GZIP, "packed twice"),
    *((magic, "packed twice") for magic in ZIP),
)
_FORMS = "GloVe, word2vec or fastText vectors, plain, gzipped or in a zip archive"


@dataclass(frozen=True)
class Form:
    """The form of a word-vector file.

    Attributes:
        binary: word2vec binary, not text.
        width: E, the numbers of a row.
        count: the rows that a header promises; None without header (GloVe).
        fasttext: fastText's `.bin`, whose width is read with its header.
    """

    binary: bool
    width: int
    count: int | None
    fasttext: bool = False


def tell_form(path: Path, member: str | None = None) -> Form:
    """Tell the form of the word-vector file at `path` (of a member of the archive) from its first bytes.

    Raises:
        InputError: empty, a known foreign format, or no rows of a word and numbers.
    """
    with open_content(path, member) as content:
        head = content.bytes.read(LONGEST_LINE)
    if not head:
        raise InputError("is empty, expected word vectors", path=path)
    if head.startswith(FASTTEXT_MAGIC):
        return Form(binary=True, width=0, count=None, fasttext=True)
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"is {name}, expected {_FORMS}", path=path, remedy=_remedy_for(name))
    first, newline, rest = head.removeprefix(BYTE_ORDER_MARK).partition(b"\n")
    if not newline and len(head) == LONGEST_LINE:
        raise InputError(f"holds no line end in its first MiB, expected {_FORMS}", path=path, line=1)
    header = first.split()
    if len(header) == 2 and all(_is_integer(part) for part in header):
        return _headed(path, int(header[0]), int(header[1]), rest)
    return Form(binary=False, width=_width_of(path, head), count=None)


def _remedy_for(name: str) -> str:
    if "pickle" in name:
        return "Pickles are not opened, they can run code: in gensim, save_word2vec_format writes a readable form."
    return "Unpack or convert it."


def _is_integer(token: bytes) -> bool:
    return token.removeprefix(b"-").isdigit()


def _headed(path: Path, count: int, width: int, rest: bytes) -> Form:
    if count < 1 or not 1 <= width <= WIDEST:
        raise InputError(
            f"its header promises {count} words of dimension {width}, expected at least one of each and a "
            f"dimension up to {WIDEST}", path=path, line=1,
        )  # fmt: skip
    row = rest.partition(b"\n")[0].rstrip(b" \r")
    tokens = row.rsplit(b" ", width)[1:]
    is_row = len(tokens) == width and all(is_number(token) for token in tokens)
    # Text with a fault in its first row is to be reported as text.
    faulty = any(is_number(token) for token in tokens) and _looks_like_text(rest[:4096])
    return Form(binary=not is_row and not faulty, width=width, count=count)


def _looks_like_text(sample: bytes) -> bool:
    try:
        # The incremental decoder does not mind a character that is cut at the sample's end.
        text = codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return all(character >= " " or character in "\t\r\n" for character in text)


def is_number(token: bytes) -> bool:
    """Whether `token` is a number as word-vector files write it."""
    try:
        float(token)
    except ValueError:
        return False
    # Python also takes 1_000 for a number.
    return b"_" not in token


def _width_of(path: Path, head: bytes) -> int:
    """The dimension of a GloVe file: what most of its first rows have, as a word may hold spaces and digits."""
    lines = head.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    complete = lines if len(head) < LONGEST_LINE else lines[:-1]
    rows = [line for line in complete[: 2 * _SAMPLED_ROWS] if line.strip()][:_SAMPLED_ROWS]
    widths = Counter(_trailing_numbers(row) for row in rows)
    # On a tie the greater: then a short row is reported as ragged, and not taken for a word with a number in it.
    width = max(widths, key=lambda found: (widths[found], found), default=0)
    if not 1 <= width <= WIDEST:
        raise InputError(f"line 1 is not a word and its numbers, expected {_FORMS}", path=path, line=1)
    return width


def _trailing_numbers(row: bytes) -> int:
    tokens = row.split()
    count = 0
    while count < len(tokens) - 1 and is_number(tokens[-1 - count]):
        count += 1
    return count
