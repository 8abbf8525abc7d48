"""A picture of a vocabulary: its labels in two dimensions, near ones together, as SVG that any viewer shows.

t-SNE (van der Maaten and Hinton, JMLR 2008) places the labels by the cosines of their vectors; then they are moved
apart until no two texts overlap, so that a thousand of them can be read.
"""

from __future__ import annotations

import itertools
import unicodedata
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from zsmld import console
from zsmld.labels.distances import Distances
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.findings import Examination
from zsmld.labels.vocabulary import canonical

FONT = 11.0
# Widths of letters in units of the font size, no less than those of DejaVu Sans, among the widest that "sans-serif" can
# mean: a viewer has fonts of its own.
_NARROW, _BROAD = frozenset("ijlfrtIJ .,:;'!|()[]/-"), frozenset("mwMWOQ@%&")
_NARROW_WIDTH, _BROAD_WIDTH, _CAPITAL_WIDTH, _WIDTH, _BOLD = 0.42, 1.0, 0.77, 0.65, 1.12
# The height of a line and the room for a label's mark, in the same unit.
_LINE, _DOT = 1.3, 1.0
# How much of the canvas the texts cover before they are moved apart.
_COVERED = 0.30
# Where texts are stuck between others, the canvas grows.
_ROUNDS, _GROWTH = 40, 1.03
_FEWEST_FOR_TSNE = 10
_MARGIN = 30.0
# A few labels have room, and the legend has.
_LEAST_SIZE = (520.0, 260.0)
_LEAST_WIDTH = 720.0
_HEAD, _HEAD_FONT = 60.0, 16.0
_STYLE = f"""
text {{ font: {FONT}px sans-serif; fill: #44546a }}
.unseen text {{ fill: #b3400a; font-weight: bold }}
.seen circle {{ fill: #9aa9bd }}
.unseen path {{ fill: #e8590c }}
.bond {{ stroke: #e8590c; stroke-opacity: .35; stroke-width: 1 }}
text.head {{ font-size: {_HEAD_FONT}px; font-weight: normal; fill: #1b2430 }}
"""
_NO_XML = dict.fromkeys((0xFFFE, 0xFFFF), "\N{REPLACEMENT CHARACTER}")

Points = NDArray[np.float64]


def draw_labels(table: LabelEmbeddings, examination: Examination, *, seed: int = 0) -> str:
    """The labels of `table` as an SVG picture; unseen ones are marked, and joined with their nearest seen label.

    The same table gives the same picture.
    """
    unseen = {canonical(label) for label in examination.unseen}
    marked = np.array([canonical(label) in unseen for label in table.labels])
    boxes = np.array([_box(label, bold=bold) for label, bold in zip(table.labels, marked, strict=True)])
    with console.progress("drawing labels", 2) as meter:
        places = _placed(table, seed)
        meter.advance()
        corners = _apart(_spread(places, boxes), boxes)
        meter.advance()
    corners -= corners.min(axis=0) - [_MARGIN, _MARGIN + _HEAD]
    width, height = (corners + boxes).max(axis=0) + _MARGIN
    nearest = Distances(table).nearest(table.labels, table.labels, most=6)
    body = [*_bonds(table, examination, corners, boxes)]
    for row, label in enumerate(table.labels):
        near = ", ".join(f"{other} {cosine:.2f}" for other, cosine in nearest[label] if other != label)
        body.append(_drawn(label, corners[row], boxes[row], near, unseen=bool(marked[row])))
    head = _head(len(table), int(marked.sum()), joined=bool(examination.nearest_seen))
    return _picture(max(width, _LEAST_WIDTH), height, head, body)


