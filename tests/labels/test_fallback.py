import numpy as np
import pytest

from zsmld.errors import InputError
from zsmld.labels.sources import embed_labels

WORDS = ("a", "b", "c", "d", "e", "f", "dog")


def _written(path, words, *, seed=0, digits=6, scale=1.0):
    """Vectors that depend on the word and the seed alone."""
    rows = []
    for word in words:
        vector = scale * np.random.default_rng([seed, *word.encode()]).normal(size=8)
        rows.append(f"{word} {' '.join(f'{x:.{digits}f}' for x in vector)}\n")
    path.write_text("".join(rows))
    return path


def test_words_that_the_first_file_lacks_come_from_the_second(tmp_path):
    first = _written(tmp_path / "small.vec", WORDS, digits=3)
    second = _written(tmp_path / "large.vec", [*WORDS, "whale", "polar", "bear"])
    table = embed_labels(["dog", "whale", "polar bear"], source=f"{first}::fallback={second}")
    alone = {path: embed_labels(["dog"], source=path).vectors for path in (first, second)}
    assert np.array_equal(table.vectors[:1], alone[first]) and not np.array_equal(table.vectors[:1], alone[second])
    assert np.array_equal(table.vectors[1:], embed_labels(["whale", "polar bear"], source=second).vectors)
    record = table.provenance.parts[0]
    assert record.note.endswith("7 shared words have the same vectors")
    assert record.source == f"{first}::fallback={second}"
    assert len({record.digest} | {embed_labels(["dog"], source=path).provenance.parts[0].digest for path in alone}) == 3


@pytest.mark.parametrize(
    ("words", "options", "told"),
    [
        (WORDS, {"seed": 1}, r"the spaces differ: '\w+' has other numbers there than in .*small\.vec \(cosine"),
        (WORDS, {"scale": 2.0}, r"the spaces differ: .* \(cosine 1\.00\)"),
        (WORDS[:4], {}, "shares 4 words with .*, too few"),
    ],
)
def test_files_of_two_spaces_are_refused(tmp_path, words, options, told):
    first = _written(tmp_path / "small.vec", WORDS)
    second = _written(tmp_path / "large.vec", words, **options)
    with pytest.raises(InputError, match=told) as caught:
        embed_labels(["dog"], source=f"{first}::fallback={second}")
    assert caught.value.path == second and "side by side" in str(caught.value)


def test_files_of_two_widths_are_refused(tmp_path):
    first = _written(tmp_path / "small.vec", WORDS)
    (tmp_path / "large.vec").write_text("".join(f"{word} 1 2\n" for word in WORDS))
    with pytest.raises(InputError, match=r"have 2 numbers, those of .* 8"):
        embed_labels(["dog"], source=f"{first}::fallback={tmp_path / 'large.vec'}")
