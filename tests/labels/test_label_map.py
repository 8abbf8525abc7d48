import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from zsmld.errors import InputError
from zsmld.labels import label_map
from zsmld.labels.doctor import check_labels
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.label_map import FONT, draw_labels
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.labels.vocabulary import canonical, read_vocabulary

SVG = "{http://www.w3.org/2000/svg}"
PLACED = ["x", "y"]


def table_of(labels, vectors):
    record = SourceRecord(source="made", digest="sha256:0", kind="word_vectors", width=vectors.shape[1])
    return LabelEmbeddings(
        tuple(labels), np.asarray(vectors, np.float32), ("whole",) * len(labels), Provenance((record,))
    )


def drawn(seen, unseen=(), vectors=None):
    labels = [*seen, *unseen]
    if vectors is None:
        vectors = np.random.default_rng(0).normal(size=(len(labels), 16))
    examination, table = check_labels(seen=seen, unseen=unseen or None, embeddings=table_of(labels, vectors))
    return draw_labels(table, examination)


def groups(picture, kind):
    """Title, mark and text of every label of a kind; the legend has no title."""
    root = ElementTree.fromstring(picture.encode())
    every = [group for group in root.iter(f"{SVG}g") if group.get("class") == kind]
    return [group for group in every if group.find(f"{SVG}title") is not None]


def texts(picture, kind):
    return [group.find(f"{SVG}text").text for group in groups(picture, kind)]


def boxes(picture):
    """Left, top, right and bottom of every label's text, as wide as a font that is not ours sets it."""
    font = ImageFont.load_default(100)
    found = []
    for kind, boldness in (("seen", 1.0), ("unseen", 1.08)):
        for group in groups(picture, kind):
            text = group.find(f"{SVG}text")
            x, y = (float(text.get(name)) for name in PLACED)
            width = font.getlength(text.text) / 100 * FONT * boldness
            found.append((x, y - 0.9 * FONT, x + width, y + 0.25 * FONT))
    return np.array(found)


def overlapping(all_boxes):
    left, top, right, bottom = all_boxes.T
    across = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    down = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    return np.argwhere(np.triu((across > 0) & (down > 0), 1))


STARTS = ("photojournalism", "illicit", "MAMMALOGY HALL", "www.mmm.www", "a")
WORDS = [f"{start}{number}" for start in STARTS for number in range(40)]


def test_no_two_labels_overlap_and_all_lie_on_the_canvas():
    vectors = np.random.default_rng(0).normal(size=(5, 16)).repeat(40, axis=0)
    vectors += 0.01 * np.random.default_rng(1).normal(size=vectors.shape)
    picture = drawn(WORDS[:150], WORDS[150:], vectors)
    placed = boxes(picture)
    assert len(placed) == 200 and not len(overlapping(placed))
    width, height = (float(number) for number in re.search(r'viewBox="0 0 (\d+) (\d+)"', picture).groups())
    assert placed[:, :2].min() >= 0
    assert placed[:, 2].max() <= width and placed[:, 3].max() <= height


@pytest.mark.parametrize("label", ["illicit", "www.mmm.www", "MAMMALOGY HALL", "polar bear", "photojournalism", "wow"])
def test_a_label_is_given_the_room_that_a_font_takes(label):
    taken = (ImageFont.load_default(100).getlength(label) / 100 + label_map._DOT) * FONT
    (plain, _), (bold, _) = (label_map._box(label, bold=bold) for bold in (False, True))
    assert taken <= plain < bold < 1.8 * taken


def test_a_thousand_labels_in_one_spot_are_moved_apart(monkeypatch):
    monkeypatch.setattr(label_map, "_placed", lambda table, _seed: np.zeros((len(table), 2)))
    words = [f"{word}{number}" for number in range(5) for word in WORDS]
    assert not len(overlapping(boxes(drawn(words[:900], words[900:]))))


def test_seen_and_unseen_labels_are_told_apart_by_shape_and_counted():
    labels = [f"word{number}q" for number in range(60)]
    picture = drawn(labels[:45], labels[45:])
    assert texts(picture, "seen") == labels[:45] and texts(picture, "unseen") == labels[45:]
    assert all(group.find(f"{SVG}circle") is not None for group in groups(picture, "seen"))
    assert all(group.find(f"{SVG}path") is not None for group in groups(picture, "unseen"))
    heads = [text.text for text in ElementTree.fromstring(picture.encode()).iter(f"{SVG}text") if text.get("class")]
    assert heads == ["45 seen", "15 unseen, each with a line to its nearest seen label"]
    plain = drawn(labels)
    assert ">60 labels<" in plain and not groups(plain, "unseen") and "<line" not in plain


