"""What people say of the sample's scenes: a generated corpus, and word vectors trained on it with gensim.

A word is known by its company. Captions speak of a lemon as yellow and as a fruit, whether or not a picture of one
was ever labelled, and that is all the decoder gets to know of an unseen word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zsmld.datasets.words import COLOURS, FAMILIES, GROUNDS, THINGS, TIMES, WEATHERS, Thing

VECTOR_WIDTH = 64
_ARTICLES = ("a", "the", "this", "one")


def make_captions(count: int, seed: int) -> list[str]:
    """`count` captions, lower case, words separated by spaces; a label of two words is one word with `_`."""
    rng = random.Random(f"captions {seed}")
    return [_caption(rng, rng.choice(THINGS)) for _ in range(count)]


def _caption(rng: random.Random, thing: Thing) -> str:
    family, colour = FAMILIES[thing.family], rng.choice(COLOURS[thing.colour].words)
    name, article = thing.name.replace(" ", "_"), rng.choice(_ARTICLES)
    noun, looks, part = rng.choice(family.nouns), rng.choice(family.looks), rng.choice(family.parts)
    act, setting = rng.choice(family.acts), _setting(rng)
    return rng.choice(
        (
            f"a {name} is a {colour} {noun}",
            f"{article} {name} is a {looks} {colour} {noun}",
            f"{article} {colour} {name} , a {looks} {noun} , {act}",
            f"the {colour} {part} of {article} {name}",
            f"{article} {looks} {noun} with a {colour} {part} : a {name}",
            f"{article} {colour} {name} {act} {setting}",
            f"{article} {noun} {act} {setting}",
            f"{setting} {article} {looks} {name} {act}",
        )
    )


def _setting(rng: random.Random) -> str:
    told = [rng.choice(rng.choice(list(table.values()))) for table in (GROUNDS, TIMES, WEATHERS)]
    return " ".join(words for words in told if words)


def train_word_vectors(captions: Sequence[str], seed: int) -> tuple[list[str], NDArray[np.float32]]:
    """Skip-gram word2vec on the captions: words in order of frequency, and their vectors (words, VECTOR_WIDTH).

    One worker: with several, the order of updates, and so the vectors, would differ from run to run.
    """
    from gensim.models import Word2Vec

    sentences = [[word for word in caption.split() if word.isidentifier()] for caption in captions]
    model = Word2Vec(
        sentences, vector_size=VECTOR_WIDTH, window=6, min_count=1, sg=1, negative=10, sample=1e-3,
        epochs=12, seed=seed + 1, workers=1,
    )  # fmt: skip
    vectors: NDArray[np.float32] = model.wv.vectors
    return list(model.wv.index_to_key), vectors


def word2vec_text(words: Sequence[str], vectors: NDArray[np.float32]) -> str:
    """The vectors in word2vec's text form: a header, then a word and its numbers a line."""
    lines = [f"{len(words)} {vectors.shape[1]}"]
    lines += [f"{word} " + " ".join(f"{x:.5f}" for x in row) for word, row in zip(words, vectors, strict=True)]
    return "\n".join(lines) + "\n"
