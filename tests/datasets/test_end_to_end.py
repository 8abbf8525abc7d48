"""Corel5k's photographs, written out in each layout, trained on and measured: JSONL's figures, to the last digit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import biam_files
import pytest
import test_ml_decoder
import torch
from nus_wide_files import publish

import zsmld
from zsmld.datasets.records import ImageRecord
from zsmld.datasets.tables import read_annotations
from zsmld.files import cache_folder
from zsmld.images.backbones import BackboneSpec, create_backbone
from zsmld.images.token_cache import TokenCache
from zsmld.labels.vocabulary import read_vocabulary

pytestmark = pytest.mark.realdata
TRAIN, TEST = 60, 30
SETTINGS = {
    "seen": "seen.txt", "embeddings": "embeddings.safetensors", "backbone": "timm:test_convnext", "image_size": 64,
    "backbone_weights": "random", "width": 16, "heads": 2, "feed_forward": 16, "batch_size": 8, "epochs": 2,
    "validation_fraction": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def corel(shared_data, tmp_path_factory):
    """Photographs of one split, their records, and the labels that are true of any of them."""
    folder = shared_data / "corel5k"
    dataset = read_annotations(folder / "splits/0/annotations.jsonl", folder)
    seen, unseen = (read_vocabulary(folder / f"splits/0/{name}.txt").labels for name in ("seen", "unseen"))
    chosen = {"train": [], "test": []}
    for record in dataset.records():
        # Some photographs of every series.
        if record.split in chosen and int(Path(record.image).stem) % 23 == 0:
            chosen[record.split].append(record)
    # In the order in which a folder is listed.
    parts = [sorted(part, key=lambda record: Path(record.image).name) for part in chosen.values()]
    records = [*parts[0][:TRAIN], *parts[1][:TEST]]
    there = {label for record in records for label in record.labels}
    return folder, records, [x for x in seen if x in there], [x for x in unseen if x in there]


@pytest.fixture
def figures(corel, shared_data, tmp_path, monkeypatch, tmp_path_factory):
    """What training and evaluation on a data set give."""
    _, _, seen, unseen = corel
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSMLD_CACHE", str(tmp_path_factory.getbasetemp() / "layout-tokens"))
    for name, labels in (("seen", seen), ("unseen", unseen)):
        Path(f"{name}.txt").write_text("\n".join(labels))
    vectors = shared_data / "vectors/glove_nus_wide_1006.300d.txt.gz"
    zsmld.embed_labels([*seen, *unseen], source=vectors, missing="skip").save("embeddings.safetensors")

    def measured(data):
        run = zsmld.train(annotations=data, **SETTINGS)
        report = zsmld.evaluate(model=run, annotations=data, unseen="unseen.txt", gzsl=True).to_json()
        for part in (parts := {name: report[name] for name in ("zsl", "gzsl", "seen")}).values():
            assert part.pop("known", 1.0) == 1.0
        return parts

    return measured


def copied(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def as_coco(corel, root):
    folder, records, seen, unseen = corel
    ids = {label: number for number, label in enumerate([*seen, *unseen], start=1)}
    for split, name in (("train", "train2017"), ("test", "val2017")):
        images, annotations = [], []
        for number, record in enumerate(record for record in records if record.split == split):
            file = Path(record.image).name
            copied(folder / record.image, root / name / file)
            images.append({"id": number, "file_name": file, "width": 192, "height": 128})
            annotations += [
                {"id": len(annotations) + at, "image_id": number, "category_id": ids[label], "iscrowd": 0}
                for at, label in enumerate(label for label in record.labels if label in ids)
            ]
        value = {"images": images, "annotations": annotations}
        value["categories"] = [{"id": number, "name": label} for label, number in ids.items()]
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(value))


def as_open_images(corel, root):
    folder, records, seen, unseen = corel
    ids = {label: f"/m/0{number:04d}" for number, label in enumerate([*seen, *unseen])}
    root.mkdir(parents=True)
    (root / "class-descriptions.csv").write_text("".join(f"{number},{label}\n" for label, number in ids.items()))
    for split in ("train", "test"):
        rows = ["ImageID,Source,LabelName,Confidence\n"]
        for record in (record for record in records if record.split == split):
            copied(folder / record.image, root / split / f"{Path(record.image).stem}.jpg")
            # Everything was verified here, so that nothing is unknown.
            rows += [
                f"{Path(record.image).stem},verification,{number},{int(label in record.labels)}\n"
                for label, number in ids.items()
            ]
        (root / f"{split}-annotations-human-imagelabels.csv").write_text("".join(rows))


def as_csv(corel, root):
    folder, records, seen, unseen = corel
    rows = ["image,labels,split\n"]
    for record in records:
        copied(folder / record.image, root / "photos" / Path(record.image).name)
        labels = ";".join(label for label in record.labels if label in {*seen, *unseen})
        rows.append(f"photos/{Path(record.image).name},{labels},{record.split}\n")
    (root / "table.csv").write_text("".join(rows))
    return root / "table.csv"


def as_columns(corel, root):
    folder, records, seen, unseen = corel
    labels = [*seen, *unseen]
    rows = [",".join(["filename", "split", *labels]) + "\n"]
    for record in records:
        copied(folder / record.image, root / Path(record.image).name)
        truth = [str(int(label in record.labels)) for label in labels]
        rows.append(",".join([Path(record.image).name, record.split, *truth]) + "\n")
    (root / "table.csv").write_text("".join(rows))
    return root / "table.csv"


def as_folders(corel, root):
    folder, records, seen, unseen = corel
    for split in ("train", "test"):
        lines = []
        for record in (record for record in records if record.split == split):
            copied(folder / record.image, root / split / Path(record.image).name)
            labels = ", ".join(label for label in record.labels if label in {*seen, *unseen})
            lines.append(f"{Path(record.image).name}: {labels}\n")
        (root / split / "labels.txt").write_text("".join(lines))


def as_yolo(corel, root):
    folder, records, seen, unseen = corel
    names = [*seen, *unseen]
    for record in records:
        copied(folder / record.image, root / "images" / record.split / Path(record.image).name)
        boxes = [f"{names.index(label)} 0.5 0.5 0.2 0.3\n" for label in record.labels if label in names]
        path = root / "labels" / record.split / f"{Path(record.image).stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(boxes))
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    (root / "data.yaml").write_text(f"path: elsewhere\ntrain: images/train\nnames:\n{listed}")


def as_nus_wide(corel, root):
    folder, records, seen, unseen = corel
    moved = []
    for record in records:
        name = f"{record.split}/{Path(record.image).name}"
        copied(folder / record.image, root / "Flickr" / name)
        moved.append(replace(record, image=name))
    publish(root, moved, seen, unseen)


def as_ml_decoder(corel, root):
    folder, records, seen, unseen = corel
    kept = []
    for record in records:
        copied(folder / record.image, root / "photos" / Path(record.image).name)
        labels = tuple(label for label in record.labels if label in {*seen, *unseen})
        kept.append(ImageRecord(f"photos/{Path(record.image).name}", labels, record.split))
    # The test images are called val there; the three names are swapped as the links to them are.
    classes = {"train class": seen, "test class": unseen}
    names = ("wordvec_array.pth", "benchmark_81_v0.json", "data.csv")
    test_ml_decoder.publish(root, kept, names, classes=classes, columns=len(seen) + len(unseen))


def as_biam(corel, root):
    """The tokens that the backbone gave, as ready-made features."""
    folder, records, seen, unseen = corel
    torch.manual_seed(0)
    backbone = create_backbone(BackboneSpec("timm:test_convnext", "random", image_size=64))
    tokens = TokenCache(cache_folder(), backbone).fill([folder / record.image for record in records])
    row = {Path(record.image).name: at for at, record in enumerate(records)}
    renamed = [replace(record, image=f"x/{at:04d}_{Path(record.image).name}") for at, record in enumerate(records)]
    biam_files.publish(
        root, renamed, seen, unseen, lambda record: tokens.read([row[record.image.rpartition("_")[2]]])[0]
    )


WRITERS = {
    "biam": as_biam,
    "nus_wide": as_nus_wide, "ml_decoder": as_ml_decoder, "coco": as_coco, "open_images": as_open_images,
    "csv": as_csv, "columns": as_columns, "folders": as_folders, "yolo": as_yolo,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_layout_gives_the_figures_of_jsonl(corel, figures, tmp_path, name):
    plain = figures_of_jsonl(corel, figures, tmp_path)
    written = WRITERS[name](corel, tmp_path / name)
    assert figures(written or tmp_path / name) == plain
    assert plain["gzsl"]["map"] > 0 and plain["zsl"]["labels"] >= 5


def figures_of_jsonl(corel, figures, tmp_path):
    folder, records, seen, unseen = corel
    lines = []
    for record in records:
        copied(folder / record.image, tmp_path / "jsonl" / Path(record.image).name)
        labels = [label for label in record.labels if label in {*seen, *unseen}]
        lines.append(json.dumps({"image": Path(record.image).name, "labels": labels, "split": record.split}) + "\n")
    (tmp_path / "jsonl/annotations.jsonl").write_text("".join(lines))
    return figures(tmp_path / "jsonl/annotations.jsonl")
