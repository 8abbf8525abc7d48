"""What a source of word vectors is: something that looks words up, and can list what it has.

Files of any form (text, binary, fastText, ready-made arrays) become a `WordSource`; how a label is found among its
words is decided elsewhere, once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


@dataclass
class WordVectors:
    """The wanted words that a source has.

    Attributes:
        vectors: word → (E,) float32, finite, not all zeros.
        width: E.
        digest: `sha256:` of the content after decompression, so that a file and its packed form are one source.
        size: how many words the source has.
        ranks: word → its position in the source, from 0; files are written by falling frequency.
        subwords: the vector of a word that the source does not have, from its character n-grams (fastText only);
            None where not even these are known.
        note: what is to be recorded of the way it was read, such as the order of an array's rows; else empty.
    """

    vectors: dict[str, Vector]
    width: int
    digest: str
    size: int
    ranks: dict[str, int] = field(default_factory=dict)
    subwords: Callable[[str], Vector | None] | None = None
    note: str = ""


class WordSource(Protocol):
    """A space of word vectors."""

    def read(self, wanted: Collection[str]) -> WordVectors:
        """The vectors of the `wanted` words (exact spellings); those that the source lacks are absent.

        Raises:
            InputError: the source is malformed, with its path and line (byte offset in binary files).
        """

    def words(self) -> Iterator[str]:
        """Every word of the source, in its order."""
