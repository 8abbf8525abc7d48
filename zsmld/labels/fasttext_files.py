"""fastText's `.bin` models as sources of words, with vectors for words that they never saw.

gensim computes the vectors, by its public loader. It trusts every size, waits for ever at the end of a truncated
dictionary and loads all words; so the file is walked first, and gensim gets a file that is written here: the wanted
words and the n-grams, in fastText's own form.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from zsmld import console
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.labels.fasttext_walk import Header, Walk
from zsmld.labels.packed_files import open_content
from zsmld.labels.vector_forms import FASTTEXT_MAGIC
from zsmld.labels.vector_rows import fault_of
from zsmld.labels.word_source import Vector, WordVectors

# No word of fastText's holds white space: this one cannot be asked for.
_FILLER = b" "
_WORTH_TELLING = 1 << 30


@dataclass(frozen=True)
class _Entry:
    """A wanted word: its position in the dictionary, and the byte where it stands."""

    word: str
    rank: int
    place: int


@dataclass(frozen=True)
class FastTextFile:
    """A fastText model.

    Attributes:
        path: the file.
        member: the member of a zip archive, None where it is none.
    """

    path: Path
    member: str | None = None

    def read(self, wanted: Collection[str]) -> WordVectors:
        """The vectors of the `wanted` words, and `subwords` for others, which has to be asked for new words only.

        Raises:
            InputError: malformed or damaged, with the byte offset; supervised or quantised models.
            EnvironmentFailure: no room for the temporary file.
        """
        with tempfile.TemporaryDirectory(prefix="zsmld-") as folder, open_content(self.path, self.member) as content:
            walk = Walk(content.bytes, self.path)
            header = walk.header()
            entries = self._find(walk, header, wanted)
            slim = Path(folder) / "model.bin"
            self._write_slim(slim, walk, header, entries)
            walk.finish()
            model = _loaded(slim, header)
        return WordVectors(
            vectors={entry.word: self._vector(model, entry) for entry in entries},
            width=header.width,
            digest=content.digest(),
            size=header.words,
            ranks={entry.word: entry.rank for entry in entries},
            subwords=_subwords(model) if header.buckets else None,
        )

    def words(self) -> Iterator[str]:
        """Every word of the model, in its order; what is not UTF-8 in it is escaped, as gensim does.

        Raises:
            InputError: as `read`, for header and dictionary.
        """
        with open_content(self.path, self.member) as content:
            walk = Walk(content.bytes, self.path)
            for _, word in walk.entries(walk.header()):
                yield word.decode("utf-8", "backslashreplace")

    def _find(self, walk: Walk, header: Header, wanted: Collection[str]) -> list[_Entry]:
        words = {word.encode("utf-8", "surrogatepass"): word for word in wanted}
        found: dict[bytes, _Entry] = {}
        for rank, (place, word) in enumerate(walk.entries(header)):
            if word not in words:
                continue
            if word in found:
                raise InputError(
                    f"the word {words[word]!r} stands twice in its dictionary, at byte {found[word].place} and at byte "
                    f"{place}", path=self.path,
                )  # fmt: skip
            found[word] = _Entry(words[word], rank, place)
        return list(found.values())

    def _write_slim(self, path: Path, walk: Walk, header: Header, entries: list[_Entry]) -> None:
        """Write a model of the words of `entries` and all buckets, while walking through the vectors."""
        walk.begin_matrix(header)
        with _Disk(path) as write:
            write(_head_of(header, [entry.word.encode() for entry in entries] or [_FILLER]))
            at = 0
            for entry in entries:
                walk.skip((entry.rank - at) * header.row_bytes, "its vectors")
                write(walk.take(header.row_bytes, "its vectors"))
                at = entry.rank + 1
            if not entries:
                write(bytes(header.row_bytes))
            walk.skip((header.words - at) * header.row_bytes, "its vectors")
            walk.skip(header.buckets * header.row_bytes, "its n-grams", write)

    def _vector(self, model: Any, entry: _Entry) -> Vector:
        vector: Vector = model.get_vector(entry.word).copy()
        if fault := fault_of(vector):
            raise InputError(
                f"the vector of {entry.word!r} (its word at byte {entry.place}) {fault}", path=self.path,
                remedy="Fetch it again.",
            )  # fmt: skip
        return vector


class _Disk:
    """A file to write, where a full disk is told as such, and faults of the input are left alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Callable[[bytes], None]:
        self._stream: IO[bytes] = self._path.open("wb")
        return self._write

    def __exit__(self, *_: object) -> None:
        try:
            self._stream.close()
        except OSError as error:
            raise self._failure(error) from error

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"the n-grams of a fastText model cannot be kept here: {(error.strerror or str(error)).lower()}",
            path=self._path.parent, remedy="Set TMPDIR to a folder with more room.",
        )  # fmt: skip


def _head_of(header: Header, words: list[bytes]) -> bytes:
    """All of a model up to its vectors: nothing of what concerns its training is the original's."""
    arguments = (header.width, 5, 5, 1, 5, 1, 2, 1, header.buckets, header.shortest, header.longest, 100, 1e-4)
    dictionary = b"".join(word + b"\0" + struct.pack("<qb", 1, 0) for word in words)
    return b"".join(
        [
            FASTTEXT_MAGIC,
            struct.pack("<i", 12),
            struct.pack("<12id", *arguments),
            struct.pack("<3i2q", len(words), len(words), 0, len(words), -1),
            dictionary,
            struct.pack("<?2q", False, len(words) + header.buckets, header.width),
        ]
    )


def _loaded(path: Path, header: Header) -> Any:
    """gensim's model of the file at `path`, which was written here."""
    from gensim.models.fasttext import load_facebook_vectors

    # gensim splits the matrix into copies.
    needed = 2 * header.buckets * header.row_bytes
    if needed > _WORTH_TELLING:
        console.info(f"loading the n-grams of a fastText model: about {needed / (1 << 30):.1f} GiB of memory")
    with np.errstate(all="ignore"):
        return load_facebook_vectors(str(path))


def _subwords(model: Any) -> Callable[[str], Vector | None]:
    """The vector of an unknown word, the mean of those of its n-grams; None where it has none, or they say nothing."""
    from gensim.models.fasttext import ft_ngram_hashes

    def subwords(word: str) -> Vector | None:
        if not len(ft_ngram_hashes(word, model.min_n, model.max_n, model.bucket)):
            return None
        with np.errstate(all="ignore"):
            vector: Vector = model.get_vector(word)
        return None if fault_of(vector) else vector

    return subwords
