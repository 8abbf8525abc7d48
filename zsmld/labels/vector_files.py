"""Files of word vectors, of any form and packing, as sources of words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from zsmld.errors import InputError
from zsmld.labels.binary_rows import BinaryRows
from zsmld.labels.fasttext_files import FastTextFile
from zsmld.labels.packed_files import choose_member, open_content
from zsmld.labels.vector_forms import Form, tell_form
from zsmld.labels.vector_rows import Rows, TextRows, WantedRows
from zsmld.labels.word_source import WordSource, WordVectors


def open_vector_file(path: Path, *, member: str | None = None) -> WordSource:
    """Open a file of word vectors; its form and its packing are told from its content.

    Args:
        path: GloVe text, word2vec text or binary, or fastText's `.vec` or `.bin`; plain, gzipped or in a zip archive.
        member: which member of a zip archive; None for the only one that holds word vectors.

    Raises:
        InputError: absent, damaged, of another form; an archive without word vectors, or with several such members.
        UsageError: `member` of a file that is no archive.
    """
    path = Path(path)
    chosen = choose_member(path, member, lambda name: _holds_vectors(path, name))
    form = tell_form(path, chosen)
    return FastTextFile(path, chosen) if form.fasttext else VectorFile(path, chosen, form)


def _holds_vectors(path: Path, member: str) -> bool:
    try:
        tell_form(path, member)
    except InputError:
        return False
    return True


@dataclass(frozen=True)
class VectorFile:
    """A text or word2vec binary file: read once from end to end, only wanted rows become numbers.

    Attributes:
        path: the file.
        member: the member of a zip archive, None where it is none.
        form: what `tell_form` said.
    """

    path: Path
    member: str | None
    form: Form

    def read(self, wanted: Collection[str]) -> WordVectors:
        """The vectors of the `wanted` words; the other rows are checked for their structure only.

        Raises:
            InputError: malformed or damaged, with the line (byte offset in binary files).
        """
        kept = WantedRows(self.path, wanted)
        with open_content(self.path, self.member) as content:
            kept.read(self._rows(content.bytes))
            return WordVectors(kept.vectors, self.form.width, content.digest(), kept.size, kept.ranks)

    def words(self) -> Iterator[str]:
        """Every word of the file, in its order.

        Raises:
            InputError: as `read`.
        """
        with open_content(self.path, self.member) as content:
            for _, word, _ in self._rows(content.bytes):
                yield word.decode("utf-8")

    def _rows(self, stream: IO[bytes]) -> Rows:
        kind = BinaryRows if self.form.binary else TextRows
        return kind(stream, self.form, self.path)
