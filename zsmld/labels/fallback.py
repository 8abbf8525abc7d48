"""A second file of the same space, for words that the first lacks: a fastText `.vec` with the `.bin` it was made of.

Vectors of two spaces must never meet in one table, so that the spaces are one is not believed but measured, on the
words that both files have.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels.word_source import WordSource, WordVectors

PROBED = 1000
_FEWEST = 5
# Files of one space differ by the digits that the text form drops: one part in a thousand, mostly far less.
_DIFFERENCE = 0.02


@dataclass
class WithFallback:
    """A `WordSource` of two: the words of `first`, and those that only `second` has.

    Attributes:
        first, second: the two sources, and
        names: what they are called in messages.
    """

    first: WordSource
    second: WordSource
    names: tuple[str, str]

    def read(self, wanted: Collection[str]) -> WordVectors:
        """See `WordSource.read`.

        Raises:
            InputError: also where the two are not of one space, or share too few words to tell.
        """
        probes = set(itertools.islice(self.first.words(), PROBED))
        mine = self.first.read(probes | set(wanted))
        other = self.second.read(probes | set(wanted))
        shared = [word for word in mine.vectors if word in other.vectors]
        self._check_space(mine, other, shared)
        lacked = [word for word in other.vectors if word in wanted and word not in mine.vectors]
        return WordVectors(
            vectors={word: mine.vectors[word] for word in mine.vectors if word in wanted}
            | {word: other.vectors[word] for word in lacked},
            width=mine.width,
            digest=files.digest_bytes(f"{mine.digest} {other.digest}".encode()),
            size=max(mine.size, other.size),
            ranks={**other.ranks, **mine.ranks},
            subwords=other.subwords or mine.subwords,
            note="; ".join(
                note for note in (mine.note, other.note, f"{len(shared)} shared words have the same vectors") if note
            ),
        )

    def words(self) -> Iterator[str]:
        """Every word of the first, then of the second; some come twice."""
        yield from self.first.words()
        yield from self.second.words()

    def _check_space(self, mine: WordVectors, other: WordVectors, shared: list[str]) -> None:
        first = self.names[0]
        if mine.width != other.width:
            raise self._refused(f"its vectors have {other.width} numbers, those of {first} {mine.width}")
        if len(shared) < _FEWEST:
            raise self._refused(f"it shares {len(shared)} words with {first}, too few to show that they are one space")
        a = np.stack([mine.vectors[word] for word in shared]).astype(np.float64)
        b = np.stack([other.vectors[word] for word in shared]).astype(np.float64)
        difference = np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1)
        worst = int(difference.argmax())
        if difference[worst] > _DIFFERENCE:
            cosine = a[worst] @ b[worst] / (np.linalg.norm(a[worst]) * np.linalg.norm(b[worst]))
            raise self._refused(
                f"the spaces differ: {shared[worst]!r} has other numbers there than in {first} (cosine {cosine:.2f})"
            )

    def _refused(self, problem: str) -> InputError:
        return InputError(
            f"cannot be a fallback: {problem}", path=self.names[1],
            remedy="Name both with --source to set them side by side.",
        )  # fmt: skip
