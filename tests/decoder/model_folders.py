"""Small model folders with random weights, as training leaves them."""

import json
from dataclasses import replace

import numpy as np
import torch

from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.decoder.model_folder import save_model
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord

LABELS = ("dog", "sea", "/m/01g317", "a|b <i>*[x](y)* `z`", "=cmd()", "Ärger: #1 & co")
SOURCE = "/home/somebody/vectors of mine/glove.txt::words=/home/somebody/words.txt"


def table(labels=LABELS, source=SOURCE):
    vectors = np.random.default_rng(0).normal(size=(len(labels), 6)).astype(np.float32)
    part = SourceRecord(
        source, "sha256:0", "word_vectors", 6, composition="mean", note="as /home/somebody/x/n.txt says"
    )
    return LabelEmbeddings(labels, vectors, ("whole",) * len(labels), Provenance((part,)))


def make(folder, *, closed=False, shuffled=False, seen=LABELS, about=None):
    torch.manual_seed(0)
    backbone = create_backbone(BackboneSpec("timm:test_vit", "random", image_size=32))
    kind = {"num_classes": len(seen)} if closed else {"label_features": 6, "centred": True}
    head = MLDecoder(backbone.channels, width=16, heads=2, feed_forward=16, **kind)
    labels = None if closed else table()
    if shuffled:
        labels = replace(labels, provenance=replace(labels.provenance, shuffled=0))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(RECORD))
    save_model(
        folder, ZeroShotModel(backbone, head), seen=seen, labels=labels, backbone_trained=False,
        about={"training images": "120", "method": "decoder"} | (about or {}),
    )  # fmt: skip
    return folder


RECORD = {
    "settings": {
        "annotations": "/home/somebody/my data/annotations.jsonl", "images": None, "seen": "/home/somebody/seen.txt",
        "backbone": "open_clip:local-dir:/home/somebody/clip/base", "backbone_weights": "/srv/weights.safetensors",
        "backbone_arg": ["pad_type=same"], "epochs": 4, "learning_rate": 0.001, "seed": 7,
    },
    "digests": {"annotations": "sha256:1234"},
    "versions": {"python": "3.11.7", "platform": "Linux", "zsmld": "0.1.0", "torch": "2.15.0"},
}  # fmt: skip
_FIGURES = {
    "map": 0.2371, "chance_map": 0.0661, "labels": 10, "labels_left_out": 1, "images": 600, "f1@3": 0.31, "f1@5": None,
    "intervals": {"map": [0.208, 0.264], "f1@3": None},
}  # fmt: skip
REPORT = {
    "format_version": 2, "title": "001: evaluation", "model": "/home/somebody/runs/001",
    "data": "/home/somebody/my data/annotations.jsonl", "split": "test", "images_missing": 2,
    "evaluation": {"annotations": "/home/somebody/my data/annotations.jsonl", "unseen": "/home/somebody/unseen.txt"},
    "differences": ["the records are not those of the last evaluation"],
    "protocol": {
        "name": "strict", "about": "zsmld's own, the default", "ks": [3, 5], "source": "https://github.com/a/b/c.py",
        "rules": {"test images": "all of the split", "truth": "the annotations"},
    },
    "digests": {"records": "sha256:5678"},
    "zsl": _FIGURES, "gzsl": _FIGURES | {"map": 0.445}, "seen": _FIGURES,
    "labels": [{"label": "/m/01g317", "seen": True}],
}  # fmt: skip
