"""One small content, to be written in every layout: the same data set must come out of each."""

import json

import numpy as np
from PIL import Image

from zsmld.datasets.layouts import ReadOptions
from zsmld.datasets.records import ImageRecord
from zsmld.datasets.tables import read_annotations

# No label of any image at all, one, several; words of two parts; three splits.
CONTENT = (
    ImageRecord("train/1.jpg", ("dog", "fire hydrant"), "train"),
    ImageRecord("train/2.jpg", (), "train"),
    ImageRecord("train/3.jpg", ("sea",), "train"),
    ImageRecord("val/4.jpg", ("dog",), "val"),
    ImageRecord("test/5.jpg", ("sea", "dog"), "test"),
)
LABELS = ("dog", "fire hydrant", "sea", "whale")


def photograph(path, colour=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, 40, 200)).save(path)


def as_jsonl(folder, records):
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for record in records:
        value = {"image": record.image, "labels": list(record.labels), "split": record.split}
        if record.negatives is not None:
            value["negatives"] = list(record.negatives)
        if record.group is not None:
            value["group"] = record.group
        lines.append(json.dumps(value) + "\n")
    (folder / "annotations.jsonl").write_text("".join(lines), "utf-8")
    return read_annotations(folder / "annotations.jsonl")


def facts(dataset, labels=LABELS):
    """All that a data set says of its images, by name: split, group, and of each label whether it is true and known."""
    truth, known = dataset.targets(labels), dataset.known(labels)
    known = np.ones_like(truth) if known is None else known
    rows = zip(dataset.records(), truth.tolist(), known.tolist(), strict=True)
    return {record.image: (record.split, record.group, yes, sure) for record, yes, sure in rows}


def read(layout, **options):
    return layout.read(ReadOptions(**options))
