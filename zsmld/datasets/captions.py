"""The text of the generated sample: a corpus in which people talk about scenes, and word vectors trained on it.

The corpus is drawn on its own, not from the images. A label's vector therefore says what the word means in text
(a lemon is talked about as a round and yellow thing), and never which images it is in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from zsmld.datasets.words import COLOURS, FAMILIES, GROUNDS, THINGS, TIMES, WEATHERS, Thing

DIMENSIONS = 32
_SENTENCES = 12_000
_EPOCHS = 12

_SIZES = ("small", "large", "little", "huge", "pretty", "old", "lovely", "plain")
_VIEWS = ("there is", "i see", "we saw", "here is", "look at", "a picture of", "a photo of", "they painted")
_JOINS = ("and", "next to", "behind", "with", "near", "beside")


def write_corpus(rng: random.Random) -> list[str]:
    """Draw the corpus: one sentence a line, lower case, no punctuation."""
    kinds = (_definition, _portrait, _action, _caption, _likeness, _place)
    return [rng.choice(kinds)(rng) for _ in range(_SENTENCES)]


def _colour(rng: random.Random, thing: Thing) -> str:
    return rng.choice(COLOURS[thing.colour].words)


def _noun(rng: random.Random, thing: Thing) -> str:
    return rng.choice(FAMILIES[thing.family].nouns)


def _look(rng: random.Random, thing: Thing) -> str:
    return rng.choice(FAMILIES[thing.family].looks)


def _part(rng: random.Random, thing: Thing) -> str:
    return rng.choice(FAMILIES[thing.family].parts)


def _act(rng: random.Random, thing: Thing) -> str:
    return rng.choice(FAMILIES[thing.family].acts)


def _phrase(rng: random.Random, thing: Thing) -> str:
    """A thing as one speaks of it: `a ripe yellow lemon`, `the lemon`."""
    adjectives = [
        word
        for word, odds in ((rng.choice(_SIZES), 0.3), (_look(rng, thing), 0.5), (_colour(rng, thing), 0.6))
        if rng.random() < odds
    ]
    return " ".join((rng.choice(("a", "the", "one", "this")), *adjectives, thing.name))


def _setting(rng: random.Random) -> str:
    """Where, when and in what weather, each left out at times."""
    tables = (GROUNDS, TIMES, WEATHERS)
    told = [rng.choice(table[rng.choice(tuple(table))]) for table in tables if rng.random() < 0.6]
    rng.shuffle(told)
    return " ".join(part for part in told if part)


def _definition(rng: random.Random) -> str:
    thing = rng.choice(THINGS)
    said = f"a {thing.name} is a {_look(rng, thing)} {_colour(rng, thing)} {_noun(rng, thing)}"
    return f"{said} with a {_colour(rng, thing)} {_part(rng, thing)}" if rng.random() < 0.5 else said


def _portrait(rng: random.Random) -> str:
    thing = rng.choice(THINGS)
    said = f"the {_part(rng, thing)} of the {thing.name} is {_colour(rng, thing)}"
    return f"{rng.choice(_VIEWS)} {_phrase(rng, thing)} {said}"


def _action(rng: random.Random) -> str:
    thing = rng.choice(THINGS)
    return f"{_phrase(rng, thing)} {_act(rng, thing)} {_setting(rng)}".strip()


def _caption(rng: random.Random) -> str:
    things = rng.sample(THINGS, rng.choice((2, 2, 3)))
    return f"{rng.choice(_VIEWS)} {_joined(rng, things)} {_setting(rng)}".strip()


def _joined(rng: random.Random, things: Sequence[Thing]) -> str:
    said = _phrase(rng, things[0])
    for thing in things[1:]:
        said += f" {rng.choice(_JOINS)} {_phrase(rng, thing)}"
    return said


def _likeness(rng: random.Random) -> str:
    thing = rng.choice(THINGS)
    same = rng.choice([other for other in THINGS if thing.colour == other.colour and other != thing])
    return f"the {thing.name} a {_noun(rng, thing)} is {_colour(rng, thing)} just like the {same.name}"


def _place(rng: random.Random) -> str:
    return (
        f"{rng.choice(('we walked', 'they met', 'it was calm', 'nobody spoke', 'we waited'))} {_setting(rng)}".strip()
    )


def word_vectors(corpus: Sequence[str], seed: int) -> str:
    """Train word2vec (skip-gram) on `corpus`; the vectors as word2vec text, most frequent word first."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        [sentence.split() for sentence in corpus],
        vector_size=DIMENSIONS, window=4, min_count=3, sg=1, negative=10, sample=1e-3, epochs=_EPOCHS,
        seed=(seed + 1) % 2**32, workers=1,  # more than one worker and the result depends on the scheduler
    )  # fmt: skip
    rows = [f"{len(model.wv.index_to_key)} {DIMENSIONS}"]
    for word in model.wv.index_to_key:
        rows.append(" ".join((word, *(f"{value:.5f}" for value in model.wv[word]))))
    return "\n".join(rows) + "\n"