def test_lines_lead_from_unseen_labels_to_the_nearest_seen_ones():
    labels = [f"word{number}q" for number in range(60)]
    vectors = np.random.default_rng(0).normal(size=(60, 16))
    vectors[50] = vectors[7] + 0.01
    picture = drawn(labels[:50], labels[50:], vectors)
    lines = list(ElementTree.fromstring(picture.encode()).iter(f"{SVG}line"))
    assert len(lines) == 10
    dots = {group.find(f"{SVG}text").text: group.find(f"{SVG}circle") for group in groups(picture, "seen")}
    near = dots[labels[7]]
    assert (lines[0].get("x2"), lines[0].get("y2")) == (near.get("cx"), near.get("cy"))


def test_titles_name_the_nearest_labels():
    vectors = np.eye(4)[[0, 0, 1, 2]] + 0.1 * np.eye(4)
    titles = [group.find(f"{SVG}title").text for group in groups(drawn(["a1", "b1"], ["c1", "d1"], vectors), "unseen")]
    label, _, near = titles[0].partition(": ")
    assert label == "c1 (unseen)" and {entry.split()[0] for entry in near.split(", ")} == {"a1", "b1", "d1"}
    assert all(0 <= float(entry.split()[1]) < 1 for entry in near.split(", "))


def test_few_labels_have_room():
    assert np.ptp(boxes(drawn(WORDS[:8]))[:, 0]) > 400


def test_near_labels_are_drawn_near():
    vectors = np.random.default_rng(0).normal(size=(3, 16)).repeat(20, axis=0)
    vectors += 0.05 * np.random.default_rng(1).normal(size=vectors.shape)
    placed = boxes(drawn([f"word{number:02}q" for number in range(60)], (), vectors))[:, :2]
    middles = placed.reshape(3, 20, 2).mean(axis=1)
    within = np.linalg.norm(placed.reshape(3, 20, 2) - middles[:, None], axis=2).mean()
    between = np.mean([np.linalg.norm(a - b) for a, b in combinations(middles, 2)])
    assert between > 2 * within


def test_the_same_table_gives_the_same_picture():
    assert drawn(WORDS[:60]) == drawn(WORDS[:60])


@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 12, 60])
@pytest.mark.parametrize("vectors", ["one number", "all the same", "on a line"])
def test_few_and_flat_vectors_are_drawn(count, vectors):
    numbers = np.arange(1.0, count + 1)[:, None]
    made = {"one number": numbers, "all the same": np.ones((count, 4)), "on a line": numbers * np.ones(4)}[vectors]
    picture = drawn(WORDS[:count], (), made)
    assert len(texts(picture, "seen")) == count
    assert not len(overlapping(boxes(picture))) and "nan" not in picture


HARD = [
    "<b>&amp;</b>",
    "]]>",
    "a]]>b",
    '"quoted"',
    "'",
    "<!--",
    "&#0;",
    "</svg><script>",
    "\uffff",
    "x\ufffe",
    "北極熊",
    "ก็",
]


def test_labels_that_look_like_markup_are_text():
    picture = drawn(HARD)
    assert texts(picture, "seen") == [label.replace("\uffff", "\ufffd").replace("\ufffe", "\ufffd") for label in HARD]
    root = ElementTree.fromstring(picture.encode())
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "style", "rect", "g", "circle", "text", "title",
    }  # fmt: skip
    assert "script" not in {element.tag for element in root.iter()} and "http" not in picture.replace(SVG[1:-1], "")


# Labels that a vocabulary takes, all but a few: no control characters, no blank ones, no two the same.
TAKEN = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(canonical)


@settings(max_examples=60)
@given(st.lists(TAKEN, min_size=1, max_size=6, unique_by=canonical))
def test_any_labels_give_xml_that_can_be_read(labels):
    try:
        table = table_of(labels, np.random.default_rng(0).normal(size=(len(labels), 4)))
        examination, _ = check_labels(list(labels), embeddings=table)
    except InputError:
        assume(False)
    picture = draw_labels(table, examination)
    assert len(texts(picture, "seen")) == len(labels)


@pytest.mark.realdata
def test_the_vocabulary_of_corel5k(shared_data):
    lists = shared_data / "corel5k" / "splits" / "0"
    examination, table = check_labels(
        seen=lists / "seen.txt",
        unseen=lists / "unseen.txt",
        source=shared_data / "vectors" / "glove_nus_wide_1006.300d.txt.gz",
    )
    picture = draw_labels(table, examination)
    assert not len(overlapping(boxes(picture)))
    assert sorted(texts(picture, "unseen")) == sorted(read_vocabulary(lists / "unseen.txt").labels)