def _placed(table: LabelEmbeddings, seed: int) -> Points:
    """Two coordinates a label, (L,2)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    centred = Distances(table).centred
    count = len(centred)
    if count < 3 or not np.ptp(centred, axis=0).any():
        return np.array([[0.0, float(row)] for row in range(count)])
    # Both methods need two dimensions at least; columns of zeros change no cosine.
    centred = np.pad(centred, ((0, 0), (0, max(0, 2 - centred.shape[1]))))
    if count < _FEWEST_FOR_TSNE:
        placed: Points = PCA(n_components=2, random_state=seed).fit_transform(centred)
        return placed
    model = TSNE(metric="cosine", init="pca", perplexity=min(30.0, (count - 1) / 3), random_state=seed)
    # On a busy machine its threads wait for each other most of the time.
    with threadpool_limits(1):
        return np.asarray(model.fit_transform(centred), dtype=np.float64)


def _box(label: str, *, bold: bool) -> tuple[float, float]:
    """Width and height that a label takes, its mark and a gap included."""
    letters = sum(_letter_width(letter) for letter in console.clean(label)) * (_BOLD if bold else 1.0)
    return (letters + _DOT + 0.5) * FONT, _LINE * FONT


def _letter_width(letter: str) -> float:
    if letter in _NARROW:
        return _NARROW_WIDTH
    if letter in _BROAD or unicodedata.east_asian_width(letter) in "WF" or not letter.isprintable():
        return _BROAD_WIDTH
    if unicodedata.combining(letter):
        return 0.0
    return _CAPITAL_WIDTH if letter.isupper() else _WIDTH


def _spread(places: Points, boxes: Points) -> Points:
    """Upper left corners, scaled so that the boxes cover a part of the canvas that is wider than high."""
    area = float(boxes.prod(axis=1).sum()) / _COVERED
    size = np.maximum([np.sqrt(1.5 * area), np.sqrt(area / 1.5)], _LEAST_SIZE)
    span = np.maximum(places.max(axis=0) - places.min(axis=0), 1e-9)
    corners: Points = (places - places.min(axis=0)) / span * size - boxes / 2
    return corners


def _apart(corners: Points, boxes: Points) -> Points:
    """Move overlapping boxes apart, each pair along the shorter way, until none overlap."""
    corners = corners.copy()
    for number in itertools.count(1):
        first, second, overlap = _overlaps(corners, boxes)
        if not len(first):
            break
        if not number % _ROUNDS:
            corners = (corners + boxes / 2) * _GROWTH - boxes / 2
            continue
        across = overlap[:, 0] < overlap[:, 1]
        shift = np.where(across[:, None], overlap * [1.0, 0.0], overlap * [0.0, 1.0]) * 0.55 + 1e-3
        shift *= np.where(across[:, None], [1.0, 0.0], [0.0, 1.0])
        towards = np.where(corners[first] + boxes[first] / 2 <= corners[second] + boxes[second] / 2, 1.0, -1.0)
        np.add.at(corners, first, -shift * towards)
        np.add.at(corners, second, shift * towards)
    return corners


def _overlaps(corners: Points, boxes: Points) -> tuple[NDArray[np.int64], NDArray[np.int64], Points]:
    """Which pairs of boxes overlap, and by how much in both directions. All boxes are of one height."""
    order = np.argsort(corners[:, 1], kind="stable")
    starts, ends = corners[order], (corners + boxes)[order]
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Points]] = []
    # From top to bottom each box is compared with the next, the one after it, and so on while any are level.
    for step in range(1, len(order)):
        down = ends[:-step, 1] - starts[step:, 1]
        if not (down > 0).any():
            break
        across = np.minimum(ends[:-step, 0], ends[step:, 0]) - np.maximum(starts[:-step, 0], starts[step:, 0])
        at = np.flatnonzero((down > 0) & (across > 0))
        found.append((order[at], order[at + step], np.stack([across[at], down[at]], axis=1)))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2))
    first, second, overlap = (np.concatenate([each[part] for each in found]) for part in range(3))
    return first, second, overlap


def _bonds(table: LabelEmbeddings, examination: Examination, corners: Points, boxes: Points) -> list[str]:
    """A line from each unseen label to its nearest seen one."""
    row_of = {canonical(label): row for row, label in enumerate(table.labels)}
    marks = corners + np.stack([np.full(len(boxes), FONT / 2), boxes[:, 1] / 2], axis=1)
    lines = []
    for label, nearest in examination.nearest_seen.items():
        (x1, y1), (x2, y2) = marks[row_of[canonical(label)]], marks[row_of[canonical(nearest[0][0])]]
        lines.append(f'<line class="bond" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    return lines


def _drawn(label: str, corner: Points, box: Points, near: str, *, unseen: bool) -> str:
    x, y = corner[0] + FONT / 2, corner[1] + box[1] / 2
    title = _xml(f"{label}{' (unseen)' if unseen else ''}: {near}" if near else label)
    text = f'<text x="{corner[0] + _DOT * FONT:.1f}" y="{y + FONT * 0.36:.1f}">{_xml(label)}</text>'
    return f'<g class="{_class(unseen)}"><title>{title}</title>{_mark(x, y, unseen=unseen)}{text}</g>'


def _class(unseen: bool) -> str:
    return "unseen" if unseen else "seen"


def _mark(x: float, y: float, *, unseen: bool) -> str:
    """A dot for a seen label, a diamond for an unseen one: told apart without colours, too."""
    size = FONT * (0.39 if unseen else 0.28)
    if not unseen:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'
    return f'<path d="M{x - size:.1f} {y:.1f}L{x:.1f} {y - size:.1f}L{x + size:.1f} {y:.1f}L{x:.1f} {y + size:.1f}z"/>'


def _xml(text: str) -> str:
    """`text` inside an element: escaped, and without the few characters that XML cannot hold."""
    return escape(console.clean(text).translate(_NO_XML))


def _head(count: int, unseen: int, *, joined: bool) -> str:
    """The legend."""
    entries: list[tuple[str, bool | None]] = [(f"{count} labels", None)]
    if unseen:
        told = f"{unseen} unseen{', each with a line to its nearest seen label' if joined else ''}"
        entries = [(f"{count - unseen} seen", False), (told, True)]
    x, y, drawn = _MARGIN, _HEAD * 0.66, []
    for told, is_unseen in entries:
        mark = "" if is_unseen is None else _mark(x + FONT / 2, y - FONT * 0.5, unseen=is_unseen)
        x += FONT * 1.6 if mark else 0.0
        drawn.append(
            f'<g class="{_class(bool(is_unseen))}">{mark}<text class="head" x="{x:.0f}" y="{y:.0f}">{told}</text></g>'
        )
        x += _HEAD_FONT * _WIDTH * (len(told) + 3)
    return "\n".join(drawn)


def _picture(width: float, height: float, head: str, body: list[str]) -> str:
    lines = "\n".join(body)
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" {size}>
<style>{_STYLE}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
{head}
{lines}
</svg>
"""
