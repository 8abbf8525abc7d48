"""A workspace that is learnt in seconds: photographs of two colours each, whose labels' vectors are the colours."""

import json

import numpy as np
from PIL import Image

import zsmld


def draw_workspace(folder, labels, seen, count, split_of, group_of=None):
    """Photographs, annotations, both label lists and the vectors; the current folder must be `folder`.

    Args:
        labels: each becomes a colour; the first `seen` of them are seen.
        count: how many photographs.
        split_of, group_of: number of a photograph → its split, and its group.
    """
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 256, size=(len(labels), 3))
    lines = []
    for number in range(count):
        one, other = draw.choice(len(labels), size=2, replace=False)
        pixels = np.empty((16, 16, 3), dtype=np.uint8)
        pixels[:, :8], pixels[:, 8:] = colours[one], colours[other]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        line = {"image": f"{number}.png", "labels": [labels[one], labels[other]], "split": split_of(number)}
        lines.append(line if group_of is None else line | {"group": group_of(number)})
    write_lines(folder, lines)
    (folder / "seen.txt").write_text("\n".join(labels[:seen]))
    (folder / "unseen.txt").write_text("\n".join(labels[seen:]))
    rows = [
        f"{label.replace(' ', '_')} {' '.join(f'{x / 255:.4f}' for x in [*colour, 99])}"
        for label, colour in zip(labels, colours, strict=True)
    ]
    (folder / "vectors.txt").write_text("\n".join(rows) + "\n")
    zsmld.embed_labels(labels, source="vectors.txt").save("embeddings.safetensors")


def write_lines(folder, lines):
    """`annotations.jsonl`."""
    (folder / "annotations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
